"""What the end of an attempt says about the service: all that flow control ever learns from.

====================  ==========================================================================
outcome               sign
====================  ==========================================================================
reply, submitted      ANSWERED
refused, and perhaps  REFUSED: a 403, say: of this item or of everybody (`circuit`)
everybody is
failure of the model  ANSWERED: the service works, this item does not
`http_429`,           FULL: more calls than the service takes (contract section 1); nothing was
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

from batchinfer.domain import Failure, Kind, Outcome, Submitted


class Sign(StrEnum):
    """See the table above."""

    ANSWERED = "answered"
    FULL = "full"
    SLOW = "slow"
    AWAY = "away"
    BROKEN = "broken"
    REFUSED = "refused"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Sample:
    """One attempt that has ended."""

    sign: Sign
    now: float
    """When it ended, on the event loop's clock."""
    seconds: float
    """How long it took."""
    in_flight: int
    """Attempts in flight just before it ended, itself included."""
    joined: int
    """How many there were when it began, itself included."""
    saturated: bool = True
    """Whether the limit was what held back more: there were items to send."""
    server_seconds: float | None = None
    """How much of `seconds` the model worked, where the service tells; the rest was waiting."""


_TRANSIENT: Final = {
    "http_429": Sign.FULL,
    "http_503": Sign.FULL,
    "timeout": Sign.SLOW,
    "model_killed": Sign.ANSWERED,
    "no_output": Sign.ANSWERED,
}
"""Transient failures that are not simply trouble on the way to the model."""


def sign_of(outcome: Outcome | Submitted) -> Sign | None:
    """Read an outcome by the table above."""
    if not isinstance(outcome, Failure):
        return Sign.ANSWERED
    if not outcome.sent:
        return Sign.LOCAL if outcome.kind is Kind.UNAVAILABLE else None
    if outcome.shared:
        return Sign.REFUSED
    match outcome.kind:
        case Kind.UNAVAILABLE:
            return Sign.AWAY
        case Kind.PERMANENT:
            return Sign.ANSWERED
        case Kind.TRANSIENT:
            return _TRANSIENT.get(outcome.code, Sign.BROKEN)
