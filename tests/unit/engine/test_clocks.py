"""A clock that was once ahead: what lies in the future is neither waited for nor believed."""

from __future__ import annotations

import anyio
import pytest

from batchinfer.domain import Attempt, Counts, Record, Reply, State, Submitted
from support.world import Bucket, Model, World, items, now, transient

pytestmark = pytest.mark.event_loops("virtual")

YEAR = 365 * 86_400.0


async def put(world: World, position: int, outcome, state: State, at: float, **more) -> None:
    record = Record(position, Attempt(1, at, 1.0, outcome), state, **more)
    assert (await world.store.commit_records([record]))[0] is not None


async def test_a_retry_that_is_due_in_a_year_is_made_now(world: World):
    await world.store.add(items(3))
    ahead = now() + YEAR
    await put(world, 1, transient(), State.PENDING, ahead, retry_at=ahead + 5)
    model = Model()
    progress = await world.engine(model).run()
    assert progress.counts == Counts(succeeded=3)
    assert ("item-0001", 2) in model.began
    assert anyio.current_time() < 1_000


async def test_one_that_the_server_asked_to_wait_for_is_waited_for(world: World):
    await world.store.add(items(1))
    began = anyio.current_time()
    await put(world, 1, transient(), State.PENDING, now() - 1, retry_at=now() + 500)
    await world.engine(Model()).run()
    assert anyio.current_time() - began >= 500


@pytest.mark.parametrize("answered", [True, False])
async def test_what_was_submitted_in_a_year_is_collected_or_given_up(
    world: World, *, answered: bool
):
    await world.store.add(items(2))
    bucket = Bucket(lambda position, attempt: Reply() if answered or attempt > 1 else None)
    for position in (1, 2):
        bucket.inputs[position, 1] = anyio.current_time()
        await put(world, position, Submitted(f"run-{position}-1"), State.SUBMITTED, now() + YEAR)
    engine = world.engine(bucket, watcher=bucket, submitted_limit=5, overdue_after=100)
    progress = await engine.run()
    assert progress.counts == Counts(succeeded=2)
    assert anyio.current_time() < 10_000
    assert all(record.attempt.started_at <= now() for record in world.store.records[2:])


async def test_an_arrival_from_the_future_makes_no_other_overdue(world: World):
    """The clock is set back while the run goes on."""
    await world.store.add(items(2))
    bucket = Bucket(lambda position, attempt: Reply())
    engine = world.engine(bucket, watcher=bucket, submitted_limit=5, overdue_after=100)
    for position in (1, 2):
        bucket.inputs[position, 1] = anyio.current_time() + 50 * (position - 1)
        at = now() + YEAR if position == 1 else now()
        await put(world, position, Submitted(f"run-{position}-1"), State.SUBMITTED, at)
    world.store.clamp_future_times = nothing
    assert (await engine.run()).counts == Counts(succeeded=2)
    assert set(bucket.inputs) == {(1, 1), (2, 1)}


async def nothing(_: float) -> None:
    """Before the clock was found to be wrong."""
