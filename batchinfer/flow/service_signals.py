"""What the end of an attempt says about the service: all that flow control ever learns from.

====================  ==========================================================================
outcome               sign
====================  ==========================================================================
reply, submitted      ANSWERED
refused, and perhaps  REFUSED: a 403, say: of this item or of everybody (`circuit`)
everybody is
failure of the model  ANSWERED: the service works, this item does not
`http_429`,           FULL: more calls than the service takes (docs/platform.md); nothing was
`http_503`            computed
`timeout`             SLOW: the call was given up; its container may be busy for longer still
unavailable           AWAY: cold, or no connection
transient, otherwise  BROKEN: a 5xx, a connection that broke
not sent, for want of LOCAL: this machine is short of files, threads or memory (`machine`)
files or memory here
not sent, otherwise   None: nothing was heard of the service
====================  ==========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from batchinfer.domain import Failure, FailureKind, Outcome, Submitted


class ServiceSignal(StrEnum):
    """See the table above."""

    ANSWERED = "answered"
    OVERLOADED = "full"
    TIMEOUT = "slow"
    UNREACHABLE = "away"
    ERROR = "broken"
    DENIED = "refused"
    LOCAL_SHORTAGE = "local"


@dataclass(frozen=True, slots=True)
class AttemptSample:
    """One attempt that has ended."""

    signal: ServiceSignal
    ended_at: float
    """When it ended, on the event loop's clock."""
    seconds: float
    """How long it took."""
    in_flight: int
    """Attempts in flight just before it ended, itself included."""
    in_flight_at_start: int
    """How many there were when it began, itself included."""
    saturated: bool = True
    """Whether the limit was what held back more: there were items to send."""
    server_seconds: float | None = None
    """How much of `seconds` the model worked, where the service tells; the rest was waiting."""


_SIGNALS_BY_CODE: Final = {
    "http_429": ServiceSignal.OVERLOADED,
    "http_503": ServiceSignal.OVERLOADED,
    "timeout": ServiceSignal.TIMEOUT,
    "model_killed": ServiceSignal.ANSWERED,
    "no_output": ServiceSignal.ANSWERED,
}
"""Transient failures that are not simply trouble on the way to the model."""


def classify_outcome(outcome: Outcome | Submitted) -> ServiceSignal | None:
    """Read an outcome by the table above."""
    if not isinstance(outcome, Failure):
        return ServiceSignal.ANSWERED
    if not outcome.sent:
        return ServiceSignal.LOCAL_SHORTAGE if outcome.kind is FailureKind.UNAVAILABLE else None
    if outcome.may_be_systemic:
        return ServiceSignal.DENIED
    match outcome.kind:
        case FailureKind.UNAVAILABLE:
            return ServiceSignal.UNREACHABLE
        case FailureKind.PERMANENT:
            return ServiceSignal.ANSWERED
        case FailureKind.TRANSIENT:
            return _SIGNALS_BY_CODE.get(outcome.code, ServiceSignal.ERROR)
