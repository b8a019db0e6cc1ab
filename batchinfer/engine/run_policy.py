"""The numbers that a run is held to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from batchinfer import defaults
from batchinfer.domain import Item, Mode
from batchinfer.flow import RetryPolicy

CheckSource: TypeAlias = Callable[[Item], Awaitable[str | None]]
"""Checks the source of an item whose file cannot be read: why it is away, None if it is there."""

MIN_FINISHED_FOR_SHARE = 20
"""Finished items from which on a share of failures means anything."""


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """The numbers of a run, all durations in seconds."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    cold_start_timeout: float = defaults.COLD_START_TIMEOUT
    """How long a service that never answered (cold start) is waited for before the run ends."""
    give_up_after: float = defaults.GIVE_UP_AFTER
    """The same for a service that has answered before (an outage)."""
    first_answer_timeout: float | None = None
    """How long a service that accepts calls may be silent before it ever answered; None: for ever.
    """
    deadline: float | None = None
    """How long an item may take with all its attempts: no retry begins later."""
    hedge: bool = True
    """Whether the last attempts in flight get a second call when they take unusually long."""
    max_failures: int | None = None
    """How many items may fail in this process before the run ends."""
    max_failure_share: float | None = None
    """The same as a share (0 to 1) of what was finished in this process."""
    max_items: int | None = None
    """Items sent in this process at most; the others stay pending."""
    grace: float | None = None
    """How long attempts in flight may go on after a stop, until they are cut off; None: until they
    end."""
    is_watching: bool = False
    """Whether the source is watched: it is waited for however long it is away, and items that were
    in the run before are sent at once."""
    overdue_after: float = defaults.ATTEMPT_TIMEOUT[Mode.ASYNC]
    """Async mode: how long without sign of life before a submitted item counts as lost."""

    def outage_timeout(self, *, answered: bool) -> float:
        """How long an outage may last."""
        return self.give_up_after if answered else self.cold_start_timeout

    def has_too_many_failures(self, failed: int, finished: int) -> bool:
        """Whether that many failures among that many finished items end the run."""
        if self.max_failures is not None and failed > self.max_failures:
            return True
        if self.max_failure_share is None or finished < MIN_FINISHED_FOR_SHARE:
            return False
        return failed > self.max_failure_share * finished
