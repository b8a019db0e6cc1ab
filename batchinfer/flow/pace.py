"""How fast attempts begin, and how fast their bytes go out."""

from __future__ import annotations

from typing import Final

SLACK: Final = 0.05
"""Seconds by which a start that came late may be caught up: timers are coarse. More would be a
burst after a pause."""
SMOOTH: Final = 0.1
"""Seconds that one piece takes at most, so that many senders are served in turn."""
SMALLEST: Final = 1 << 10
LARGEST: Final = 1 << 16


class Pace:
    """At most `rate` starts per second, evenly spaced: no bursts, also after a pause."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._interval = 1 / rate
        self.due = 0.0
        """When the next start may be, on the event loop's clock."""

    def begun(self, now: float) -> None:
        """A start was made."""
        self.due = max(self.due, now - min(SLACK, self._interval)) + self._interval


class Bandwidth:
    """At most `rate` bytes per second, evenly, for all who send together. Pure."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.piece = round(min(max(rate * SMOOTH, SMALLEST), LARGEST))
        """Bytes to book at a time."""
        self._due = 0.0

    def book(self, size: int, now: float) -> float:
        """Book the passage of so many bytes; how many seconds from `now` they have to wait.

        `now`: on the event loop's clock.
        """
        begins = max(self._due, now - SLACK)
        self._due = begins + size / self.rate
        return max(0.0, begins - now)
