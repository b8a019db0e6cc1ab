"""How many retries the run can afford: an outage must not be answered with more load.

Rules (a token bucket, as in botocore's retry quota): a retry after trouble of the service costs one
token; when it is answered, the token comes back; every other answer adds a little. So retries
that help are free, and retries that only add to an overload dry up after `FULL` of them, whatever
the number of items. An empty budget delays a retry until there are answers again or nothing else
is left to do; it never fails an item.
"""

from __future__ import annotations

from typing import Final

RETRY_TOKENS: Final = 20.0
TOKENS_PER_ANSWER: Final = 0.1
"""Tokens that an answer adds: in the long run at most one useless retry in ten answers."""


class RetryBudget:
    """The bucket of tokens."""

    def __init__(self, tokens: float = RETRY_TOKENS) -> None:
        self._tokens, self._max_tokens = tokens, tokens

    @property
    def tokens(self) -> float:
        """What is left, from 0 to what it began with."""
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
