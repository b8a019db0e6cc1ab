"""Sessions of a run: which process sent, from when to when, and with which parameters.

A session's parameters are the config's `[params]`. They differ from the run's after `--force`; what
differs is recorded with each attempt, as if it were the item's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchinfer.domain import Json
from batchinfer.store.codec import encode


@dataclass(frozen=True, slots=True)
class Session:
    """The session of this process, as the store needs it to record what was sent."""

    number: int
    changed: Mapping[str, Json] = field(default_factory=dict)
    """Parameters that differ from the run's; None: the run's is not sent any more."""
    earlier: Session | None = None
    """The one before: it put into the bucket what is found there and not on record."""

    def sent(self, own: Mapping[str, Json]) -> str:
        """The parameters of an attempt that differ from the run's, as JSON."""
        return encode({**self.changed, **own} if self.changed else own)


def changed(now: Mapping[str, Json], run: Mapping[str, Json]) -> Mapping[str, Json]:
    """What differs in `now` from the parameters of the run."""
    gone = {name: None for name in run if name not in now}
    differing = {
        name: value
        for name, value in now.items()
        if name not in run or encode(run[name]) != encode(value)
    }
    return {**gone, **differing}
