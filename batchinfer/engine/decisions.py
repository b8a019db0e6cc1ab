"""What follows an attempt, with the patience, the deadline and the health of the service in view.

What the rules of retries say alone stands in `batchinfer/retry.py`.
"""

from __future__ import annotations

from dataclasses import replace

import anyio

from batchinfer.domain import Attempt, Failure, Kind, State, Submitted
from batchinfer.engine.flights import Life
from batchinfer.engine.terms import Tools
from batchinfer.flow import Health, Sign
from batchinfer.retry import Decision, Finish, Kills, Retry, Wait, decide


class Decisions:
    """Decides after each attempt: finish, try again, or wait for the service."""

    def __init__(self, health: Health, tools: Tools) -> None:
        self._health, self._terms, self._chance = health, tools.terms, tools.chance
        self._kills = Kills()

    def decide(self, life: Life, attempt: Attempt, sign: Sign | None) -> Decision:
        """What to do next about the item of this attempt."""
        outcome, policy = attempt.outcome, self._terms.policy
        if isinstance(outcome, Submitted):
            return Finish(State.SUBMITTED)
        if isinstance(outcome, Failure) and self._is_absence(outcome, sign):
            if sign is Sign.LOCAL or self._may_wait(life):
                away = replace(outcome, kind=Kind.UNAVAILABLE)
                waiting = decide(policy, away, life.waits + 1, self._chance())
                return waiting if sign is Sign.LOCAL else self._wait_in_time(life, waiting)
            # The service answers others, but never this item: then it is this item's failure.
            outcome = replace(outcome, kind=Kind.TRANSIENT)
        tried, killed = (
            attempt.number - life.item.spared,
            self._kills.count(life.item.position, outcome),
        )
        decision = decide(policy, outcome, tried, self._chance(), killed)
        return self._in_time(life, decision)

    def _is_absence(self, outcome: Failure, sign: Sign | None) -> bool:
        """Whether it says nothing about the item: an outage is no attempt, nor is a refusal, which
        our own searching for the limit may have caused.
        """  # noqa: D205 - one thought
        if outcome.kind is Kind.UNAVAILABLE or sign in {Sign.FULL, Sign.AWAY}:
            return True
        return sign in {Sign.SLOW, Sign.BROKEN} and self._health.is_away

    def _may_wait(self, life: Life) -> bool:
        if self._health.is_away:
            life.since = None
            return True
        now, deadline = anyio.current_time(), self._terms.deadline
        if deadline is not None and now - life.began >= deadline:
            return False
        return life.waiting(now) <= self._terms.patience

    def _wait_in_time(self, life: Life, decision: Decision) -> Decision:
        """The decision, but nobody waits beyond his patience or his deadline (`Retry-After`)."""
        if not isinstance(decision, Wait) or self._health.is_away:
            return decision
        now = anyio.current_time()
        left = self._terms.patience - life.waiting(now)
        if self._terms.deadline is not None:
            left = min(left, self._terms.deadline - (now - life.began))
        return Wait(max(0.0, min(decision.delay, left)))

    def _in_time(self, life: Life, decision: Decision) -> Decision:
        """The decision, unless the item's deadline comes before its next attempt."""
        if self._terms.deadline is None or not isinstance(decision, Retry):
            return decision
        spent = anyio.current_time() - life.began + decision.delay
        return decision if spent < self._terms.deadline else Finish(State.FAILED)
