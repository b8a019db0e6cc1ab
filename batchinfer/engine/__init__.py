"""Feed, live, record: the only concurrency of the core.

::

    add ──▶ store ──page──▶ feed ──window──▶ live ──records──▶ record ──▶ store ──▶ observer
                                              │ gate ▶ backend   ▲
                                              └ (async) bucket ──┴─ collect

Rules:

1. *An item's life is one pipeline* (`_live`): a slot, an attempt, a decision, a record; again.
2. *One writer* (`record.py`): one record, then whatever has piled up while the last transaction
   was written; one commit. Only what is committed is counted, told, or makes room for the next.
3. *Structure is shutdown.* The left side (add, feed, rest, collect) stands inside the middle (the
   workers with the attempts in flight), the middle inside the right side (record). ``stop`` cancels
   the left side: whatever waits there ends at once, while attempts in flight finish and are
   recorded before the right side closes. ``cancel`` cancels the middle: attempts are cut off, and
   leave no trace.
4. *Nothing is held per item of the run*, only per item in the window.
5. *One cause leaves the house*: the first thing that went wrong is raised, alone, after everything
   that was handed to the recorder is durable.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import anyio
from anyio.abc import TaskGroup

from batchinfer.domain import Item
from batchinfer.engine.collect import Collector, Rhythm
from batchinfer.engine.live import Lives
from batchinfer.engine.record import News, Recorder
from batchinfer.engine.terms import Terms, Tools
from batchinfer.errors import FatalError, RunAborted
from batchinfer.limits import Gate
from batchinfer.ports import Backend, Clock, Notice, Observer, Progress, Recorded, Store, Watcher

__all__ = ["Engine", "ReadPage", "Rhythm", "Terms"]

ReadPage: TypeAlias = Callable[[int], Awaitable[Sequence[Item]]]
"""Reads at most so many further items of the source; none: it has been read to its end."""

PAGE = 500
FIRST_PAGE = 32
"""Small, so that the first call is under way while a million files are still being listed."""
READY_SPARE = 256
"""Items alive beside those in flight: a pile being written and the next one, so that the gate never
waits for a commit."""
BACKING_OFF = 1_000
"""Items that may back off at a time: enough that a storm of refusals does not starve the gate, few
enough that memory stays flat."""


class Engine:
    """Brings the pending items of a store to their end. One engine serves one run, once.

    Without `read` nothing is added, without `backend` nothing is fed (collect only). Async mode has
    a `watcher`; without `collects` it only finds what was submitted before (submit only). `clock`
    is the wall clock; durations are the event loop's. `recorded` is awaited after each commit: who
    is slow there slows down the run, and nothing piles up.
    """

    def __init__(
        self,
        *,
        store: Store,
        gate: Gate,
        observer: Observer,
        backend: Backend | None = None,
        read: ReadPage | None = None,
        watcher: Watcher | None = None,
        collects: bool = True,
        terms: Terms | None = None,
        rhythm: Rhythm | None = None,
        recorded: Callable[[Recorded], Awaitable[None]] | None = None,
        clock: Clock = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.stopped = False
        """Whether `stop` or `cancel` was called: the run ended before its end."""
        self._store, self._gate, self._observer = store, gate, observer
        self._read, self._collects, self._clock = read, collects, clock
        self._recorded, self._fed = recorded, 0
        self._terms = terms = terms or Terms()
        self._news = News()
        self._recorder = recorder = Recorder(store, self._news)
        tools = Tools(recorder, observer, terms, clock, chance)
        self._lives = None if backend is None else Lives(backend, gate, tools)
        self._collector = None if watcher is None else Collector(watcher, store, tools, rhythm)
        self._source_open = read is not None
        self._left, self._middle = anyio.CancelScope(), anyio.CancelScope()
        self._cause: Exception | None = None

    async def run(self) -> Progress:
        """Run to the end, or until stopped; where the run stands then.

        Raises RunAborted for a fatal error, StoreError, SourceError; never a group.
        """
        async with anyio.create_task_group() as right:
            right.start_soon(self._guard, self._record)
            try:
                with self._middle:
                    async with anyio.create_task_group() as middle:
                        with self._left:
                            await self._guard(self._left_side, middle)
            finally:
                self._recorder.close()
        if self._cause is not None:
            raise self._cause
        return self.progress

    def stop(self) -> int:
        """Start nothing new, let what is in flight finish; how many that are."""
        self.stopped = True
        self._left.cancel()
        if self._lives is not None:
            self._lives.stop()
        return self._gate.in_flight

    def cancel(self) -> None:
        """Stop, and cut off what is in flight: it leaves no trace and is not counted."""
        self.stop()
        self._middle.cancel()

    @property
    def progress(self) -> Progress:
        """Where the run stands; only what is durable counts."""
        return Progress(
            self._recorder.counts,
            self._gate.in_flight,
            not self._source_open,
            dict(self._recorder.failed_here),
        )

    # The left side: add, feed, live, collect ------------------------------------------------------

    async def _left_side(self, middle: TaskGroup) -> None:
        await self._recorder.recount()
        if self._collector is not None:
            await self._collector.adopt()
        async with anyio.create_task_group() as left:
            if self._collector is not None and self._collects:
                left.start_soon(self._guard, self._collector.run)
            left.start_soon(self._guard, self._add)
            if self._lives is not None:
                self._lives.begin(
                    hire=lambda part, *args: middle.start_soon(self._guard, part, *args),
                    rest=lambda part, *args: left.start_soon(self._guard, part, *args),
                )
            await self._guard(self._feed)
            self._left.cancel()

    async def _add(self) -> None:
        if self._read is None:
            return
        size, changed = FIRST_PAGE, 0
        while page := await self._read(size):
            added = await self._store.add(page)
            self._recorder.added(added.new)
            self._observer.notify(Recorded((), self.progress))
            changed += len(added.changed)
            if added.changed:
                self._observer.notify(_changed(changed, added.changed[-1]))
            size = PAGE
        await self._store.source_read()
        self._source_open = False
        self._news.tell()

    async def _feed(self) -> None:
        if self._lives is None:
            while not self._done():
                await self._news.beyond(self._news.count)
            return
        after, size = 0, min(PAGE, self._terms.submitted_limit or PAGE)
        while True:
            seen = self._news.count
            # Taken before the page is read: whoever is alive now may be on it, still pending.
            alive = frozenset(self._recorder.alive)
            page = await self._store.pending(after, size, self._clock())
            fresh = [item for item in page if item.position not in alive]
            for item in fresh:
                if not await self._room():
                    return
                self._fed += 1
                self._recorder.alive.add(item.position)
                self._lives.take(item)
            if page:
                # In async mode what is to be tried again is pending, before the new ones.
                again = fresh and self._terms.submitted_limit is not None
                after = 0 if again else page[-1].position
            elif self._done():
                return
            else:
                await self._something_new(seen)
                after = 0

    async def _something_new(self, seen: int) -> None:
        now = self._clock()
        due = await self._store.next_due(now)
        with anyio.move_on_after(None if due is None else due - now):
            await self._news.beyond(seen)

    async def _room(self) -> bool:
        """Wait for a place in the window; False when there will be none in this process."""
        while not self._has_room():
            if self._done():
                return False
            await self._news.beyond(self._news.count)
        return True

    def _has_room(self) -> bool:
        alive, limit = len(self._recorder.alive), self._terms.submitted_limit
        backing_off = 0 if self._lives is None else self._lives.resting
        return (
            not self._limit_reached()
            and alive - backing_off < 2 * self._gate.limit.value + READY_SPARE
            and backing_off < BACKING_OFF
            and (limit is None or alive + self._recorder.counts.submitted < limit)
        )

    def _limit_reached(self) -> bool:
        return self._terms.limit is not None and self._fed >= self._terms.limit

    def _done(self) -> bool:
        counts, limit = self._recorder.counts, self._terms.submitted_limit
        if self._recorder.alive:
            return False
        if self._limit_reached():
            return counts.submitted == 0 or not self._collects
        if self._source_open:
            return False
        if self._lives is None:
            return counts.submitted == 0
        if limit is not None and not self._collects:
            return counts.pending == 0 or counts.submitted >= limit
        return counts.pending == 0 and counts.submitted == 0

    # The right side: record -----------------------------------------------------------------------

    async def _record(self) -> None:
        try:
            while records := await self._recorder.write():
                event = Recorded(records, self.progress)
                self._observer.notify(event)
                if self._recorded is not None:
                    await self._recorded(event)
                failed = self._recorder.failed_here.total()
                if self._terms.too_many(failed, failed + self._recorder.succeeded_here):
                    self._give_up(RunAborted("too_many_failures", _too_many(failed, self.progress)))
        finally:
            self._recorder.end()

    # Ends -----------------------------------------------------------------------------------------

    async def _guard(self, part: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a part of the house; if it fails, the run ends with that cause."""
        try:
            await part(*args)
        except FatalError as error:
            self._give_up(RunAborted(error.code, str(error)))
        except Exception as error:  # noqa: BLE001 - raised again, alone, by run()
            self._give_up(error)

    def _give_up(self, cause: Exception) -> None:
        self._cause = self._cause or cause
        self.cancel()


def _changed(count: int, example: str) -> Notice:
    return Notice(
        "file_changed",
        f"{count} file(s) changed since they were sent (for example {example}). What is recorded "
        "was made from the earlier content and is kept; for the new content, start a new run.",
    )


def _too_many(failed: int, progress: Progress) -> str:
    codes = ", ".join(f"{code}: {count}" for code, count in progress.codes.items())
    return (
        f"{failed} items failed, more than --max-failures allows ({codes}). Look at one with "
        "batchinfer status, mend the cause, then continue."
    )
