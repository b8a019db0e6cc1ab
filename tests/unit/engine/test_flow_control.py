"""Flow control in the engine: one probe, a circuit, a budget, second calls for the last."""

from collections import Counter

import anyio
import pytest

from batchinfer.domain import Counts, Reply
from batchinfer.errors import RunAborted
from batchinfer.flow import FixedLimit, ServiceState
from batchinfer.flow.retries import RetryPolicy
from batchinfer.ports import LimitChanged, OutageEnded
from support.world import Bucket, Model, World, cold, items, succeed, transient

pytestmark = pytest.mark.event_loops("virtual")


async def test_one_probe_knocks_at_a_cold_service_not_all(world: World):
    model = Model(lambda i, n: cold() if anyio.current_time() < 300 else succeed(i, n), 0.01)
    engine = world.engine(model, source=items(500), concurrency=100, health=ServiceState.COLD)
    progress = await engine.run()
    assert progress.counts == Counts(succeeded=500)
    knocks = sum(at < 300 for at in model.starts)
    assert 20 < knocks < 60
    assert anyio.current_time() < 320
    (back,) = world.notebook.of(OutageEnded)
    assert back.code == "cold_start"
    assert {attempt.attempt.number for attempt in world.store.records} == {1}


async def test_a_warm_service_is_hardly_kept_waiting(world: World):
    model = Model(seconds=10)
    await world.engine(model, source=items(20), concurrency=20, health=ServiceState.COLD).run()
    assert anyio.current_time() == pytest.approx(12)


async def test_an_outage_costs_few_calls_and_no_attempts(world: World):
    def script(item, number):
        is_down = 100 < anyio.current_time() < 400
        return transient("http_503") if is_down else succeed(item, number)

    model = Model(script)
    progress = await world.engine(model, source=items(2000), concurrency=10).run()
    assert progress.counts == Counts(succeeded=2000)
    wasted = len(model.began) - 2000
    assert wasted < 10 + 45
    assert anyio.current_time() < 2000 / 10 + 300 + 30
    assert max(Counter(key for key, _ in model.began).values()) < 30


async def test_an_outage_that_lasts_too_long_ends_the_run_resumable(world: World):
    model = Model(
        lambda i, n: transient("http_500") if anyio.current_time() > 50 else succeed(i, n)
    )
    with pytest.raises(RunAborted) as aborted:
        await world.engine(model, source=items(1000), give_up_after=600).run()
    assert aborted.value.code == "http_500"
    assert 600 < anyio.current_time() < 700
    assert (await world.store.fetch_counts()).failed == 0
    model.script = succeed
    progress = await world.engine(model, source=None).run()
    assert progress.counts == Counts(succeeded=1000)


async def test_what_hangs_is_probed_all_the_same(world: World):
    class Hanging(Model):
        async def attempt(self, item, number):
            if 100 < anyio.current_time() < 400:
                self.began.append((item.key, number))
                self.starts.append(anyio.current_time())
                await anyio.sleep(300)
                return transient("timeout")
            return await super().attempt(item, number)

    model = Hanging()
    progress = await world.engine(model, source=items(1000), concurrency=10).run()
    assert progress.counts == Counts(succeeded=1000)
    assert anyio.current_time() < 100 + 300 + 400


async def test_one_item_in_three_failing_is_no_outage(world: World):
    model = Model(
        lambda i, n: transient("http_500") if n == 1 and i.position % 3 == 0 else succeed(i, n)
    )
    progress = await world.engine(model, source=items(600), concurrency=10).run()
    assert progress.counts == Counts(succeeded=600)
    assert anyio.current_time() < 600 / 10 * 1.5 + 20


async def test_the_last_item_that_always_fails_fails_alone(world: World):
    bad = "item-0020"
    model = Model(lambda i, n: transient("http_500") if i.key == bad else succeed(i, n))
    progress = await world.engine(model, source=items(20)).run()
    assert progress.counts == Counts(succeeded=19, failed=1)


async def test_retries_of_an_overload_are_rationed(world: World):
    """Half of all calls are refused for ever: a call in ten may be a useless retry, no more."""
    model = Model(
        lambda i, n: transient("http_500") if i.position % 2 else succeed(i, n), seconds=1.0
    )
    engine = world.engine(
        model, source=items(2000), concurrency=10, retry=RetryPolicy(max_attempts=50)
    )
    with anyio.move_on_after(150):
        await engine.run()
    first = sum(number == 1 for _, number in model.began)
    again = len(model.began) - first
    assert first > 900
    assert 20 <= again < 0.1 * first + 20


async def test_a_refusal_for_want_of_room_is_no_attempt_of_the_item(world: World):
    calls = Counter()

    def script(item, number):
        calls[item.key] += 1
        return transient("http_503") if calls[item.key] <= 8 else succeed(item, number)

    model = Model(lambda i, n: script(i, n) if i.position % 9 == 0 else succeed(i, n))
    policy = RetryPolicy(max_attempts=1)
    progress = await world.engine(model, source=items(300), retry=policy).run()
    assert progress.counts == Counts(succeeded=300)
    assert {record.attempt.number for record in world.store.records} == {1}


async def test_a_deadline_holds_for_an_item_with_all_its_attempts(world: World):
    model = Model(lambda i, n: transient(retry_after=40) if i.position == 3 else succeed(i, n))
    policy = RetryPolicy(max_attempts=100)
    progress = await world.engine(model, source=items(10), retry=policy, deadline=100).run()
    assert progress.counts == Counts(succeeded=9, failed=1)
    assert model.finished["item-0003"] == 3


# Second calls for the last ------------------------------------------------------------------------


class Straggling(Model):
    """The first call for some items takes very long; a second one does not."""

    def __init__(self, slow: set[int], seconds: float = 20.0) -> None:
        super().__init__()
        self.slow, self.long, self.seen, self.cut = slow, seconds, Counter(), 0

    async def attempt(self, item, number):
        self.seen[item.position] += 1
        if item.position in self.slow and self.seen[item.position] == 1:
            self.began.append((item.key, number))
            try:
                await anyio.sleep(self.long)
            except BaseException:
                self.cut += 1
                raise
            return Reply(prediction="late")
        return await super().attempt(item, number)


async def test_the_last_stragglers_get_a_second_call_and_the_first_answer_wins(world: World):
    model = Straggling({196, 198})
    progress = await world.engine(model, source=items(200), concurrency=10).run()
    assert progress.counts == Counts(succeeded=200)
    assert len(model.began) == 202
    assert model.cut == 2
    assert anyio.current_time() < 25
    assert {r.prediction["key"] for r in world.store.final_outcomes().values()} == {
        item.key for item in items(200)
    }
    assert {record.attempt.number for record in world.store.records} == {1}


async def test_second_calls_are_few_and_can_be_switched_off(world: World):
    many = Straggling(set(range(150, 201)))
    await world.engine(many, source=items(200), concurrency=60).run()
    assert len(many.began) <= 200 + 0.02 * 200
    world = World()
    none = Straggling({198})
    await world.engine(none, source=items(200), concurrency=10, hedge=False).run()
    assert len(none.began) == 200


async def test_a_first_call_that_answers_first_wins(world: World):
    class Slower(Straggling):
        async def attempt(self, item, number):
            if item.position in self.slow and self.seen[item.position] == 1:
                self.began.append((item.key, number))
                await anyio.sleep(100)
            return await super().attempt(item, number)

    model = Slower({198}, seconds=5)
    progress = await world.engine(model, source=items(200), concurrency=10).run()
    assert progress.counts == Counts(succeeded=200)
    assert world.store.final_outcomes()["item-0198"].prediction == "late"
    assert anyio.current_time() < 30


async def test_a_call_that_never_ends_does_not_hold_the_end(world: World):
    class Stuck(Straggling):
        async def attempt(self, item, number):
            if item.position in self.slow and number == 1:
                self.began.append((item.key, number))
                await anyio.sleep(10_000)
            return await super().attempt(item, number)

    model = Stuck({199}, seconds=1)
    progress = await world.engine(model, source=items(200), concurrency=10).run()
    assert progress.counts == Counts(succeeded=200)
    assert anyio.current_time() < 80


@pytest.mark.event_loops("asyncio", "virtual")
@pytest.mark.parametrize("first_too", [False, True])
async def test_second_calls_on_either_loop_and_both_answers_in_one_moment(first_too: bool):
    class Twins(Model):
        def __init__(self) -> None:
            super().__init__(seconds=0.0)
            self.calls, self.cut = Counter(), 0
            self.answers = {30: anyio.Event()}

        async def attempt(self, item, number):
            self.calls[item.position, number] += 1
            answered = self.answers.get(item.position)
            if answered is None or number > 1:
                return await super().attempt(item, number)
            if self.calls[item.position, number] == 1:
                try:
                    await answered.wait()
                except anyio.get_cancelled_exc_class():
                    self.cut += 1
                    raise
                return transient()
            await anyio.lowlevel.checkpoint()
            if first_too:
                answered.set()  # and at once the answer of the second
            return succeed(item, number)

    world, model = World(), Twins()
    progress = await world.engine(
        model, source=items(30), concurrency=5, retry=RetryPolicy(3, base_delay=0.01)
    ).run()
    assert progress.counts == Counts(succeeded=30)
    assert model.calls[30, 1] == 2
    assert first_too or model.cut == 1
    assert len(world.store.records) == len(
        {(record.position, record.attempt.number) for record in world.store.records}
    )
    for position in model.answers:
        numbers = [r.attempt.number for r in world.store.records if r.position == position]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_an_upload_gets_no_second_call_for_that_would_start_a_second_job(world: World):
    calls = Counter()

    class Slow(Bucket):
        async def attempt(self, item, number):
            calls[item.position, number] += 1
            if item.position == 200:
                await anyio.sleep(60)
            return await super().attempt(item, number)

    bucket = Slow()
    engine = world.engine(bucket, watcher=bucket, source=items(200), submitted_limit=100)
    progress = await engine.run()
    assert progress.counts == Counts(succeeded=200)
    assert set(calls.values()) == {1}


# Steered from outside -----------------------------------------------------------------------------


async def test_pause_and_other_limits_while_it_runs(world: World):
    model = Model()
    engine = world.engine(model, source=items(400), concurrency=4)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(10.5)
        engine.paused = True
        await anyio.sleep(50)
        assert len(model.began) == 44
        engine.limit = FixedLimit(20)
        engine.paused = False
        await anyio.sleep(4.5)
        assert len(model.began) == 44 + 20 * 5
        engine.rate = 2.0
        await anyio.sleep(10.2)
        assert len(model.began) == pytest.approx(144 + 20, abs=2)
        engine.rate = None
    assert world.store.final_outcomes().keys() == {item.key for item in items(400)}
    assert [(a.was, a.value) for a in world.store.limit_changes] == [(4, 20)]
    assert world.notebook.of(LimitChanged) == world.store.limit_changes
