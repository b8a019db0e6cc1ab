"""A service that is away, or says nothing: how long it is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from batchinfer.domain import Failure, Outcome, ServiceSignal, Submitted
from batchinfer.engine.recorder import ChangeNotifier
from batchinfer.engine.run_policy import RunPolicy
from batchinfer.errors import FatalError
from batchinfer.failures import make_no_answer_error, make_outage_error
from batchinfer.flow import DenialStreak, ServiceHealth
from batchinfer.ports import Observer, OutageEnded, OutageOngoing

MAX_SHARED_PAUSE_SECONDS: Final = 60.0
"""Seconds that all items pause because one answer asked for it (`Retry-After`), at most."""
DENIAL_TIMEOUT: Final = 30.0
"""Seconds for which a service that denies every item is asked again."""
MIN_CALL_SECONDS: Final = 10.0
"""Seconds that a call under way is given at least."""


class Watchdog:
    """Ends the wait for a service that accepts calls and says nothing.

    1. A service that never answered must do so within `first_answer_timeout` seconds of the first
       call (None: it may be silent for ever).
    2. One that is known to be away is given up when its time is over, though a call is under way.
    3. While all calls are on hold, no time passes.

    Times are seconds on the event loop's clock.
    """

    def __init__(
        self,
        first_answer_timeout: float | None,
        in_flight: Callable[[], int],
        may_give_up: Callable[[], bool],
    ) -> None:
        """`may_give_up`: whether the run ends with this service; asked when its time is over."""
        self._first_answer_timeout, self._in_flight = first_answer_timeout, in_flight
        self._may_give_up = may_give_up
        self._changes = ChangeNotifier()
        self._first_call_at: float | None = None
        self._has_ended_call = False
        self._outage_deadline: tuple[float, FatalError] | None = None
        self._is_paused = False

    def on_call_start(self, now: float) -> None:
        """A call begins."""
        if self._first_call_at is None:
            self._first_call_at = now
            self._changes.notify()
        if self._outage_deadline is not None:
            until, cause = self._outage_deadline
            self._outage_deadline = (max(until, now + MIN_CALL_SECONDS), cause)
            self._changes.notify()

    def on_call_end(self) -> None:
        """A call ended, however it did."""
        if not self._has_ended_call:
            self._has_ended_call = True
            self._changes.notify()

    def on_outage(self, until: float, cause: FatalError) -> None:
        """The service is away, and waited for until then; then `cause` ends the run."""
        self._outage_deadline = (until, cause)
        self._changes.notify()

    def on_recovery(self) -> None:
        """The service is back."""
        if self._outage_deadline is not None:
            self._outage_deadline = None
            self._changes.notify()

    def pause(self) -> None:
        """All calls are on hold."""
        self._is_paused = True
        self._changes.notify()

    def unpause(self, seconds: float) -> None:
        """They were, for so long."""
        self._is_paused = False
        if self._first_call_at is not None:
            self._first_call_at += seconds
        if self._outage_deadline is not None:
            until, cause = self._outage_deadline
            self._outage_deadline = (until + seconds, cause)
        self._changes.notify()

    async def watch(self) -> None:
        """Watch, for as long as the run goes on. Raises FatalError."""
        while True:
            change_count = self._changes.count
            now, next_deadline = anyio.current_time(), self._next_deadline()
            if (
                next_deadline is not None
                and now >= next_deadline[0]
                and self._in_flight()
                and self._may_give_up()
            ):
                raise next_deadline[1]
            seconds = (
                None if next_deadline is None or now >= next_deadline[0] else next_deadline[0] - now
            )
            with anyio.move_on_after(seconds):
                await self._changes.wait_changed(change_count)

    def _next_deadline(self) -> tuple[float, FatalError] | None:
        if self._is_paused:
            return None
        if self._outage_deadline is not None:
            return self._outage_deadline
        if (
            self._has_ended_call
            or self._first_call_at is None
            or self._first_answer_timeout is None
        ):
            return None
        timeout = self._first_answer_timeout
        return self._first_call_at + timeout, make_no_answer_error(timeout)


class ServiceOutage:
    """The outage that is waited for at the moment, if there is one."""

    def __init__(
        self,
        health: ServiceHealth,
        denials: DenialStreak,
        watchdog: Watchdog,
        policy: RunPolicy,
        *,
        observer: Observer,
        may_give_up: Callable[[], bool],
    ) -> None:
        """`may_give_up`: as that of `Watchdog`."""
        self._health, self._denials, self._watchdog = health, denials, watchdog
        self._policy, self._observer, self._may_give_up = policy, observer, may_give_up
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
        """How long the service asked all to pause, but not beyond the time it is waited for."""
        if not isinstance(outcome, Failure) or outcome.retry_after is None:
            return None
        health = self._health
        timeout = self._policy.outage_timeout(answered=health.has_answered)
        return min(
            outcome.retry_after, MAX_SHARED_PAUSE_SECONDS, max(timeout - health.down_for(now), 0.0)
        )

    def _continue_wait(self, failure: Failure, now: float, down_seconds: float) -> None:
        timeout = self._policy.outage_timeout(answered=self._health.has_answered)
        if failure.signal is ServiceSignal.DENIED and self._denials.since is not None:
            timeout = min(timeout, DENIAL_TIMEOUT)
            down_seconds = now - self._denials.since
        if down_seconds > timeout and self._may_give_up():
            raise make_outage_error(failure, down_seconds)
        self._outage = (failure.code, now - down_seconds)
        timeout_error = make_outage_error(failure, timeout)
        self._watchdog.on_outage(now - down_seconds + timeout, timeout_error)
        self._observer.notify(OutageOngoing(failure.code, failure.message, down_seconds, timeout))
