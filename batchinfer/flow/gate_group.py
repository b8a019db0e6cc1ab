"""The gates of several services, as one: what a person sets or asks for concerns each of them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from batchinfer.flow.concurrency_limit import AttemptSample, ConcurrencyLimit
from batchinfer.flow.gate import Gate
from batchinfer.flow.rate_limiters import RateLimiter
from batchinfer.flow.service_health import ServiceHealth, ServiceState

_BEST_FIRST = (ServiceState.WARM, ServiceState.PROBING, ServiceState.COLD)


class LimitSum:
    """The limits of several services together; each learns by itself."""

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._limits = [gate.limit for gate in gates]
        self.learns = any(limit.learns for limit in self._limits)

    @property
    def value(self) -> int:
        """See `ConcurrencyLimit`."""
        return sum(limit.value for limit in self._limits)

    @property
    def estimated_servers(self) -> float | None:
        """See `ConcurrencyLimit`; of those of which it is known."""
        known = [limit.estimated_servers for limit in self._limits]
        return sum(each for each in known if each is not None) if any(known) else None

    def update(self, sample: AttemptSample) -> None:
        """See `ConcurrencyLimit`: it learns nothing as a whole."""

    def restart(self, now: float) -> None:
        """See `ConcurrencyLimit`: nothing changes."""

    def skip_time(self, seconds: float, now: float) -> None:
        """See `ConcurrencyLimit`: nothing changes."""


class GateGroup:
    """The gates of all services of a run; those that are closed count for nothing."""

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._gates = tuple(gates)

    @property
    def _open_gates(self) -> Sequence[Gate]:
        return [gate for gate in self._gates if not gate.is_closed] or self._gates

    @property
    def limit(self) -> ConcurrencyLimit:
        """Of all together. To set one gives each service such a limit."""
        return LimitSum(self._open_gates)

    @limit.setter
    def limit(self, limit: ConcurrencyLimit) -> None:
        for gate in self._gates:
            gate.limit = deepcopy(limit)

    @property
    def effective_limit(self) -> int:
        """As that of a gate."""
        return sum(gate.effective_limit for gate in self._open_gates)

    @property
    def in_flight(self) -> int:
        """Attempts in flight."""
        return sum(gate.in_flight for gate in self._gates)

    @property
    def rate_limiter(self) -> RateLimiter | None:
        """Of one service; to set one gives each such a limiter."""
        return self._gates[0].rate_limiter

    @rate_limiter.setter
    def rate_limiter(self, rate_limiter: RateLimiter | None) -> None:
        for gate in self._gates:
            gate.rate_limiter = deepcopy(rate_limiter)

    @property
    def paused(self) -> bool:
        """As that of a gate."""
        return self._gates[0].paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        for gate in self._gates:
            gate.paused = paused

    @property
    def health(self) -> ServiceHealth:
        """Of the service that is best off."""
        return min(
            (gate.health for gate in self._open_gates),
            key=lambda health: _BEST_FIRST.index(health.state),
        )
