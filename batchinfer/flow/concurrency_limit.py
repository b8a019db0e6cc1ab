"""How many attempts may be in flight (async mode: objects submitted and unfinished).

A limit is a pure rule: it has no clock and no waiting of its own, it learns from one sample after
the other, and says when and why it moved. The gate applies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from batchinfer.flow.service_signals import AttemptSample


@dataclass(frozen=True, slots=True)
class LimitAdjustment:
    """A limit that moved."""

    changed_at: float
    """When, on the event loop's clock."""
    was: int
    value: int
    reason: str
    """Why, in a few words for a person."""


class ConcurrencyLimit(Protocol):
    """The rule that moves the number of attempts allowed in flight."""

    @property
    def value(self) -> int:
        """Attempts allowed in flight now, at least 1."""

    @property
    def estimated_servers(self) -> float | None:
        """How many containers seem to serve this run; None while nobody can say."""

    def update(self, sample: AttemptSample) -> LimitAdjustment | None:
        """Take note of an attempt that has ended; the change it led to, if any."""

    def restart(self, now: float) -> LimitAdjustment | None:
        """The service is there again after it was away: begin carefully."""


class FixedLimit:
    """A limit that never moves by itself."""

    estimated_servers: float | None = None

    def __init__(self, value: int) -> None:
        self.value = value

    def update(self, sample: AttemptSample) -> None:
        """See `ConcurrencyLimit`: nothing is learned."""

    def restart(self, now: float) -> None:
        """See `ConcurrencyLimit`: nothing changes."""
