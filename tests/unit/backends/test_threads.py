from __future__ import annotations

import threading
import weakref

import anyio
import pytest

from batchinfer.backends.thread_pool import DaemonThreadPool


async def test_work_is_done_elsewhere_and_its_result_comes_back():
    threads = DaemonThreadPool(2)
    assert await threads.run(threading.current_thread) is not threading.current_thread()


async def test_what_work_raises_is_raised_here():
    threads = DaemonThreadPool(1)
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    assert await threads.run(lambda: "still working") == "still working"


async def test_each_result_goes_to_who_asked_for_it():
    threads, got = DaemonThreadPool(4), dict[int, int]()

    async def ask(number: int) -> None:
        got[number] = await threads.run(lambda: number * number)

    async with anyio.create_task_group() as tasks:
        for number in range(500):
            tasks.start_soon(ask, number)
    assert got == {number: number * number for number in range(500)}


async def test_a_result_is_held_by_nobody_but_who_asked_for_it():
    """It may be large, and a thread may wait long for its next work."""

    class Large:
        pass

    threads = DaemonThreadPool(1)
    held = weakref.ref(await threads.run(Large))
    with anyio.fail_after(4):  # sooner than an idle thread goes home
        while held() is not None:  # noqa: ASYNC110 - the thread tells nobody
            await anyio.sleep(0.01)


async def test_work_that_hangs_holds_up_nobody_else():
    threads, hung = DaemonThreadPool(4), threading.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(threads.run, hung.wait)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(20):
            assert await threads.run(lambda: "done") == "done"
        hung.set()


async def test_cancelled_work_is_left_to_itself():
    threads, hung = DaemonThreadPool(1), threading.Event()
    with anyio.move_on_after(0.05) as scope:
        await threads.run(hung.wait)
    assert scope.cancelled_caught
    hung.set()
    assert await threads.run(lambda: "done") == "done"


async def test_threads_without_work_end():
    threads = DaemonThreadPool(1, idle_seconds=0.02)
    one = await threads.run(threading.current_thread)
    with anyio.fail_after(20):
        while one.is_alive():  # noqa: ASYNC110 - a thread tells nobody that it ends
            await anyio.sleep(0.01)
    assert await threads.run(threading.current_thread) is not one
