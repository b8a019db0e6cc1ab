"""What a check has found: a tick, a cross, or a note."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from batchinfer.domain import Json, Mode


class FindingState(StrEnum):
    """What a finding is."""

    GOOD = "good"
    BAD = "bad"
    """A run would fail, or could not keep its promises."""
    NOTE = "note"
    """Not known, or worth knowing; no reason not to run."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check."""

    check: str
    """What was looked at; stable (docs/reference/scripting.md)."""
    state: FindingState
    message: str
    """What was found and, unless it is good, what to do. Never holds a secret."""
    mode: Mode | None = None
    """The mode that it matters to; None: both."""
    prediction: Json = None
    """Of a probe: what the model returned."""
    service: str | None = None
    """Of several services the one that it is about; None: all, or there is one."""

    def as_json(self) -> dict[str, Json]:
        """As `batchinfer check --json` prints it."""
        return {
            "check": self.check,
            "mode": self.mode.value if self.mode else None,
            "state": self.state.value,
            "message": self.message,
            "prediction": self.prediction,
            **({} if self.service is None else {"service": self.service}),
        }


OnFinding: TypeAlias = Callable[[Finding], None]
"""Called with each finding as soon as it is known."""

MAX_S3_CLOCK_SKEW_SECONDS: Final = 900.0
"""Seconds beyond which S3 refuses every request."""
CLOCK_SKEW_NOTICE_SECONDS: Final = 60.0


def check_clock(ahead: float | None, mode: Mode) -> Finding:
    """A finding on a server's clock that is `ahead` seconds; None: unknown."""
    if ahead is None:
        return Finding("clock", FindingState.NOTE, "the server does not send the time", mode)
    skew = abs(ahead)
    if skew < CLOCK_SKEW_NOTICE_SECONDS:
        return Finding("clock", FindingState.GOOD, "as the server's", mode)
    side = "behind" if ahead > 0 else "ahead of"
    message = f"this machine's clock is {skew:,.0f} s {side} the server's: set it"
    if mode.uses_bucket and skew >= MAX_S3_CLOCK_SKEW_SECONDS:
        return Finding(
            "clock", FindingState.BAD, f"{message}; the store refuses all requests", mode
        )
    return Finding("clock", FindingState.NOTE, message, mode)
