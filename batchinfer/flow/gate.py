"""The gate: lets attempts begin as the limit, the rate and the service's health allow.

A slot is held only while an attempt is in flight, never while backing off.
"""

from __future__ import annotations

from collections.abc import Callable

from batchinfer.flow.concurrency_limit import ConcurrencyLimit, LimitAdjustment, MachineCapacity
from batchinfer.flow.loop_clock import loop_time
from batchinfer.flow.rate_limiters import RateLimiter
from batchinfer.flow.service_health import ServiceHealth


class Gate:
    """Lets at most `limit` attempts be in flight, started at most as fast as `rate_limiter` says.

    A worker that got a slot (`try_acquire`) may make attempt after attempt (`try_reuse`), until one
    of the rules is against it: then it releases the slot. `health` None: nothing has been heard of
    the service yet. `machine_capacity` None: this machine bears any number.
    """

    def __init__(
        self,
        limit: ConcurrencyLimit,
        rate_limiter: RateLimiter | None = None,
        health: ServiceHealth | None = None,
        machine_capacity: MachineCapacity | None = None,
    ) -> None:
        self.limit = limit
        self.machine_capacity = machine_capacity or MachineCapacity()
        self.rate_limiter = rate_limiter
        self.health = health or ServiceHealth()
        self.paused = False
        """Set by a person: nothing begins."""
        self.is_closed = False
        """The service refuses everything: nothing begins there any more."""
        self.on_hold = False
        """All that is in flight waits for something of the backend's own: nothing else begins."""
        self.in_flight = 0
        self.last_start = 0.0
        """When the latest attempt was let in, on the event loop's clock."""
        self.on_limit_change: Callable[[LimitAdjustment | None], object] | None = None
        """Called when the limit restarts after an outage."""

    @property
    def effective_limit(self) -> int:
        """Attempts allowed in flight now: by the limit, and by what this machine bears."""
        machine_capacity = self.machine_capacity.value
        return (
            self.limit.value
            if machine_capacity is None
            else min(self.limit.value, machine_capacity)
        )

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        machine_capacity = self.machine_capacity.value
        return (self.is_closed or self.in_flight >= self.limit.value) or (
            machine_capacity is not None and self.in_flight >= machine_capacity
        )

    @property
    def next_open_at(self) -> float | None:
        """When time alone lets the next attempt begin, on the event loop's clock; None: never."""
        if self.paused or self.on_hold or self.is_full:
            return None
        times = [
            self.rate_limiter.next_start if self.rate_limiter else None,
            self.health.next_open_at,
            self.machine_capacity.next_open_at,
        ]
        return max((time for time in times if time is not None), default=None)

    def try_acquire(self) -> bool:
        """Take a slot for an attempt that begins now; return whether that was allowed."""
        if self.is_full or not self._try_start():
            return False
        self.in_flight += 1
        return True

    def try_reuse(self) -> bool:
        """Begin another attempt on a slot held already; return whether that was allowed."""
        return self.in_flight <= self.effective_limit and self._try_start()

    def release(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1

    def _try_start(self) -> bool:
        now = loop_time()
        if (
            self.paused
            or self.on_hold
            or self.is_closed
            or not self.health.allows(now)
            or (self.rate_limiter is not None and now < self.rate_limiter.next_start)
            or (
                self.machine_capacity.next_open_at is not None
                and now < self.machine_capacity.next_open_at
            )
        ):
            return False
        self.last_start = now
        if self.health.on_start(now):
            change = self.limit.restart(now)
            if self.on_limit_change is not None:
                self.on_limit_change(change)
        if self.rate_limiter is not None:
            self.rate_limiter.record_start(now)
        return True
