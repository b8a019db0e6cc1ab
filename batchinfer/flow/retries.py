"""What follows an attempt, and how many retries the run can afford. Pure.

====================  ===========================================================================
outcome               decision
====================  ===========================================================================
reply                 finish: succeeded
permanent failure     finish: failed
transient failure     retry after a delay, until `max_attempts` are used up; then finish: failed.
                      An item whose model was killed is tried twice at most: it is mostly out of
                      memory, and then it is killed again
unavailable           wait: the service is not there, which says nothing about the item; this is no
                      attempt, is not recorded, and is bounded by `Downtime`, not by `max_attempts`
====================  ===========================================================================

The delay has full jitter (a uniform share of an exponentially growing, capped span), so that the
retries of many items spread out. A server that says `Retry-After` is obeyed.

An outage must not be answered with more load. So a retry after trouble of the service costs a token
(a token bucket, as in botocore's retry quota); when it is answered, the token comes back; every
other answer adds a little. Retries that help are free; retries that only add to an overload stop
after `RETRY_TOKENS` of them, whatever the number of items. An empty budget delays a retry until
there are answers again or nothing else is left to do; it never fails an item.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, TypeAlias

from batchinfer import defaults
from batchinfer.domain import Failure, FailureKind, Outcome, Reply, State

MAX_KILLED_ATTEMPTS: Final = 2
RETRY_TOKENS: Final = 20.0
TOKENS_PER_ANSWER: Final = 0.1
"""Tokens that an answer adds: in the long run at most one useless retry in ten answers."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an item is tried, and with which delays."""

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

    `attempts` counts this attempt and those before it that count, from 1 (for an unavailable
    service: how often it was found so, from 1). `jitter` is uniform in [0, 1). `kills`: how many
    attempts at the item, this one included, ended because the model was killed.
    """
    if isinstance(outcome, Reply):
        return Finish(State.SUCCEEDED)
    match outcome.kind:
        case FailureKind.PERMANENT:
            return Finish(State.FAILED)
        case FailureKind.TRANSIENT if attempts >= policy.max_attempts:
            return Finish(State.FAILED)
        case FailureKind.TRANSIENT if outcome.model_killed and kills >= MAX_KILLED_ATTEMPTS:
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
    """How often the model was killed while it worked at each item, as far as this process knows."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def record_attempt(self, position: int, outcome: Outcome) -> int:
        """Count an attempt that has ended; kills at the item until now."""
        if isinstance(outcome, Failure) and outcome.model_killed:
            self._counts[position] += 1
        return self._counts.get(position, 0)


class RetryBudget:
    """The bucket of tokens."""

    def __init__(self, tokens: float = RETRY_TOKENS) -> None:
        self._tokens, self._max_tokens = tokens, tokens

    @property
    def tokens(self) -> float:
        """What is left, from 0 to the initial number."""
        return self._tokens

    def try_spend(self) -> bool:
        """Pay for a retry; whether there was enough."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def on_answer(self, *, paid: bool) -> None:
        """An attempt was answered; `paid`: it was a retry that had been paid for."""
        self._tokens = min(self._max_tokens, self._tokens + (1 if paid else TOKENS_PER_ANSWER))


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
