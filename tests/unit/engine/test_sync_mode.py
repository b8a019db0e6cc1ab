"""The engine in sync mode: feed, live, record."""

import anyio
import pytest

from batchinfer.domain import Counts, Failure, FailureKind, Item, Reply, State
from batchinfer.engine.feeder import WINDOW_SPARE_ITEMS
from batchinfer.errors import FatalError, RunAborted, StoreError
from batchinfer.flow.retries import RetryPolicy
from support.world import Model, World, cold, items, permanent, reader, succeed, transient

pytestmark = pytest.mark.event_loops("virtual")


async def test_every_item_gets_its_own_reply(world: World):
    model = Model()
    progress = await world.engine(model, source=items(1200)).run()
    assert progress.counts == Counts(succeeded=1200)
    assert progress.is_source_complete
    assert world.store.final_outcomes() == {item.key: succeed(item, 1) for item in items(1200)}
    assert world.store.is_source_complete
    assert set(model.finished.values()) == {1}


async def test_concurrency_is_reached_and_never_passed(world: World):
    model = Model()
    began = anyio.current_time()
    await world.engine(model, source=items(100), concurrency=10).run()
    assert model.most_in_flight == 10
    assert anyio.current_time() - began == pytest.approx(10.0)


async def test_the_first_call_does_not_wait_for_the_source(world: World):
    model = Model()
    await world.engine(model, read=reader(items(200), delay=30)).run()
    assert model.starts[0] == pytest.approx(30)
    assert len(model.began) == 200


async def test_starts_are_paced_evenly(world: World):
    model = Model(seconds=0.1)
    await world.engine(model, source=items(20), concurrency=50, rate=2).run()
    gaps = [b - a for a, b in zip(model.starts, model.starts[1:], strict=False)]
    assert gaps == pytest.approx([0.5] * 19)


async def test_transient_failures_are_retried_and_then_succeed(world: World):
    model = Model(lambda item, n: transient() if n < 3 else succeed(item, n))
    progress = await world.engine(model, source=items(50)).run()
    assert progress.counts == Counts(succeeded=50)
    assert set(model.finished.values()) == {3}
    assert all(reply.prediction["attempt"] == 3 for reply in world.store.final_outcomes().values())


async def test_attempts_are_bounded(world: World):
    model = Model(lambda item, n: transient())
    progress = await world.engine(model, source=items(5)).run()
    assert progress.counts == Counts(failed=5)
    assert progress.failed_by_code == {"no_output": 5}
    assert set(model.finished.values()) == {3}


async def test_permanent_failures_are_not_retried_and_stop_nobody(world: World):
    bad = "item-0007"
    model = Model(lambda item, n: permanent() if item.key == bad else succeed(item, n))
    progress = await world.engine(model, source=items(20)).run()
    assert progress.counts == Counts(succeeded=19, failed=1)
    assert model.finished[bad] == 1
    assert isinstance(world.store.final_outcomes()[bad], Failure)


async def test_retry_after_is_obeyed(world: World):
    model = Model(lambda item, n: transient(retry_after=100) if n == 1 else succeed(item, n))
    await world.engine(model, source=items(1)).run()
    first, second = model.starts
    assert second - first >= 101


async def test_backing_off_holds_no_slot(world: World):
    slow = "item-0001"
    model = Model(
        lambda item, n: (
            transient(retry_after=50) if item.key == slow and n == 1 else succeed(item, n)
        )
    )
    await world.engine(model, source=items(40), concurrency=1).run()
    others = [at for (key, _), at in zip(model.began, model.starts, strict=True) if key != slow]
    assert model.began[-1] == (slow, 2)
    assert max(others) == pytest.approx(39)


async def test_a_storm_of_refusals_does_not_starve_the_gate(world: World):
    model = Model(lambda i, n: transient(retry_after=1000) if n == 1 else succeed(i, n), 0.1)
    began = anyio.current_time()
    await world.engine(model, source=items(500), concurrency=10).run()
    first_round = [at for (_, n), at in zip(model.began, model.starts, strict=True) if n == 1]
    assert max(first_round) - began < 500 / 10 * 0.1 + 1


@pytest.mark.slow
async def test_memory_holds_a_window_not_the_run(world: World):
    model, alive = Model(seconds=0.01), []
    engine = world.engine(model, source=items(3000), concurrency=8)
    original = world.notebook.notify

    def notify(event):
        alive.append(anyio.get_current_task() and len(anyio.get_running_tasks()))
        original(event)

    world.notebook.notify = notify
    await engine.run()
    assert max(alive) < 2 * 8 + WINDOW_SPARE_ITEMS + 10


# Cold starts --------------------------------------------------------------------------------------


async def test_a_cold_start_is_waited_out_and_is_no_attempt(world: World):
    model = Model(lambda item, n: cold() if anyio.current_time() < 300 else succeed(item, n))
    progress = await world.engine(model, source=items(20)).run()
    assert progress.counts == Counts(succeeded=20)
    assert {record.attempt.number for record in world.store.records} == {1}
    assert world.notebook.waited
    assert all(event.code == "cold_start" for event in world.notebook.waited)


async def test_a_service_that_stays_away_ends_the_run_with_nothing_failed(world: World):
    model = Model(lambda item, n: cold())
    began = anyio.current_time()
    with pytest.raises(RunAborted) as aborted:
        await world.engine(model, source=items(20), cold_start_timeout=900).run()
    assert aborted.value.code == "cold_start"
    assert 900 < anyio.current_time() - began < 1000
    assert (await world.store.fetch_counts()) == Counts(pending=20)


async def test_an_item_the_warm_service_never_takes_fails_alone(world: World):
    bad = "item-0003"
    model = Model(lambda item, n: cold() if item.key == bad else succeed(item, n), seconds=60)
    progress = await world.engine(
        model, source=items(400), cold_start_timeout=300, concurrency=2
    ).run()
    assert progress.counts == Counts(succeeded=399, failed=1)
    assert progress.failed_by_code == {"cold_start": 1}


# Ends ---------------------------------------------------------------------------------------------


async def test_a_fatal_error_ends_the_run_at_once_as_one_error(world: World):
    def script(item: Item, number: int):
        return FatalError("unauthorized", "no") if item.key == "item-0010" else succeed(item, 1)

    with pytest.raises(RunAborted, match="no") as aborted:
        await world.engine(Model(script), source=items(500), concurrency=3).run()
    assert aborted.value.code == "unauthorized"
    assert (await world.store.fetch_counts()).succeeded < 30


async def test_after_a_fatal_error_calls_in_flight_are_not_waited_for(world: World):
    class Mixed(Model):
        async def attempt(self, item: Item, number: int):
            if item.key == "item-0002":
                await anyio.sleep(1)
                raise FatalError("unauthorized", "no")
            await anyio.sleep(600)
            return Reply()

    began = anyio.current_time()
    with pytest.raises(RunAborted):
        await world.engine(Mixed(), source=items(10), concurrency=10).run()
    assert anyio.current_time() - began < 2


async def test_an_unwritable_store_ends_the_run_with_its_own_error(world: World):
    async def full(records):
        raise StoreError("the disk is full")

    world.store.commit_records = full
    with pytest.raises(StoreError, match="full"):
        await world.engine(Model(), source=items(10)).run()


async def test_a_source_that_breaks_ends_the_run_but_keeps_what_is_recorded(world: World):
    async def read(size):
        if await world.store.fetch_counts() == Counts():
            return items(8)
        await anyio.sleep(100)
        raise StoreError("gone")

    with pytest.raises(StoreError, match="gone"):
        await world.engine(Model(), read=read).run()
    assert (await world.store.fetch_counts()) == Counts(succeeded=8)


async def test_too_many_failures_end_the_run(world: World):
    with pytest.raises(RunAborted, match="more than `max_failures` allows") as aborted:
        await world.engine(
            Model(lambda item, n: permanent()), source=items(500), max_failures=10
        ).run()
    assert aborted.value.code == "too_many_failures"
    assert 10 < (await world.store.fetch_counts()).failed < 40


async def test_a_share_of_failures_counts_from_the_twentieth_item(world: World):
    model = Model(lambda item, n: permanent() if item.key < "item-0011" else succeed(item, n))
    with pytest.raises(RunAborted):
        await world.engine(model, source=items(500), max_failure_share=0.4).run()
    assert 20 <= (await world.store.fetch_counts()).finished < 40


# Stopping -----------------------------------------------------------------------------------------


async def test_stop_lets_what_is_in_flight_finish_and_be_recorded(world: World):
    model = Model(seconds=10)
    engine = world.engine(model, source=items(100), concurrency=5)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(15)
        assert engine.stop() == 5
    assert anyio.current_time() == pytest.approx(20)
    assert (await world.store.fetch_counts()) == Counts(succeeded=10, pending=90)
    assert engine.stopped


async def test_cancel_cuts_off_and_leaves_no_trace(world: World):
    model = Model(seconds=10)
    engine = world.engine(model, source=items(100), concurrency=5)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(15)
        engine.stop()
        engine.cancel()
    assert anyio.current_time() == pytest.approx(15)
    assert (await world.store.fetch_counts()) == Counts(succeeded=5, pending=95)
    assert len(world.store.records) == 5


async def test_after_the_grace_what_is_in_flight_is_cut_off_and_leaves_no_trace(world: World):
    model = Model(lambda item, n: Reply(), seconds=100)
    engine = world.engine(model, source=items(100), concurrency=5, grace=30)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(150)
        engine.stop()
        await anyio.sleep(10)
        engine.stop()  # a second one gives no second grace
    assert anyio.current_time() == pytest.approx(180)
    assert (await world.store.fetch_counts()) == Counts(succeeded=5, pending=95)


async def test_what_ends_within_the_grace_is_recorded(world: World):
    engine = world.engine(Model(seconds=10), source=items(100), concurrency=5, grace=30)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(15)
        engine.stop()
    assert anyio.current_time() == pytest.approx(20)
    assert (await world.store.fetch_counts()) == Counts(succeeded=10, pending=90)


async def test_stop_does_not_wait_for_back_offs(world: World):
    model = Model(lambda item, n: transient(retry_after=1000))
    engine = world.engine(model, source=items(4))
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(5)
        engine.stop()
    assert anyio.current_time() == pytest.approx(5)
    assert (await world.store.fetch_counts()) == Counts(pending=4)


async def test_cancelled_from_outside_it_ends_at_once(world: World):
    engine = world.engine(Model(seconds=600), source=items(10))
    with anyio.move_on_after(3):
        await engine.run()
    assert anyio.current_time() == pytest.approx(3)


# Resuming -----------------------------------------------------------------------------------------


async def test_a_second_engine_does_only_what_is_left(world: World):
    first = Model(seconds=10)
    engine = world.engine(first, source=items(100), concurrency=5)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(25)
        engine.cancel()
    second = Model()
    progress = await world.engine(second, source=items(100)).run()
    assert progress.counts == Counts(succeeded=100)
    done_first = {key for key, count in first.finished.items() if count}
    assert done_first.isdisjoint(second.finished)
    assert len(done_first) + len(second.finished) == 100


async def test_back_off_of_an_earlier_process_is_respected(world: World):
    model = Model(lambda item, n: transient(retry_after=1000))
    engine = world.engine(model, source=items(2))
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(5)
        engine.stop()
    second = Model()
    await world.engine(second).run()
    assert min(second.starts) >= 1000
    assert {number for _, number in second.began} == {2}


async def test_other_failures_before_a_kill_do_not_count_as_kills(world: World):
    answers = {1: transient("http_500"), 2: transient("model_killed")}
    model = Model(lambda item, n: answers.get(n, Reply()))
    progress = await world.engine(model, source=items(3)).run()
    assert progress.counts.succeeded == 3


@pytest.mark.parametrize(("attempts", "tried"), [(5, 2), (2, 2), (1, 1)])
async def test_a_killed_model_is_tried_twice_at_most(world: World, attempts: int, tried: int):
    model = Model(lambda item, n: transient("model_killed"))
    policy = RetryPolicy(max_attempts=attempts, base_delay=1, max_delay=8)
    progress = await world.engine(model, source=items(3), retry=policy).run()
    assert progress.failed_by_code == {"model_killed": 3}
    assert set(model.finished.values()) == {tried}


async def test_a_requeued_item_has_a_fresh_budget_and_new_attempt_numbers(world: World):
    await world.engine(Model(lambda item, n: transient()), source=items(1)).run()
    assert await world.store.requeue(code="no_output") == 1
    model = Model(lambda item, n: transient() if n < 6 else succeed(item, n))
    progress = await world.engine(model).run()
    assert progress.counts == Counts(succeeded=1)
    assert [number for _, number in model.began] == [4, 5, 6]


async def test_progress_counts_only_what_is_durable(world: World):
    durable = 0
    original = world.store.commit_records

    async def record(records):
        nonlocal durable
        before = await original(records)
        durable += len(records)
        return before

    world.store.commit_records = record
    await world.engine(Model(), source=items(300)).run()
    told = 0
    for event in world.notebook.recorded:
        told += len(event.records)
        assert event.progress.counts.finished == told
    assert told == durable == 300


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_max_attempts_counts_tries_not_retries(world: World, attempts: int):
    model = Model(lambda item, n: Failure("x", "x", FailureKind.TRANSIENT))
    policy = RetryPolicy(max_attempts=attempts)
    await world.engine(model, source=items(1), retry=policy).run()
    assert len(model.began) == attempts
    assert world.store.item_states() == {"item-0001": State.FAILED}


async def test_stop_during_back_offs_leaves_everything_else_pending(world: World):
    """Workers that back off have hired others; a stop ends them all."""
    model = Model(lambda item, n: transient(retry_after=1000) if n == 1 else succeed(item, n))
    engine = world.engine(model, source=items(300), concurrency=3)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(20.5)
        assert engine.stop() == 3
    assert anyio.current_time() == pytest.approx(21)
    assert len(model.began) == 3 * 21
    assert (await world.store.fetch_counts()) == Counts(pending=300)


async def test_concurrency_holds_while_items_come_back_from_their_back_off(world: World):
    model = Model(lambda item, n: transient() if n < 3 else succeed(item, n))
    await world.engine(model, source=items(200), concurrency=5).run()
    assert model.most_in_flight == 5
