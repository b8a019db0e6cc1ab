"""The one property that matters: interrupt anywhere, resume: nothing lost, nothing twice.

Any script of outcomes, any concurrency, any moments of stopping or killing, in both modes: in the
end every item has the one outcome that its script leads to, its attempts are numbered without gap
or repetition, and nothing was asked of the service beyond what was in flight at the kills.
"""

from collections import Counter

import anyio
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.domain import Failure, FailureKind, Item, Reply, State
from batchinfer.flow.retries import RetryPolicy
from support.world import Bucket, Model, World, cold, items, permanent, transient

pytestmark = pytest.mark.event_loops("virtual")

MAX_ATTEMPTS = 4

outcomes = st.sampled_from(["reply", "transient", "permanent"])
scripts = st.lists(st.lists(outcomes, min_size=1, max_size=6), min_size=1, max_size=25)
moments = st.lists(
    st.tuples(st.floats(0.01, 40), st.sampled_from(["stop", "cancel", "kill"])), max_size=5
)


def outcome(script: list[str], number: int):
    step = script[min(number, len(script)) - 1]
    match step:
        case "reply":
            return Reply(prediction=number)
        case "transient":
            return transient()
        case _:
            return permanent()


def expected(script: list[str]):
    """What a script leads to, and after how many attempts."""
    for number in range(1, MAX_ATTEMPTS + 1):
        result = outcome(script, number)
        if not (isinstance(result, Failure) and result.kind is FailureKind.TRANSIENT):
            break
    return result, number


async def interrupted(world: World, make_engine, moments) -> int:
    """Run to the end through all interruptions; how many attempts were cut off."""
    cut = 0
    for seconds, how in moments:
        engine = make_engine()
        with anyio.CancelScope() as process:
            async with anyio.create_task_group() as group:
                group.start_soon(engine.run)
                await anyio.sleep(seconds)
                if how == "kill":
                    cut += engine.progress.in_flight
                    process.cancel()
                elif how == "cancel":
                    cut += engine.progress.in_flight
                    engine.cancel()
                else:
                    engine.stop()
    await make_engine().run()
    return cut


def check(world: World, script: list[list[str]]) -> None:
    wanted = [expected(steps) for steps in script]
    assert list(world.store.final_outcomes().values()) == [result for result, _ in wanted]
    assert set(world.store.item_states().values()) <= {State.SUCCEEDED, State.FAILED}
    numbers: dict[int, list[int]] = {}
    for record in world.store.records:
        if record.state is not State.SUBMITTED:
            numbers.setdefault(record.position, []).append(record.attempt.number)
    assert numbers == {
        position: list(range(1, tries + 1)) for position, (_, tries) in enumerate(wanted, start=1)
    }


def on_virtual_clock(test) -> None:
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.slow
@given(scripts, moments, st.integers(1, 6), st.floats(0.1, 5))
@settings(max_examples=150, deadline=None)
def test_sync_mode(script, moments, concurrency, seconds):
    async def run() -> None:
        world, calls = World(), Counter()

        def step(item: Item, number: int):
            calls[item.position] += 1
            is_cold = anyio.current_time() < 3
            return cold() if is_cold else outcome(script[item.position - 1], number)

        model = Model(step, seconds)
        source = items(len(script))
        cut = await interrupted(
            world,
            lambda: world.engine(
                model,
                source=None if world.store.is_source_complete else source,
                concurrency=concurrency,
                retry=RetryPolicy(MAX_ATTEMPTS),
            ),
            moments,
        )
        check(world, script)
        waits = sum(model.finished.values()) - len(world.store.records)
        assert len(model.began) <= len(world.store.records) + cut + waits

    on_virtual_clock(run)


@pytest.mark.slow
@given(scripts, moments, st.integers(1, 30), st.floats(0.1, 5))
@settings(max_examples=150, deadline=None)
def test_async_mode(script, moments, limit, seconds):
    async def run() -> None:
        world = World()
        bucket = Bucket(lambda position, n: outcome(script[position - 1], n), seconds)
        source = items(len(script))
        await interrupted(
            world,
            lambda: world.engine(
                bucket,
                watcher=bucket,
                source=None if world.store.is_source_complete else source,
                submitted_limit=limit,
                overdue_after=1000,
                retry=RetryPolicy(MAX_ATTEMPTS),
            ),
            moments,
        )
        check(world, script)
        # Bucket.attempt asserts that no name is ever submitted twice.
        assert len(bucket.inputs) == sum(expected(steps)[1] for steps in script)

    on_virtual_clock(run)
