"""A service that is away: how long it is waited for, and who is told of it."""

from __future__ import annotations

from typing import Final

from batchinfer.domain import Failure, FailureKind, Outcome, Submitted
from batchinfer.engine.fault_attribution import DENIAL_TIMEOUT
from batchinfer.engine.run_policy import EngineContext
from batchinfer.engine.watchdog import Watchdog
from batchinfer.errors import FatalError
from batchinfer.flow import DenialStreak, ServiceHealth
from batchinfer.ports import OutageEnded, OutageOngoing

MAX_SHARED_PAUSE_SECONDS: Final = 60.0
"""Seconds that everybody rests because one answer asked for it (`Retry-After`), at most."""


class ServiceOutage:
    """The outage that is waited for at the moment, if there is one."""

    def __init__(
        self,
        health: ServiceHealth,
        denials: DenialStreak,
        watchdog: Watchdog,
        context: EngineContext,
    ) -> None:
        self._health, self._denials, self._watchdog = health, denials, watchdog
        self._policy, self._observer = context.policy, context.observer
        self._outage: tuple[str, float] | None = None
        """Why the service is being waited for, and since when."""

    def update(self, outcome: Outcome | Submitted, now: float) -> None:
        """Begin or end the waiting, as the service's health says. Raises FatalError: too long."""
        if self._health.is_down and isinstance(outcome, Failure):
            self._continue_wait(outcome, now, self._health.down_for(now))
        elif self._outage is not None and not self._health.is_down:
            (code, since), self._outage = self._outage, None
            self._watchdog.on_recovery()
            self._observer.notify(OutageEnded(code, now - since))

    def requested_pause(self, outcome: Outcome | Submitted, now: float) -> float | None:
        """How long the service asked for rest: all rest for it, but not beyond their patience."""
        if not isinstance(outcome, Failure) or outcome.retry_after is None:
            return None
        health = self._health
        timeout = self._policy.outage_timeout(answered=health.has_answered)
        return min(
            outcome.retry_after, MAX_SHARED_PAUSE_SECONDS, max(timeout - health.down_for(now), 0.0)
        )

    def _continue_wait(self, failure: Failure, now: float, down_seconds: float) -> None:
        timeout = self._policy.outage_timeout(answered=self._health.has_answered)
        if failure.may_be_systemic and self._denials.since is not None:
            timeout = min(timeout, DENIAL_TIMEOUT)
            down_seconds = now - self._denials.since
        if down_seconds > timeout:
            raise FatalError(failure.code, _outage_message(failure, down_seconds))
        self._outage = (failure.code, now - down_seconds)
        timeout_error = FatalError(failure.code, _outage_message(failure, timeout))
        self._watchdog.on_outage(now - down_seconds + timeout, timeout_error)
        self._observer.notify(OutageOngoing(failure.code, failure.message, down_seconds, timeout))


def _outage_message(failure: Failure, seconds: float) -> str:
    away = failure.kind is FailureKind.UNAVAILABLE
    what = "The service has been away" if away else "No call was answered as it should be"
    return (
        f"{what} for {seconds:.0f} s: {failure.message.rstrip('.')}. Everything recorded is kept; "
        f"continue when {'it is back' if away else 'that is mended'}."
    )
