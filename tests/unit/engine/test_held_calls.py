"""Calls that a backend has on hold: that time counts neither for the service nor for the item."""

from dataclasses import dataclass, field
from itertools import pairwise

import anyio
import pytest

from batchinfer.domain import Counts, Failure, FailureKind, Reply, ServiceSignal
from batchinfer.errors import RunAborted
from batchinfer.flow import AdaptiveLimit, DenialStreak, ServiceHealth, ServiceState
from batchinfer.ports import OutageOngoing
from support.world import EPOCH, World, cold, items, now, succeed

pytestmark = pytest.mark.event_loops("virtual")


@dataclass
class Workers:
    """A backend whose workers are away for a while: what they had is begun again after it."""

    lost_at: float
    back_at: float
    seconds: float = 1.0
    slow: dict[int, float] = field(default_factory=dict)
    script = staticmethod(succeed)
    starts: list[tuple[str, float]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    async def attempt(self, item, number):
        raise AssertionError("the engine has a clock to pass")

    async def attempt_timed(self, item, number, clock):
        self.calls.append(item.key)
        ends_at = None
        while ends_at is None:
            if self.lost_at <= anyio.current_time() < self.back_at:
                clock.hold()
                await anyio.sleep_until(self.back_at)
                clock.restart()
            self.starts.append((item.key, anyio.current_time()))
            with anyio.move_on_at(self.lost_at if anyio.current_time() < self.lost_at else 1e9):
                await anyio.sleep(self.slow.get(item.position, self.seconds))
                ends_at = anyio.current_time()
        return self.script(item, number)


def attempts_of(world: World) -> list:
    return [record.attempt for record in world.store.records]


async def test_an_attempt_that_waits_for_long_at_the_end_is_neither_given_up_nor_sent_twice(
    world: World,
):
    workers = Workers(lost_at=19.5, back_at=1_000)
    progress = await world.engine(workers, source=items(200), concurrency=10).run()
    assert progress.counts == Counts(succeeded=200)
    assert len(workers.calls) == 200
    assert {attempt.number for attempt in attempts_of(world)} == {1}
    assert all(isinstance(attempt.outcome, Reply) for attempt in attempts_of(world))


async def test_the_seconds_of_an_attempt_are_those_of_the_one_that_was_answered(world: World):
    workers = Workers(lost_at=5.5, back_at=500)
    await world.engine(workers, source=items(20), concurrency=2).run()
    begun_again = [attempt for attempt in attempts_of(world) if attempt.started_at >= EPOCH + 500]
    assert {attempt.seconds for attempt in attempts_of(world)} == {1.0}
    assert sorted(attempt.started_at for attempt in begun_again)[:2] == [EPOCH + 500] * 2
    assert now() < EPOCH + 520


async def test_a_straggler_that_began_again_gets_its_second_call_by_its_new_time(world: World):
    workers = Workers(lost_at=19.5, back_at=100, slow={199: 3, 200: 3})
    progress = await world.engine(workers, source=items(200), concurrency=10).run()
    assert progress.counts == Counts(succeeded=200)
    assert sorted(workers.calls[200:]) == ["item-0199", "item-0200"]
    seconds = [start for key, start in workers.starts if key == "item-0199"]
    assert seconds == [19.0, 100.0, 101.5]


async def test_a_stop_does_not_wait_for_calls_on_hold(world: World):
    workers = Workers(lost_at=5.5, back_at=10_000)
    engine = world.engine(workers, source=items(20), concurrency=2)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(60)
        engine.stop()
    assert now() == EPOCH + 60
    assert len(attempts_of(world)) == 2 * 5  # what was on hold has left no trace


async def test_a_call_that_is_put_on_hold_after_a_stop_is_cut_off(world: World):
    workers = Workers(lost_at=5.5, back_at=10_000)
    engine = world.engine(workers, source=items(20), concurrency=2)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(5.2)
        engine.stop()
    assert now() == EPOCH + 5.5
    assert len(attempts_of(world)) == 2 * 5


async def test_nothing_begins_while_all_calls_are_on_hold(world: World):
    workers = Workers(lost_at=3.2, back_at=200)
    progress = await world.engine(workers, source=items(50), concurrency=20, rate=2).run()
    assert progress.counts == Counts(succeeded=50)
    back = [start for _, start in workers.starts if start >= 200]
    assert len([start for start in back if start == 200]) <= 3  # what was in flight, and no more
    assert len([start for start in back if start <= 205]) <= 3 + 2 * 5 + 1


async def test_a_service_that_was_not_called_is_not_blamed_for_its_silence(world: World):
    workers = Workers(lost_at=0.0, back_at=300)
    engine = world.engine(
        workers, source=items(5), health=ServiceState.COLD, first_answer_timeout=60
    )
    assert (await engine.run()).counts == Counts(succeeded=5)
    world = World()
    silent = Workers(lost_at=0.0, back_at=300, seconds=1_000)
    engine = world.engine(
        silent, source=items(5), health=ServiceState.COLD, first_answer_timeout=60
    )
    began = anyio.current_time()
    silent.back_at += began
    with pytest.raises(RunAborted) as error:
        await engine.run()
    assert error.value.code == "no_answer"
    assert anyio.current_time() == pytest.approx(silent.back_at + 60)


async def test_a_service_that_is_down_is_not_given_up_for_time_without_workers(world: World):
    workers = Workers(lost_at=30.5, back_at=2_000, seconds=0.1)
    workers.script = lambda item, number: (
        cold() if 10 < anyio.current_time() < 2_030 else succeed(item, number)
    )
    engine = world.engine(workers, source=items(200), concurrency=1, give_up_after=100)
    assert (await engine.run()).counts == Counts(succeeded=200)
    assert max(event.seconds for event in world.notebook.of(OutageOngoing)) < 100


async def test_a_probe_on_hold_is_no_sign_that_the_service_serves_it(world: World):
    workers = Workers(lost_at=0.0, back_at=100, seconds=0.1)
    workers.script = lambda item, number: (
        cold() if anyio.current_time() < 130 else succeed(item, number)
    )
    engine = world.engine(workers, source=items(50), concurrency=20, health=ServiceState.COLD)
    assert (await engine.run()).counts == Counts(succeeded=50)
    early = [start for _, start in workers.starts if start < 130]
    assert min(after - before for before, after in pairwise(early)) >= 1  # one after the other


async def test_a_held_call_that_is_cut_off_lets_the_others_begin(world: World):
    class FirstWaits(Workers):
        async def attempt_timed(self, item, number, clock):
            if item.position == 1:
                clock.hold()
                clock.hold()
                try:
                    await anyio.sleep(50)
                    return Failure("worker_lost", "x", FailureKind.TRANSIENT)
                finally:
                    self.calls.append("ended")
            return await super().attempt_timed(item, number, clock)

    workers = FirstWaits(lost_at=1e9, back_at=1e9)
    engine = world.engine(workers, source=items(9), concurrency=1)
    progress = await engine.run()
    assert progress.counts.succeeded == 8


def test_health_and_denials_do_not_age_while_nothing_is_with_the_service():
    health = ServiceHealth(ServiceState.WARM)
    for position in (1, 2):
        health.on_outcome(ServiceSignal.UNREACHABLE, position, 10.0, 11.0)
    assert health.down_for(20.0) == 10.0
    health.skip_time(100.0)
    assert health.down_for(120.0) == 10.0
    denials = DenialStreak()
    denials.on_denial(1, 10.0)
    denials.skip_time(100.0)
    assert denials.since == 110.0


def test_the_limit_begins_carefully_after_long():
    limit = AdaptiveLimit(start=8)
    limit.value = 100
    assert limit.skip_time(10.0, 20.0) is None
    assert limit.value == 100
    limit.skip_time(100.0, 200.0)
    assert limit.value == 8
