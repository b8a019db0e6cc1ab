"""Blocking work for an event loop, done by a few threads.

A hop into a thread and back costs as much as a whole HTTP call when each result is announced to the
loop by itself; here results accumulate while the loop is busy, and it is woken once for all of
them. Work that hangs (a dead file server) occupies its thread: when other work has to wait, another
thread is started. The threads are daemons, so that the process can end all the same; idle threads
end.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, TypeVar

T = TypeVar("T")

SPAWN_THREAD_AFTER_SECONDS: Final = 0.1
"""Seconds that work may wait for a thread before another one is started: a busy processor alone
makes it wait for some 30 ms, and each thread more costs memory that the others cannot reuse."""
THREAD_IDLE_SECONDS: Final = 5.0
WORK_TIMEOUT_SECONDS: Final = 300.0
"""Seconds; what takes longer does not answer at all."""


class DaemonThreadPool:
    """At most `max_threads` threads for an event loop; they end after `idle_seconds` idle.

    Work sees the context (`contextvars`) in which the pool was made.
    """

    def __init__(self, max_threads: int, idle_seconds: float = THREAD_IDLE_SECONDS) -> None:
        self._max_threads = max_threads
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._thread_count = 0
        self._jobs: queue.SimpleQueue[_WorkItem | None] = queue.SimpleQueue()
        self._unfinished: dict[_WorkItem, None] = {}
        self._finished: deque[_WorkItem] = deque()
        self._delivery_scheduled = False
        """Whether the loop knows that something is done."""
        self._last_taken_submitted_at = 0.0
        """When that work was asked for which a thread took up last: how far behind they are."""
        self._timer_active = False

    async def run(self, work: Callable[[], T], seconds: float = WORK_TIMEOUT_SECONDS) -> T:
        """What `work` returns or raises. When it is cancelled, the work goes on unattended.

        So it does after `seconds`; then TimeoutError is raised. Raises RuntimeError when no thread
        can be started.
        """
        if not self._thread_count:
            self._start_thread()
        job = _WorkItem(work, self._loop.create_future(), seconds)
        self._unfinished[job] = None
        self._jobs.put(job)
        if not self._timer_active:
            self._timer_active = True
            self._loop.call_later(SPAWN_THREAD_AFTER_SECONDS, self._on_timer)
        try:
            result: T = await job.future
        finally:
            del self._unfinished[job]
        return result

    # On the loop ---------------------------------------------------------------------------------

    def _start_thread(self) -> None:
        threading.Thread(target=self._run_thread, name="batchinfer", daemon=True).start()
        self._thread_count += 1

    def _on_timer(self) -> None:
        """One timer for all work: a timer for each would cost as much as many a piece of it."""
        now = time.monotonic()
        for job in self._unfinished:
            if now > job.until:
                job.time_out()
        if (
            self._jobs.qsize()
            and self._thread_count < self._max_threads
            and now - self._last_taken_submitted_at > SPAWN_THREAD_AFTER_SECONDS
        ):
            with suppress(RuntimeError):  # no thread to be had: those that are there go on
                self._start_thread()
        self._timer_active = bool(self._unfinished)
        if self._timer_active:
            self._loop.call_later(SPAWN_THREAD_AFTER_SECONDS, self._on_timer)

    def _deliver_results(self) -> None:
        self._delivery_scheduled = False  # first: results from now on wake the loop again
        while self._finished:
            job = self._finished.popleft()
            if job.future.done():  # cancelled
                continue
            if job.error is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(job.error)

    def _retire_thread(self) -> None:
        self._thread_count -= 1
        self._jobs.put(None)

    # In a thread ---------------------------------------------------------------------------------

    def _run_thread(self) -> None:
        try:
            while (job := self._next_job()) is not None:
                self._last_taken_submitted_at = job.asked
                self._context.copy().run(job.run)  # threads cannot share one at a time
                self._finished.append(job)
                if not self._delivery_scheduled:
                    self._delivery_scheduled = True
                    self._loop.call_soon_threadsafe(self._deliver_results)
                del job  # its result may be large, and the next one may be long in coming
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def _next_job(self) -> _WorkItem | None:
        while True:
            try:
                return self._jobs.get(timeout=self._idle_seconds)
            except queue.Empty:
                self._loop.call_soon_threadsafe(self._retire_thread)


class _WorkItem:
    """One piece of work and what came of it."""

    __slots__ = ("asked", "error", "future", "result", "until", "work")

    def __init__(
        self, work: Callable[[], object], future: asyncio.Future[Any], seconds: float
    ) -> None:
        self.work = work
        self.future = future
        self.asked = time.monotonic()
        self.until = self.asked + seconds
        self.result: object = None
        self.error: BaseException | None = None

    def time_out(self) -> None:
        if not self.future.done():
            self.future.set_exception(TimeoutError())

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - the caller gets it
            self.error = error
