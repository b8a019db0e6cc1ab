"""Blocking work for an event loop, done by a few threads of its own: cheap, and never in the way.

A hop into a thread and back costs as much as a whole HTTP call when each is announced to the loop
by itself; here results pile up while the loop is busy, and it is woken once per pile. Work that
hangs (a dead file server) costs its thread: when others have to wait, another thread is started,
and the threads are daemons, so that the process can end all the same. Idle threads go home.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

LATE: Final = 0.1
"""Seconds that work may wait for a thread before another one is started: a busy processor alone
makes it wait for some 30 ms, and each thread more costs memory that the others cannot reuse."""
IDLE: Final = 5.0
PATIENCE: Final = 300.0
"""Seconds; what takes longer does not answer at all."""


class Threads:
    """At most `most` threads for one event loop; without work for `idle` seconds, they end."""

    def __init__(self, most: int, idle: float = IDLE) -> None:
        self._most = most
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waited_for: dict[_Job, None] = {}
        self._done: deque[_Job] = deque()
        self._told = False
        """Whether the loop knows that something is done."""
        self._reached = 0.0
        """When that work was asked for which a thread took up last: how far behind they are."""
        self._watching = False

    async def run(self, work: Callable[[], T], patience: float = PATIENCE) -> T:
        """What `work` returns or raises. Cancelled, it is left to itself.

        So it is after `patience` seconds; then TimeoutError is raised. Raises RuntimeError when no
        thread can be started.
        """
        if not self._count:
            self._start()
        job = _Job(work, self._loop.create_future(), patience)
        self._waited_for[job] = None
        self._jobs.put(job)
        if not self._watching:
            self._watching = True
            self._loop.call_later(LATE, self._watch)
        try:
            result: T = await job.future
        finally:
            del self._waited_for[job]
        return result

    # On the loop ---------------------------------------------------------------------------------

    def _start(self) -> None:
        threading.Thread(target=self._work, name="batchinfer", daemon=True).start()
        self._count += 1

    def _watch(self) -> None:
        """One timer for all work: a timer for each would cost as much as many a piece of it."""
        now = time.monotonic()
        for job in self._waited_for:
            if now > job.until:
                job.give_up()
        if self._jobs.qsize() and self._count < self._most and now - self._reached > LATE:
            with suppress(RuntimeError):  # no thread to be had: those that are there go on
                self._start()
        self._watching = bool(self._waited_for)
        if self._watching:
            self._loop.call_later(LATE, self._watch)

    def _deliver(self) -> None:
        self._told = False  # first: what is done from now on is told again
        while self._done:
            job = self._done.popleft()
            if job.future.done():  # cancelled
                continue
            if job.error is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(job.error)

    def _retire(self) -> None:
        self._count -= 1
        self._jobs.put(None)

    # In a thread ---------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while (job := self._next()) is not None:
                self._reached = job.asked
                job.do()
                self._done.append(job)
                if not self._told:
                    self._told = True
                    self._loop.call_soon_threadsafe(self._deliver)
                del job  # its result may be large, and the next one may be long in coming
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def _next(self) -> _Job | None:
        while True:
            try:
                return self._jobs.get(timeout=self._idle)
            except queue.Empty:
                self._loop.call_soon_threadsafe(self._retire)


class _Job:
    """One piece of work and what came of it."""

    __slots__ = ("asked", "error", "future", "result", "until", "work")

    def __init__(
        self, work: Callable[[], object], future: asyncio.Future[Any], patience: float
    ) -> None:
        self.work = work
        self.future = future
        self.asked = time.monotonic()
        self.until = self.asked + patience
        self.result: object = None
        self.error: BaseException | None = None

    def give_up(self) -> None:
        if not self.future.done():
            self.future.set_exception(TimeoutError())

    def do(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - whoever asked gets it
            self.error = error
