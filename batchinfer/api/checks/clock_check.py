"""How far this machine's clock is from a server's."""

from __future__ import annotations

from typing import Final

from batchinfer.api.checks.findings import Finding, FindingState
from batchinfer.domain import Mode

MAX_S3_CLOCK_SKEW_SECONDS: Final = 900.0
"""Seconds beyond which S3 refuses every request."""
CLOCK_SKEW_NOTICE_SECONDS: Final = 60.0


def check_clock(ahead: float | None, mode: Mode) -> Finding:
    """A finding on a server's clock that is `ahead` seconds; None: it does not tell."""
    if ahead is None:
        return Finding("clock", FindingState.NOTE, "the server does not tell the time", mode)
    skew = abs(ahead)
    if skew < CLOCK_SKEW_NOTICE_SECONDS:
        return Finding("clock", FindingState.GOOD, "as the server's", mode)
    side = "behind" if ahead > 0 else "ahead of"
    message = f"this machine's clock is {skew:,.0f} s {side} the server's: set it"
    if mode is Mode.ASYNC and skew >= MAX_S3_CLOCK_SKEW_SECONDS:
        return Finding(
            "clock", FindingState.BAD, f"{message}; the store refuses all requests", mode
        )
    return Finding("clock", FindingState.NOTE, message, mode)
