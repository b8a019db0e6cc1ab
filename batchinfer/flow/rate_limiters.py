"""How fast attempts begin, and how fast their bytes go out."""

from __future__ import annotations

from typing import Final

START_SLACK_SECONDS: Final = 0.05
"""Seconds by which a start that came late may be caught up: timers are coarse. More would be a
burst after a pause."""
MAX_SEND_CHUNK_SECONDS: Final = 0.1
"""Seconds that one piece takes at most, so that many senders are served in turn."""
MIN_SEND_CHUNK_BYTES: Final = 1 << 10
MAX_SEND_CHUNK_BYTES: Final = 1 << 16


class RateLimiter:
    """At most `rate` starts per second, evenly spaced: no bursts, also after a pause."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._interval = 1 / rate
        self.next_start = 0.0
        """When the next start may be, on the event loop's clock."""

    def record_start(self, now: float) -> None:
        """A start was made."""
        self.next_start = (
            max(self.next_start, now - min(START_SLACK_SECONDS, self._interval)) + self._interval
        )


class BandwidthLimiter:
    """At most `rate` bytes per second, evenly, for all senders together."""

    def __init__(self, rate: float) -> None:
        self.rate = 0.0
        self.chunk_bytes = 0
        """Bytes to reserve at a time."""
        self._next_send = 0.0
        self.set_rate(rate)

    def set_rate(self, rate: float) -> None:
        """Another rate from now on; what is reserved already stays so."""
        self.rate = rate
        self.chunk_bytes = round(
            min(max(rate * MAX_SEND_CHUNK_SECONDS, MIN_SEND_CHUNK_BYTES), MAX_SEND_CHUNK_BYTES)
        )

    def reserve(self, size: int, now: float) -> float:
        """Reserve so many bytes; how many seconds from `now` they have to wait.

        `now`: on the event loop's clock.
        """
        starts_at = max(self._next_send, now - START_SLACK_SECONDS)
        self._next_send = starts_at + size / self.rate
        return max(0.0, starts_at - now)
