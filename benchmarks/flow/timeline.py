"""What will happen when: the events of a simulated platform, and the task that lets them happen.

All times are whole numbers of ticks, which floats hold exactly: what happens at about the same time
happens at the same time, and costs the event loop one turn.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import ceil, inf

import anyio

TICK = 1 / 128
"""Seconds."""


def ticks(seconds: float) -> float:
    """So many seconds as a whole number of ticks, never fewer: whoever waits for a moment and is
    woken before it would wait for it again, for ever.
    """
    return ceil(seconds / TICK) * TICK


class Timeline:
    """Events in order of time; those of the same time in the order they were planned."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the beginning; all that is planned for before has happened."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()
        self._began: float | None = None
        self._waits_for = -inf
        self._sooner: Callable[[], None] = lambda: None

    def at(self, when: float, happen: Callable[[], None]) -> None:
        """Plan an event."""
        when = max(ticks(when), self.now)
        heappush(self._heap, (when, next(self._serial), happen))
        if when < self._waits_for:
            self._sooner()

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        """Plan an event from now on."""
        self.at(self.now + seconds, happen)

    def advance(self, until: float) -> None:
        """Let happen what is planned up to and including that time."""
        while self._heap and self._heap[0][0] <= until:
            self.now, _, happen = heappop(self._heap)
            happen()
        self.now = max(self.now, until)

    def catch_up(self) -> None:
        """Let happen what is planned up to now, by the event loop's clock."""
        if self._began is None:
            self._began = anyio.current_time() - self.now
        self.advance(anyio.current_time() - self._began)

    async def run(self) -> None:
        """Let everything happen in its time on the event loop's clock, for ever."""
        while True:
            self.catch_up()
            self._waits_for = self._heap[0][0] if self._heap else inf
            news = anyio.Event()
            self._sooner = news.set
            with anyio.CancelScope(deadline=(self._began or 0.0) + self._waits_for):
                await news.wait()
            self._waits_for = -inf
