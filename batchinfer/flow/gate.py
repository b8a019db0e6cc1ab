"""The gate: lets attempts begin as the limit, the pace and the service's health allow.

A slot is held only while an attempt is in flight, never while backing off.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio

from batchinfer.flow.health import Health
from batchinfer.flow.limit import Change, Limit
from batchinfer.flow.own_limit import OwnLimit
from batchinfer.flow.pace import Pace


class Gate:
    """Lets at most `bound` attempts be in flight, started at most as fast as `pace`.

    Whoever is let in (`enter`) may make attempt after attempt (`go_on`), until one of the rules is
    against it: then it leaves. `health` None: a service nobody has heard of yet. `own`: what this
    machine bears; None: anything.
    """

    def __init__(
        self,
        limit: Limit,
        pace: Pace | None = None,
        health: Health | None = None,
        own: OwnLimit | None = None,
    ) -> None:
        self.limit = limit
        self.own = own or OwnLimit()
        self.pace = pace
        self.health = health or Health()
        self.paused = False
        """By a person: nothing begins."""
        self.in_flight = 0
        self.adjusted: Callable[[Change | None], object] = bool
        """Told when the limit begins anew."""

    @property
    def bound(self) -> int:
        """Attempts allowed in flight now: by the limit, and by what this machine bears."""
        own = self.own.value
        return self.limit.value if own is None else min(self.limit.value, own)

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self.in_flight >= self.bound

    @property
    def opens_at(self) -> float | None:
        """When time alone will let the next attempt begin, on the loop's clock; None: never."""
        if self.paused or self.is_full:
            return None
        times = [self.pace.due if self.pace else None, self.health.opens_at, self.own.opens_at]
        return max((time for time in times if time is not None), default=None)

    def enter(self) -> bool:
        """Take a slot for an attempt that begins now; whether that was allowed."""
        if self.is_full or not self._begin():
            return False
        self.in_flight += 1
        return True

    def go_on(self) -> bool:
        """Begin another attempt on a slot held already; whether that was allowed."""
        return self.in_flight <= self.bound and self._begin()

    def leave(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1

    def _begin(self) -> bool:
        now = anyio.current_time()
        if (
            self.paused
            or not self.health.admits(now)
            or (self.pace is not None and now < self.pace.due)
            or (self.own.opens_at is not None and now < self.own.opens_at)
        ):
            return False
        if self.health.begun(now):
            self.adjusted(self.limit.restart(now))
        if self.pace is not None:
            self.pace.begun(now)
        return True
