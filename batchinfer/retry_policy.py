"""What follows an attempt. Pure: no clock, no randomness of its own.

====================  ===========================================================================
outcome               decision
====================  ===========================================================================
reply                 finish: succeeded
permanent failure     finish: failed
transient failure     retry after a while, until `max_attempts` are used up; then finish: failed.
                      A killed model (`MODEL_KILLED`) is tried twice at most: it is mostly out of
                      memory, and then it is killed again
unavailable           wait: the service is not there, which says nothing about the item; not an
                      attempt, not recorded; bounded by `Downtime`, not by `max_attempts`
====================  ===========================================================================

The while is full jitter (a uniform share of an exponentially growing, capped span): retries of many
items spread out instead of knocking together. A server that says `Retry-After` is obeyed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, TypeAlias

from batchinfer import defaults
from batchinfer.domain import Failure, FailureKind, Outcome, Reply, State

MODEL_KILLED: Final = "model_killed"
MAX_KILLED_ATTEMPTS: Final = 2


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently."""

    max_attempts: int = defaults.MAX_ATTEMPTS
    """Attempts per item, the first included."""
    base_delay: float = 1.0
    """Seconds: the span of the first back-off; it doubles with every further attempt."""
    max_delay: float = 60.0
    """Seconds: the longest span."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The item has its final outcome."""

    state: State


@dataclass(frozen=True, slots=True)
class Retry:
    """Another attempt, after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class WaitForService:
    """The same attempt again, after `delay` seconds."""

    delay: float


Decision: TypeAlias = Finish | Retry | WaitForService


def decide(
    policy: RetryPolicy, outcome: Outcome, attempts: int, jitter: float, kills: int = 0
) -> Decision:
    """Decide what follows.

    `tried` counts this attempt and those before it that count, from 1 (for an unavailable service:
    how often it was found so, from 1). `chance` is uniform in [0, 1). `killed`: how many attempts
    at the item, this one included, ended because the model was killed.
    """
    if isinstance(outcome, Reply):
        return Finish(State.SUCCEEDED)
    match outcome.kind:
        case FailureKind.PERMANENT:
            return Finish(State.FAILED)
        case FailureKind.TRANSIENT if attempts >= policy.max_attempts:
            return Finish(State.FAILED)
        case FailureKind.TRANSIENT if outcome.code == MODEL_KILLED and kills >= MAX_KILLED_ATTEMPTS:
            return Finish(State.FAILED)
        case FailureKind.TRANSIENT:
            return Retry(_backoff_delay(policy, outcome, attempts, jitter))
        case FailureKind.UNAVAILABLE:
            return WaitForService(
                _backoff_delay(policy, outcome, min(attempts, 5), (1 + jitter) / 2)
            )


def _backoff_delay(policy: RetryPolicy, failure: Failure, attempts: int, jitter: float) -> float:
    span = min(policy.max_delay, policy.base_delay * 2.0 ** min(attempts - 1, 60))
    if failure.retry_after is not None:
        return failure.retry_after + jitter * policy.base_delay
    return jitter * span


class ModelKillCounter:
    """How often the models of items were killed, as far as this process has seen."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def record_attempt(self, position: int, outcome: Outcome) -> int:
        """Take note of an attempt that has ended; kills at the item until now."""
        if isinstance(outcome, Failure) and outcome.code == MODEL_KILLED:
            self._counts[position] += 1
        return self._counts.get(position, 0)


class Downtime:
    """How long the service has been away: from the first unavailable outcome to the next answer."""

    def __init__(self) -> None:
        self._since: float | None = None

    def mark_down(self, now: float) -> float:
        """It is away; seconds since that was first noticed."""
        if self._since is None:
            self._since = now
        return now - self._since

    @property
    def is_down(self) -> bool:
        """Whether it is away, as far as is known."""
        return self._since is not None

    def mark_up(self, now: float) -> float:
        """It answers again; seconds it was away."""
        since, self._since = self._since, None
        return 0.0 if since is None else now - since
