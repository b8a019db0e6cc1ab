"""The left side: what the source has goes into the store, and what is pending there comes alive.

Nothing is held per item of the run, only per item in the window; backpressure runs from right to
left, for a place in the window is free again only when a record is durable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import anyio

from batchinfer.domain import Item
from batchinfer.engine.live import Lives
from batchinfer.engine.terms import Tools
from batchinfer.flow import Gate, Limit
from batchinfer.ports import Notice, Progress, Recorded, Store

ReadPage: TypeAlias = Callable[[int], Awaitable[Sequence[Item]]]
"""Reads at most so many further items of the source; none: it has been read to its end."""

PAGE = 500
FIRST_PAGE = 32
"""Small, so that the first call is under way while a million files are still being listed."""
READY_SPARE = 256
"""Items alive beside those in flight: a pile being written and the next one, so that the gate never
waits for a commit."""
LONG = 60.0
"""Seconds that are waited at a time: the clock may be set meanwhile."""
BACKING_OFF = 1_000
"""Items that may back off at a time: enough that a storm of refusals does not starve the gate, few
enough that memory stays flat."""


class Feeder:
    """Adds, and feeds the lives; knows when nothing is left to do.

    `lives` None: nothing is fed (collect only). `submitted`: the limit of async mode.
    """

    def __init__(
        self,
        store: Store,
        gate: Gate,
        lives: Lives | None,
        tools: Tools,
        *,
        read: ReadPage | None,
        submitted: Limit | None,
        collects: bool,
        progress: Callable[[], Progress],
    ) -> None:
        self.source_open = read is not None
        """Whether there may be more than what was added."""
        self.submitted = submitted
        self._store, self._gate, self._lives, self._read = store, gate, lives, read
        self._recorder, self._observer, self._terms = tools.recorder, tools.observer, tools.terms
        self._news, self._clock = tools.recorder.news, tools.clock
        self._collects, self._progress, self._fed = collects, progress, 0

    def bound(self, submitted: Limit) -> None:
        """Another limit of what is submitted: what is alive beyond it goes back."""
        self.submitted = submitted
        over = len(self._recorder.alive) + self._recorder.counts.submitted - submitted.value
        for position in self._lives.give_back(over) if self._lives else ():
            self._recorder.alive.discard(position)
            self._fed -= 1

    async def add(self) -> None:
        """Read the source to its end."""
        if self._read is None:
            return
        size, changed = FIRST_PAGE, 0
        while page := await self._read(size):
            added = await self._store.add(page)
            self._recorder.added(added.new)
            self._observer.notify(Recorded((), self._progress()))
            changed += len(added.changed)
            if added.changed:
                self._observer.notify(_changed(changed, added.changed[-1]))
            size = PAGE
        await self._store.source_read()
        self.source_open = False
        self._news.tell()

    async def feed(self) -> None:
        """Bring pending items alive until nothing is left to do."""
        if self._lives is None:
            while not self._done():
                await self._news.beyond(self._news.count)
            return
        after = 0
        while True:
            seen = self._news.count
            # Taken before the page is read: whoever is alive now may be on it, still pending.
            alive = frozenset(self._recorder.alive)
            size = PAGE if self.submitted is None else min(PAGE, self.submitted.value)
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
                again = fresh and self.submitted is not None
                after = 0 if again else page[-1].position
            elif self._done():
                return
            else:
                if not self.source_open:
                    self._lives.none_left()
                await self._something_new(seen)
                after = 0

    async def _something_new(self, seen: int) -> None:
        now = self._clock()
        due = await self._store.next_due(now)
        if due is not None and due - now > LONG:
            await self._store.forget_future(now)
            due = await self._store.next_due(now)
        with anyio.move_on_after(None if due is None else min(due - now, LONG)):
            await self._news.beyond(seen)

    async def _room(self) -> bool:
        """Wait for a place in the window; False when there will be none in this process."""
        while not self._has_room():
            if self._done():
                return False
            await self._news.beyond(self._news.count)
        return True

    def _has_room(self) -> bool:
        alive, limit = len(self._recorder.alive), self.submitted
        backing_off = 0 if self._lives is None else self._lives.resting
        return (
            not self._limit_reached()
            and alive - backing_off < 2 * self._gate.limit.value + READY_SPARE
            and backing_off < BACKING_OFF
            and (limit is None or alive + self._recorder.counts.submitted < limit.value)
        )

    def _limit_reached(self) -> bool:
        return self._terms.limit is not None and self._fed >= self._terms.limit

    def _done(self) -> bool:
        counts, limit = self._recorder.counts, self.submitted
        if self._recorder.alive:
            return False
        if self._limit_reached():
            return counts.submitted == 0 or not self._collects
        if self.source_open:
            return False
        if self._lives is None:
            return counts.submitted == 0
        if limit is not None and not self._collects:
            return counts.pending == 0 or counts.submitted >= limit.value
        return counts.pending == 0 and counts.submitted == 0


def _changed(count: int, example: str) -> Notice:
    return Notice(
        "file_changed",
        f"{count} file(s) changed since they were sent (for example {example}). What is recorded "
        "was made from the earlier content and is kept; for the new content, start a new run.",
    )
