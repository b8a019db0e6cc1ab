"""Sessions of a run: which process sent, from when to when, and with which parameters.

A session's parameters are the config's `[params]`. They differ from the run's after `--force`; what
differs is recorded with each attempt, as if it were the item's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from batchinfer.domain import Json
from batchinfer.store.codec import encode

_NONE: Final = "{}"
"""What most items have."""


@dataclass(frozen=True, slots=True)
class Go:
    """One process's work at a run."""

    number: int
    version: str
    """Of batchinfer."""
    started_at: float
    """Seconds since the epoch, as the other."""
    active_until: float
    """Of its latest commit."""
    params: Mapping[str, Json]
    """The config's `[params]`, as it sent them."""
    changed: Mapping[str, Json]
    """Those that differ from the run's; None: the run's is not sent any more."""


def time_at_work(goes: Sequence[Go], since: float = 0.0) -> float:
    """Seconds in which any of them was at work, since then; hours between them do not count."""
    seconds, until = 0.0, since
    for go in sorted(goes, key=lambda each: each.started_at):
        seconds += max(0.0, go.active_until - max(go.started_at, until))
        until = max(until, go.active_until)
    return seconds


@dataclass(frozen=True, slots=True)
class Session:
    """The session of this process, as the store needs it to record what was sent."""

    number: int
    changed: Mapping[str, Json] = field(default_factory=dict)
    """Parameters that differ from the run's; None: the run's is not sent any more."""
    earlier: Session | None = None
    """The one before: it put into the bucket what is found there and not on record."""
    others: int = 0
    """Results of earlier sessions that sent other parameters."""
    example: str | None = None
    """Key of one of them."""

    def sent(self, own: Mapping[str, Json]) -> str:
        """The parameters of an attempt that differ from the run's, as JSON."""
        if self.changed:
            own = {**self.changed, **own}
        return encode(own) if own else _NONE


def changed(now: Mapping[str, Json], run: Mapping[str, Json]) -> Mapping[str, Json]:
    """What differs in `now` from the parameters of the run."""
    gone = {name: None for name in run if name not in now}
    differing = {
        name: value
        for name, value in now.items()
        if name not in run or encode(run[name]) != encode(value)
    }
    return {**gone, **differing}
