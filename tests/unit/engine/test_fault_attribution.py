"""Nobody fails for what is not his fault: the source, everybody's refusal, this machine."""

from dataclasses import replace

import anyio
import pytest

from batchinfer.domain import Counts, Failure, FailureKind, ServiceSignal
from batchinfer.errors import RunAborted
from batchinfer.ports import LimitChanged, Notice, OutageEnded, OutageOngoing
from support.world import Model, World, items, permanent, succeed, transient

pytestmark = pytest.mark.event_loops("virtual")

MISSING = Failure("file_missing", "gone", signal=ServiceSignal.INPUT_UNREADABLE)
SHORT = Failure(
    "too_many_open_files",
    "too many",
    FailureKind.UNAVAILABLE,
    signal=ServiceSignal.LOCAL_SHORTAGE,
)


def refused(code: str = "http_403") -> Failure:
    return replace(permanent(code), signal=ServiceSignal.DENIED)


class Disk:
    """A source that is away for a while."""

    def __init__(self, away: float, back: float) -> None:
        self.away, self.back = away, back

    @property
    def is_away(self) -> bool:
        return self.away <= anyio.current_time() < self.back

    def read(self, item, number):
        return MISSING if self.is_away else succeed(item, number)

    async def why(self, item) -> str | None:
        await anyio.sleep(0.01)
        return "the source is empty" if self.is_away else None


# The source ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_a_source_that_was_never_there_ends_the_run_and_fails_nobody(
    world: World, concurrency: int
):
    disk = Disk(0, 1e9)
    engine = world.engine(
        Model(disk.read), source=items(50), concurrency=concurrency, source_away=disk.why
    )
    with pytest.raises(RunAborted, match="the source is empty") as aborted:
        await engine.run()
    assert aborted.value.code == "source_unavailable"
    assert await world.store.fetch_counts() == Counts(pending=50)
    assert anyio.current_time() < 5


async def test_an_outage_on_the_way_is_waited_out(world: World):
    disk = Disk(20, 50)
    engine = world.engine(Model(disk.read), source=items(200), source_away=disk.why)
    progress = await engine.run()
    assert progress.counts == Counts(succeeded=200)
    assert [back.code for back in world.notebook.of(OutageEnded)][:1] == ["source_unavailable"]


async def test_an_outage_that_lasts_ends_the_run_and_keeps_what_is_done(world: World):
    disk = Disk(20, 1e9)
    engine = world.engine(Model(disk.read), source=items(200), source_away=disk.why)
    with pytest.raises(RunAborted):
        await engine.run()
    counts = await world.store.fetch_counts()
    assert counts.failed == 0
    assert counts.succeeded > 50
    assert 60 <= anyio.current_time() < 120


async def test_give_up_after_bounds_that_wait_too(world: World):
    disk = Disk(5, 1e9)
    engine = world.engine(
        Model(disk.read), source=items(200), source_away=disk.why, give_up_after=3.0
    )
    with pytest.raises(RunAborted):
        await engine.run()
    assert anyio.current_time() < 15


async def test_one_missing_file_of_a_living_source_is_that_items_failure(world: World):
    disk = Disk(0, 0)
    model = Model(lambda item, n: MISSING if item.key == "item-0007" else succeed(item, n))
    progress = await world.engine(model, source=items(20), source_away=disk.why).run()
    assert progress.counts == Counts(succeeded=19, failed=1)
    assert world.store.final_outcomes()["item-0007"].code == "file_missing"
    assert [record.attempt.number for record in world.store.records if record.position == 7] == [1]


async def test_a_file_that_is_there_again_when_its_source_is_looked_at_is_sent(world: World):
    seen: set[str] = set()

    def script(item, number):
        first = item.key not in seen
        seen.add(item.key)
        return MISSING if first else succeed(item, number)

    progress = await world.engine(Model(script), source=items(9), source_away=Disk(0, 0).why).run()
    assert progress.counts == Counts(succeeded=9)


async def test_a_stop_does_not_wait_for_the_source(world: World):
    disk = Disk(2, 1e9)
    engine = world.engine(Model(disk.read), source=items(200), source_away=disk.why)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run)
        await anyio.sleep(10)
        engine.stop()
    assert anyio.current_time() < 15
    assert (await world.store.fetch_counts()).failed == 0


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 4, 32])
@pytest.mark.parametrize("served", [0, 20])
async def test_what_refuses_everybody_is_no_items_fault(
    world: World, concurrency: int, served: int
):
    model = Model(lambda item, n: succeed(item, n) if len(model.finished) <= served else refused())
    with pytest.raises(RunAborted, match="never") as aborted:
        await world.engine(model, source=items(200), concurrency=concurrency).run()
    assert aborted.value.code == "http_403"
    counts = await world.store.fetch_counts()
    assert (counts.failed, counts.succeeded) == (0, served)
    assert len(model.began) < served + 2 * concurrency + 50


async def test_refusals_that_pass_are_waited_out(world: World):
    model = Model(lambda item, n: refused() if 10 < anyio.current_time() < 25 else succeed(item, n))
    progress = await world.engine(model, source=items(100)).run()
    assert progress.counts == Counts(succeeded=100)


@pytest.mark.parametrize("concurrency", [1, 4, 32])
async def test_a_few_refusals_among_answers_are_the_fault_of_their_items(
    world: World, concurrency: int
):
    model = Model(lambda item, n: refused() if item.key.endswith("7") else succeed(item, n))
    progress = await world.engine(model, source=items(100), concurrency=concurrency).run()
    assert progress.counts == Counts(succeeded=90, failed=10)
    assert progress.failed_by_code == {"http_403": 10}


@pytest.mark.parametrize("limit", [None, 2])
async def test_one_refusal_and_nothing_else_is_the_fault_of_its_item(world: World, limit):
    model = Model(lambda item, n: refused("http_418"))
    progress = await world.engine(model, source=items(2), max_items=limit).run()
    assert progress.counts == Counts(failed=2)


async def test_what_is_held_back_is_pending_after_a_stop(world: World):
    model = Model(lambda item, n: refused() if item.key == "item-0001" else succeed(item, n), 10)
    engine = world.engine(model, source=items(2), concurrency=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run)
        await anyio.sleep(12)
        engine.cancel()
    assert world.store.item_states()["item-0001"] == "pending"


# This machine -------------------------------------------------------------------------------------


async def test_a_shortage_lowers_the_limit_and_is_no_attempt(world: World):
    model = Model(lambda item, n: SHORT if model.in_flight >= 5 else succeed(item, n))
    progress = await world.engine(model, source=items(200), concurrency=20).run()
    assert progress.counts == Counts(succeeded=200)
    assert {record.attempt.number for record in world.store.records} == {1}
    assert min(event.value for event in world.notebook.of(LimitChanged)) <= 8
    assert [notice.code for notice in world.notebook.of(Notice)] == ["too_many_open_files"]


async def test_a_shortage_without_end_ends_the_run_and_fails_nobody(world: World):
    engine = world.engine(Model(lambda item, n: SHORT), source=items(50), give_up_after=600.0)
    with pytest.raises(RunAborted) as aborted:
        await engine.run()
    assert aborted.value.code == "too_many_open_files"
    assert await world.store.fetch_counts() == Counts(pending=50)
    assert 600 < anyio.current_time() < 700
    assert world.notebook.of(OutageOngoing)


async def test_it_is_told_when_a_shortage_is_over(world: World):
    model = Model(lambda item, n: SHORT if anyio.current_time() < 60 else succeed(item, n))
    progress = await world.engine(model, source=items(50)).run()
    assert progress.counts == Counts(succeeded=50)
    assert [back.code for back in world.notebook.of(OutageEnded)] == ["too_many_open_files"]


# No wait without an end ---------------------------------------------------------------------------


async def test_one_long_retry_after_does_not_stop_the_others(world: World):
    model = Model(
        lambda item, n: (
            transient("http_429", retry_after=3600.0)
            if (item.key, n) == ("item-0003", 1) and anyio.current_time() < 60
            else succeed(item, n)
        )
    )
    await world.engine(model, source=items(100), deadline=30.0).run()
    assert sorted(model.starts)[-2] < 60
    assert anyio.current_time() < 60


async def test_retry_after_of_everybody_outlasts_no_patience(world: World):
    model = Model(lambda item, n: transient("http_503", retry_after=3600.0))
    with pytest.raises(RunAborted):
        await world.engine(
            model, source=items(50), cold_start_timeout=100.0, give_up_after=100.0
        ).run()
    assert anyio.current_time() < 200


@pytest.mark.parametrize("code", ["http_429", "http_500", "timeout"])
async def test_retry_after_beats_no_deadline(world: World, code: str):
    failure = transient(code, retry_after=3600.0)
    model = Model(lambda item, n: failure if item.key == "item-0001" else succeed(item, n))
    progress = await world.engine(model, source=items(50), deadline=20.0).run()
    assert progress.counts == Counts(succeeded=49, failed=1)
    assert anyio.current_time() < 60


async def test_a_service_that_is_deaf_does_not_outlast_the_cold_start(world: World):
    model = Model(seconds=600.0)
    engine = world.engine(model, source=items(50), first_answer_timeout=30.0)
    with pytest.raises(RunAborted) as aborted:
        await engine.run()
    assert aborted.value.code == "no_answer"
    assert anyio.current_time() == pytest.approx(30, abs=1)
    assert await world.store.fetch_counts() == Counts(pending=50)


async def test_a_slow_service_is_not_deaf_once_it_has_answered(world: World):
    calls = 0

    def seconds() -> float:
        nonlocal calls
        calls += 1
        return 1.0 if calls == 1 else 600.0

    class Slow(Model):
        async def attempt(self, item, number):
            self.seconds = seconds()
            return await super().attempt(item, number)

    progress = await world.engine(Slow(), source=items(8), first_answer_timeout=30.0).run()
    assert progress.counts == Counts(succeeded=8)
