"""The engine in async mode with a watcher that is told of outputs."""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest

from batchinfer.domain import Counts, Failure, Item, Reply, Submitted
from batchinfer.engine.collector import PollInterval
from batchinfer.errors import RunAborted
from batchinfer.ports import EmitOutput, OpenItems, OutputArrival, PollAdvice
from support.world import Bucket, World, items

pytestmark = pytest.mark.event_loops("virtual")


@dataclass
class NotifiedBucket(Bucket):
    """A bucket that tells of its outputs, but for those of which `is_lost` says it."""

    pause: float | None = 300.0
    is_lost: Callable[[int, int], bool] = lambda position, attempt: False
    drops_at: float | None = None
    polls: list[float] = field(default_factory=list)
    listening: int = 0
    named: list[tuple[int, int]] = field(default_factory=list)
    wakeup: Callable[[], None] | None = None

    async def attempt(self, item: Item, number: int) -> Submitted | Failure:
        outcome = await super().attempt(item, number)
        self.tasks.start_soon(self._tell, item.position, number)
        return outcome

    async def _tell(self, position: int, attempt: int) -> None:
        await anyio.sleep(self.seconds)
        if self.wakeup is not None and not self.is_lost(position, attempt):
            self.named.append((position, attempt))
            self.wakeup()

    async def listen(self, wakeup: Callable[[], None]) -> None:
        self.listening += 1
        async with anyio.create_task_group() as self.tasks:
            self.wakeup = wakeup
            try:
                if self.drops_at is not None:
                    await anyio.sleep(self.drops_at)
                    self.wakeup, self.pause = None, None
                    wakeup()
                await anyio.sleep_forever()
            finally:
                self.listening -= 1
                self.wakeup = None
                self.tasks.cancel_scope.cancel()

    def advise(self) -> PollAdvice:
        due = anyio.current_time() if self.named else None
        return PollAdvice(self.pause if self.wakeup else None, due)

    async def poll(self, items: OpenItems, emit: EmitOutput) -> None:
        self.polls.append(anyio.current_time())
        await super().poll(items, emit)

    async def poll_named(self, items: OpenItems, emit: EmitOutput) -> None:
        if self.away():
            raise OSError("the bucket is away")
        named, self.named = self.named, []
        open_items = await items.fetch_open({position for position, _ in named})
        for position, attempt in named:
            if position in open_items:
                await emit(OutputArrival(open_items[position], attempt, Reply()))


def run(world: World, bucket: NotifiedBucket, limit: int = 20, **more):
    more.setdefault("overdue_after", 3600)
    return world.engine(bucket, watcher=bucket, submitted_limit=limit, **more)


async def test_outputs_are_collected_when_they_are_named(world: World):
    bucket = NotifiedBucket(seconds=30)
    progress = await run(world, bucket, limit=1, source=items(20)).run()
    assert progress.counts == Counts(succeeded=20)
    assert len(bucket.polls) <= 20 * 30 / 300 + 2
    seconds = [record.attempt.seconds for record in world.store.records if record.attempt.seconds]
    assert max(seconds) < 31
    assert bucket.listening == 0


async def test_lost_events_are_found_by_the_next_poll(world: World):
    bucket = NotifiedBucket(seconds=30, is_lost=lambda position, _: position == 5)
    progress = await run(world, bucket, source=items(10)).run()
    assert progress.counts == Counts(succeeded=10)
    assert len(bucket.inputs) == 10


async def test_a_dropped_stream_makes_polls_as_frequent_as_without(world: World):
    bucket = NotifiedBucket(seconds=200, drops_at=50.0)
    progress = await run(world, bucket, source=items(1)).run()
    assert progress.counts == Counts(succeeded=1)
    later = [at for at in bucket.polls if at > 50]
    assert later[0] < 60
    assert anyio.current_time() < 200 + 0.05 * 200 + 2


async def test_a_job_that_was_lost_is_submitted_again(world: World):
    """The horizon needs whole polls, however rare they are."""

    def script(position: int, attempt: int):
        return None if (position, attempt) == (3, 1) else Reply()

    bucket = NotifiedBucket(script, seconds=20)
    bucket.is_lost = lambda position, attempt: script(position, attempt) is None
    progress = await run(world, bucket, limit=2, source=items(6), overdue_after=900).run()
    assert progress.counts == Counts(succeeded=6)
    assert sorted(bucket.inputs) == [(1, 1), (2, 1), (3, 1), (3, 2), (4, 1), (5, 1), (6, 1)]


async def test_a_bucket_that_is_away_while_named_outputs_are_read_costs_only_time(world: World):
    bucket = NotifiedBucket(seconds=5, away=lambda: 10 < anyio.current_time() < 400)
    progress = await run(world, bucket, source=items(100)).run()
    assert progress.counts == Counts(succeeded=100)


async def test_a_bucket_that_stays_away_ends_the_run(world: World):
    bucket = NotifiedBucket(away=lambda: anyio.current_time() > 10)
    with pytest.raises(RunAborted):
        await run(world, bucket, source=items(100), give_up_after=300).run()
    assert bucket.listening == 0


async def test_a_stop_ends_the_stream_at_once(world: World):
    bucket = NotifiedBucket(seconds=1000)
    engine = run(world, bucket, source=items(50), limit=10)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run)
        await anyio.sleep(20)
        assert bucket.listening == 1
        engine.stop()
    assert bucket.listening == 0
    assert anyio.current_time() < 35


async def test_only_submitting_needs_no_stream(world: World):
    bucket = NotifiedBucket()
    async with anyio.create_task_group() as bucket.tasks:
        await run(world, bucket, source=items(5), collects=False).run()
        assert bucket.listening == 0
        bucket.tasks.cancel_scope.cancel()


def test_pauses_are_a_share_of_the_silence():
    interval = PollInterval()
    pauses = {0: 0.5, 10: 0.5, 30: 1.5, 60: 2.5, 600: 2.5, 1200: 5.0, 2400: 10.0, 9999: 10.0}
    assert {silence: interval.choose_pause(silence) for silence in pauses} == pauses
