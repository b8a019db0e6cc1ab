"""A service that is away: how long it is waited for, and who is told of it."""

from __future__ import annotations

from typing import Final

from batchinfer.domain import Failure, Kind, Outcome, Submitted
from batchinfer.engine.suspicion import REFUSED_PATIENCE
from batchinfer.engine.terms import Tools
from batchinfer.engine.watchdog import Watchdog
from batchinfer.errors import FatalError
from batchinfer.flow import Circuit, Health
from batchinfer.ports import Back, Waiting

LONGEST_WISH: Final = 60.0
"""Seconds that everybody rests because one answer asked for it (`Retry-After`), at most."""


class ServiceOutage:
    """The outage that is waited for at the moment, if there is one."""

    def __init__(self, health: Health, circuit: Circuit, watchdog: Watchdog, tools: Tools) -> None:
        self._health, self._circuit, self._watchdog = health, circuit, watchdog
        self._terms, self._observer = tools.terms, tools.observer
        self._absent: tuple[str, float] | None = None
        """Why the service is being waited for, and since when."""

    def update(self, outcome: Outcome | Submitted, now: float) -> None:
        """Begin or end the waiting, as the service's health says. Raises FatalError: too long."""
        if self._health.is_away and isinstance(outcome, Failure):
            self._wait_for(outcome, now, self._health.away(now))
        elif self._absent is not None and not self._health.is_away:
            (code, since), self._absent = self._absent, None
            self._watchdog.back()
            self._observer.notify(Back(code, now - since))

    def requested_rest(self, outcome: Outcome | Submitted, now: float) -> float | None:
        """How long the service asked for rest: all rest for it, but not beyond their patience."""
        if not isinstance(outcome, Failure) or outcome.retry_after is None:
            return None
        health = self._health
        patience = self._terms.patience_with(answered=health.has_answered)
        return min(outcome.retry_after, LONGEST_WISH, max(patience - health.away(now), 0.0))

    def _wait_for(self, failure: Failure, now: float, away: float) -> None:
        patience = self._terms.patience_with(answered=self._health.has_answered)
        if failure.shared and self._circuit.since is not None:
            patience = min(patience, REFUSED_PATIENCE)
            away = now - self._circuit.since
        if away > patience:
            raise FatalError(failure.code, _gone(failure, away))
        self._absent = (failure.code, now - away)
        ended = FatalError(failure.code, _gone(failure, patience))
        self._watchdog.away(now - away + patience, ended)
        self._observer.notify(Waiting(failure.code, failure.message, away, patience))


def _gone(failure: Failure, seconds: float) -> str:
    away = failure.kind is Kind.UNAVAILABLE
    what = "The service has been away" if away else "No call was answered as it should be"
    return (
        f"{what} for {seconds:.0f} s: {failure.message.rstrip('.')}. Everything recorded is kept; "
        f"continue when {'it is back' if away else 'that is mended'}."
    )
