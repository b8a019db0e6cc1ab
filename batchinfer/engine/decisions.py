"""What follows an attempt, given the time-outs, the deadline and the health of the service.

The rules of retries alone stand in `flow/retries.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import anyio

from batchinfer.domain import Attempt, Failure, FailureKind, Reply, ServiceSignal, State, Submitted
from batchinfer.engine.attempt_runner import WorkItem
from batchinfer.engine.run_policy import RunPolicy
from batchinfer.flow import ServiceHealth
from batchinfer.flow.retries import (
    Decision,
    Finish,
    ModelKillCounter,
    Retry,
    WaitForService,
    decide,
)

SUCCEEDED: Final = Finish(State.SUCCEEDED)
SUBMITTED: Final = Finish(State.SUBMITTED)
"""What nearly all attempts come to, made once."""


class DecisionMaker:
    """Decides after each attempt: finish, try again, or wait for the service."""

    def __init__(
        self, health: ServiceHealth, policy: RunPolicy, jitter: Callable[[], float]
    ) -> None:
        self._health, self._policy, self._jitter = health, policy, jitter
        self._kill_counter = ModelKillCounter()

    def decide(self, work: WorkItem, attempt: Attempt, signal: ServiceSignal) -> Decision:
        """What to do next about the item of this attempt."""
        outcome, retry_policy = attempt.outcome, self._policy.retry
        if isinstance(outcome, Reply):
            return SUCCEEDED
        if isinstance(outcome, Submitted):
            return SUBMITTED
        if self._is_service_fault(outcome, signal):
            if signal is ServiceSignal.LOCAL_SHORTAGE or self._can_wait(work):
                unavailable = replace(outcome, kind=FailureKind.UNAVAILABLE)
                wait = decide(retry_policy, unavailable, work.unavailable_count + 1, self._jitter())
                return (
                    wait if signal is ServiceSignal.LOCAL_SHORTAGE else self._cap_wait(work, wait)
                )
            # The service answers others, but never this item: then it is this item's failure.
            outcome = replace(outcome, kind=FailureKind.TRANSIENT)
        attempts, kills = (
            attempt.number - work.item.uncounted_attempts,
            self._kill_counter.record_attempt(work.item.position, outcome),
        )
        decision = decide(retry_policy, outcome, attempts, self._jitter(), kills)
        return self._apply_deadline(work, decision)

    def _is_service_fault(self, outcome: Failure, signal: ServiceSignal) -> bool:
        """Whether it says nothing about the item.

        An outage is no attempt, nor is an overload, which our own search for the limit may cause.
        """
        if outcome.kind is FailureKind.UNAVAILABLE or signal in {
            ServiceSignal.OVERLOADED,
            ServiceSignal.UNREACHABLE,
        }:
            return True
        return signal in {ServiceSignal.TIMEOUT, ServiceSignal.ERROR} and self._health.is_down

    def _can_wait(self, work: WorkItem) -> bool:
        if self._health.is_down:
            work.unavailable_since = None
            return True
        now, deadline = anyio.current_time(), self._policy.deadline
        if deadline is not None and now - work.added_at >= deadline:
            return False
        return work.unavailable_for(now) <= self._policy.cold_start_timeout

    def _cap_wait(self, work: WorkItem, decision: Decision) -> Decision:
        """The decision, but no item waits (`Retry-After`) beyond its time-out or its deadline."""
        if not isinstance(decision, WaitForService) or self._health.is_down:
            return decision
        now = anyio.current_time()
        remaining = self._policy.cold_start_timeout - work.unavailable_for(now)
        if self._policy.deadline is not None:
            remaining = min(remaining, self._policy.deadline - (now - work.added_at))
        return WaitForService(max(0.0, min(decision.delay, remaining)))

    def _apply_deadline(self, work: WorkItem, decision: Decision) -> Decision:
        """The decision, unless the item's deadline comes before its next attempt."""
        if self._policy.deadline is None or not isinstance(decision, Retry):
            return decision
        elapsed = anyio.current_time() - work.added_at + decision.delay
        return decision if elapsed < self._policy.deadline else Finish(State.FAILED)
