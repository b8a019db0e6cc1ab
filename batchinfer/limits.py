"""How much at once, and how fast. The rule (a limit) and the gate that applies it are two things.

A gate slot is held only while an attempt is in flight, never while backing off.
"""

from __future__ import annotations

from typing import Protocol

import anyio


class Limit(Protocol):
    """The pure rule that moves the number of attempts allowed in flight."""

    @property
    def value(self) -> int:
        """Attempts allowed in flight now, at least 1."""


class Fixed:
    """A limit that never moves."""

    def __init__(self, value: int) -> None:
        self.value = value


class Pace:
    """At most `rate` starts per second, evenly spaced: no bursts, also after a pause."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next start. A turn that is cancelled while waiting is not given back."""
        now = anyio.current_time()
        start = max(now, self._next)
        self._next = start + self._interval
        if start > now:
            await anyio.sleep_until(start)


class Gate:
    """Lets at most `limit.value` attempts be in flight, started at most as fast as `pace`.

    Whoever is let in (`enter`) may make attempt after attempt, until it leaves or the gate is
    crowded: the limit has come down since.
    """

    def __init__(self, limit: Limit, pace: Pace | None = None) -> None:
        self.limit = limit
        self.pace = pace
        self.in_flight = 0

    @property
    def is_full(self) -> bool:
        """Whether nobody else is let in."""
        return self.in_flight >= self.limit.value

    @property
    def is_crowded(self) -> bool:
        """Whether somebody has to leave."""
        return self.in_flight > self.limit.value

    def enter(self) -> bool:
        """Take a slot, if there is one; whether there was."""
        if self.is_full:
            return False
        self.in_flight += 1
        return True

    def leave(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1
