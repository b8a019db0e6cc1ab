"""When what is watched is scanned: often where something comes, seldom where nothing does. Pure.

Rules:

1. A scan takes a tenth of the time at most, unless that made it rarer than once an hour.
2. Without events of the system the interval is the configured one as long as scans find something;
   each that finds nothing makes it half as long again, to `MAX_IDLE_SECONDS`.
3. With events scans are a safety net: every minute, and twice as long after each that finds nothing
   new, to ten minutes. If one finds what no event told, events are not relied upon any more.
"""

from __future__ import annotations

from typing import Final

MAX_IDLE_SECONDS: Final = 30.0
"""Between scans that find nothing, where no events are told."""
SAFETY_SECONDS: Final = 60.0
MAX_SAFETY_SECONDS: Final = 600.0
"""Between scans where events are told."""
MAX_PAUSE_AFTER_SCAN: Final = 3_600.0
"""Seconds between a scan that took long and the next one, at most."""
_GROWTH: Final = 1.5
_SAFETY_GROWTH: Final = 2.0
_SCAN_SHARE: Final = 10.0
"""How many times its own length a scan is followed by a pause."""


class ScanSchedule:
    """When the next scan begins. Times are monotonic seconds."""

    def __init__(self, interval: float) -> None:
        """`interval`: between two scans, at least."""
        self.has_events = False
        """Whether events tell what is new."""
        self.next_at: float | None = 0.0
        """When the next one begins; None: one is under way."""
        self._interval = interval
        self._pause = interval
        self._began = 0.0

    def on_begin(self, now: float) -> None:
        """A scan begins."""
        self._began, self.next_at = now, None

    def on_end(self, now: float, *, found: bool) -> None:
        """It came to its end; `found`: with something new."""
        if self.has_events:
            smallest, growth, largest = SAFETY_SECONDS, _SAFETY_GROWTH, MAX_SAFETY_SECONDS
        else:
            smallest, growth, largest = self._interval, _GROWTH, MAX_IDLE_SECONDS
        smallest = max(smallest, self._interval)
        self._pause = (
            smallest
            if found or self._pause < smallest
            else min(self._pause * growth, max(smallest, largest))
        )
        seconds = now - self._began
        self.next_at = now + max(self._pause, min(_SCAN_SHARE * seconds, MAX_PAUSE_AFTER_SCAN))

    def on_failure(self, now: float) -> None:
        """It could not be made, or not to its end."""
        self.next_at = now + self._interval

    def request(self, now: float) -> None:
        """The next one begins at once."""
        if self.next_at is not None:
            self.next_at = min(self.next_at, now)
