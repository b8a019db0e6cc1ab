"""The memory budget, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import anyio.abc
import pytest
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.flow.memory_budget import MemoryBudget

pytestmark = pytest.mark.event_loops("virtual")


class Dock:
    """Bodies of some size, each held for some time; notes when each came in."""

    def __init__(self, budget: int) -> None:
        self.budget = MemoryBudget(budget)
        self.came: dict[str, float] = {}
        self.most = 0

    async def body(self, name: str, size: int, seconds: float = 1.0) -> None:
        with self.budget.new_reservation() as reservation:
            await reservation.acquire(size)
            self.came[name] = anyio.current_time()
            self.most = max(self.most, self.budget.used_bytes)
            await anyio.sleep(seconds)


async def run(dock: Dock, *bodies: tuple[str, int]) -> dict[str, float]:
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for body in bodies:
            tasks.start_soon(dock.body, *body)
            await anyio.wait_all_tasks_blocked()
    assert dock.budget.used_bytes == 0
    return {name: round(at - began, 3) for name, at in dock.came.items()}


async def test_as_much_as_fits_is_let_in_at_once():
    dock = Dock(100)
    assert await run(dock, ("a", 50), ("b", 50), ("c", 50)) == {"a": 0, "b": 0, "c": 1}
    assert dock.most == 100


async def test_what_is_larger_than_the_budget_goes_alone():
    dock = Dock(100)
    came = await run(dock, ("a", 10), ("giant", 5_000), ("b", 10), ("c", 10))
    assert came == {"a": 0, "giant": 1, "b": 2, "c": 2}


async def test_nothing_small_overtakes_what_is_large():
    """First come, first served: else a stream of small ones would starve the large one."""
    dock = Dock(100)
    came = await run(dock, ("a", 60), ("large", 80), *((f"small-{n}", 10) for n in range(5)))
    assert came["large"] == 1
    assert {at for name, at in came.items() if name.startswith("small")} == {1, 2}


async def test_who_needs_no_room_never_waits():
    assert await run(Dock(100), ("a", 100), ("b", 100), ("none", 0)) == {"a": 0, "none": 0, "b": 1}


async def test_what_shrinks_makes_room_for_others():
    dock = Dock(100)

    async def shrinking() -> None:
        with dock.budget.new_reservation() as reservation:
            await reservation.acquire(90)
            await anyio.sleep(1)
            reservation.shrink(40)
            reservation.shrink(60)  # never more again
            assert reservation.size == 40
            await anyio.sleep(5)
            reservation.release()
            reservation.release()  # once is enough
            await anyio.sleep(5)

    async with anyio.create_task_group() as tasks:
        began = anyio.current_time()
        tasks.start_soon(shrinking)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(dock.body, "a", 60, 7.0)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(dock.body, "b", 40)
    assert {name: at - began for name, at in dock.came.items()} == {"a": 1, "b": 6}
    assert dock.budget.used_bytes == 0


async def test_who_is_cut_off_while_waiting_leaves_no_gap_in_the_queue():
    dock = Dock(100)
    async with anyio.create_task_group() as tasks:
        began = anyio.current_time()
        tasks.start_soon(dock.body, "a", 60, 10.0)
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as impatient:
            impatient.start_soon(dock.body, "large", 90)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(dock.body, "b", 40)
            await anyio.sleep(1)
            assert "b" not in dock.came
            impatient.cancel_scope.cancel()
    assert dock.came["b"] == began + 1
    assert "large" not in dock.came
    assert dock.budget.used_bytes == 0


@pytest.mark.event_loops("asyncio")
async def test_who_is_cut_off_in_the_moment_of_being_let_in_takes_nothing_along():
    """As asyncio itself cuts off: also who has been woken up already."""
    dock = Dock(100)
    first = dock.budget.new_reservation()
    await first.acquire(100)
    task = asyncio.create_task(dock.body("a", 100))
    await anyio.wait_all_tasks_blocked()
    first.release()
    assert dock.budget.used_bytes == 100  # its turn has come, but it has not run yet
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert dock.budget.used_bytes == 0


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(1, 5)), max_size=20))
def test_the_budget_holds_and_everybody_comes_in(bodies):
    dock = Dock(100)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number, (size, seconds) in enumerate(bodies):
                tasks.start_soon(dock.body, str(number), size, float(seconds))

    _on_virtual_time(main)
    assert len(dock.came) == len(bodies)
    assert dock.most <= max([100, *(size for size, _ in bodies)])
    assert dock.budget.used_bytes == 0


def _on_virtual_time(main: Callable[[], anyio.abc.Awaitable[None]]) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0)
    anyio.run(main, backend="trio", backend_options={"clock": clock})
