"""What time a server believes it is."""

from __future__ import annotations

from email.utils import parsedate_to_datetime


def parse_clock_skew(date_header: str | None, now: float) -> float | None:
    """Seconds that a `Date` header is ahead of `now` (since the epoch); None when it is none."""
    try:
        return parsedate_to_datetime(date_header or "").timestamp() - now
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
