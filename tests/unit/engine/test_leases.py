"""Items of a run, worked on elsewhere: no lock, no source, and only pickled values cross."""

import math
import pickle
from collections.abc import Sequence

from batchinfer.domain import Counts, Item, Record, State
from batchinfer.engine import Engine, RunPolicy
from batchinfer.flow import FixedLimit, Gate, RetryPolicy
from batchinfer.ports import LimitChanged
from batchinfer.store.memory import MemoryStore
from support.world import Model, Notebook, World, items, now, succeed, transient


class Relay:
    """A sink that sends records home, and lets the local queue know of them."""

    def __init__(self, home: MemoryStore, queue: MemoryStore) -> None:
        self.home, self.queue = home, queue

    async def commit_records(self, records: Sequence[Record]) -> Sequence[State | None]:
        sent = pickle.loads(pickle.dumps(list(records)))
        states = await self.home.commit_records(sent)
        assert states == await self.queue.commit_records(records)
        return states

    async def save_limit_changes(self, changes: Sequence[LimitChanged]) -> None:
        await self.home.save_limit_changes(changes)

    async def fetch_counts(self) -> Counts:
        return await self.queue.fetch_counts()


async def lease(home: MemoryStore, after: int, count: int) -> Sequence[Item]:
    return pickle.loads(pickle.dumps(await home.fetch_pending(after, count, math.inf)))


async def work(home: MemoryStore, leased: Sequence[Item], model: Model) -> Counts:
    queue = MemoryStore()
    await queue.add(leased)
    engine = Engine(
        queue=queue,
        sink=Relay(home, queue),
        gate=Gate(FixedLimit(4)),
        observer=Notebook(),
        backend=model,
        policy=RunPolicy(retry=RetryPolicy(max_attempts=3)),
        clock=now,
        jitter=lambda: 0.5,
    )
    return (await engine.run()).counts


async def test_what_is_leased_is_recorded_where_it_came_from(world: World):
    await world.store.add(items(100))
    leased = await lease(world.store, 60, 25)
    model = Model(lambda item, n: transient() if n == 1 else succeed(item, n))
    assert await work(world.store, leased, model) == Counts(succeeded=25)
    assert await world.store.fetch_counts() == Counts(pending=75, succeeded=25)
    assert {record.position for record in world.store.records} == set(range(61, 86))
    assert await work(world.store, await lease(world.store, 0, 99), Model()) == Counts(succeeded=75)
    assert await world.store.fetch_counts() == Counts(succeeded=100)


async def test_attempts_made_before_the_lease_count(world: World):
    await world.store.add(items(3))
    never = Model(lambda item, n: transient())
    await world.engine(never, max_items=3, deadline=0.5).run()
    assert await world.store.fetch_counts() == Counts(failed=3)
    await world.store.requeue(key="item-0002")
    (item,) = await lease(world.store, 0, 9)
    assert await work(world.store, [item], never) == Counts(failed=1)
    numbers = [one.attempt.number for one in world.store.records if one.position == 2]
    assert numbers == [1, 2, 3, 4]
