"""What a check has found: a tick, a cross, or something to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

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

    def as_json(self) -> dict[str, Json]:
        """As `batchinfer check --json` prints it."""
        return {
            "check": self.check,
            "mode": self.mode.value if self.mode else None,
            "state": self.state.value,
            "message": self.message,
            "prediction": self.prediction,
        }


OnFinding: TypeAlias = Callable[[Finding], None]
"""Is told of each finding as soon as it is known."""
