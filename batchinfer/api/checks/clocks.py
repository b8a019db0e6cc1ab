"""How far this machine's clock is from a server's."""

from __future__ import annotations

from typing import Final

from batchinfer.api.checks.findings import Finding, State
from batchinfer.domain import Mode

REFUSED: Final = 900.0
"""Seconds beyond which S3 refuses every request."""
WORTH_KNOWING: Final = 60.0


def clock(ahead: float | None, mode: Mode) -> Finding:
    """A finding on a server's clock that is `ahead` seconds; None: it does not tell."""
    if ahead is None:
        return Finding("clock", State.NOTE, "the server does not tell the time", mode)
    apart = abs(ahead)
    if apart < WORTH_KNOWING:
        return Finding("clock", State.GOOD, "as the server's", mode)
    side = "behind" if ahead > 0 else "ahead of"
    message = f"this machine's clock is {apart:,.0f} s {side} the server's: set it"
    if mode is Mode.ASYNC and apart >= REFUSED:
        return Finding("clock", State.BAD, f"{message}; the store refuses all requests", mode)
    return Finding("clock", State.NOTE, message, mode)
