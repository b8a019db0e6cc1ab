"""Whether the service is there: one state for the run, so that not every item has to find out.

======== ============================================ ===========================================
state    meaning                                      what may begin
======== ============================================ ===========================================
COLD     it has not answered yet, or does no longer:  one probe, once the pause is over
         scaled to zero, or an outage
PROBING  one item is in flight to find out            nothing; after long silence another probe
WARM     it answers                                   as many as the limit allows
======== ============================================ ===========================================

Rules:

1. A cold service answers 502 at once (docs/platform.md): one probe is enough to see it. A probe
   without answer for `PROBE_SILENCE_SECONDS`, or for much longer than the probe before it, is being
   served, and the others need not wait for its answer; unless the service went cold by silence.
2. The pause between probes grows with the outage (`PROBE_INTERVAL_SHARE` of it, at most
   `MAX_PROBE_INTERVAL_SECONDS`), or is what the service asked for by `Retry-After`. A service that
   is there and fails is probed less often; when probes meet something else than before, the pause
   grows anew.
3. A warm service becomes cold by a *streak* of failures: `MIN_UNREACHABLE_IN_A_ROW` that find it
   unreachable, or `MIN_FAILURES_IN_A_ROW` of any kind and of `MIN_FAILED_ITEMS` items, so that it
   is not the items. Answers to attempts from before the first say nothing about now; an answer to a
   later one ends the streak. Nor is it one while other attempts are let in, which shows by their
   lasting longer: `MIN_FAILED_SHARE` must fail.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from batchinfer.domain import ServiceSignal

PROBE_SILENCE_SECONDS: Final = 2.0
PROBE_DURATION_FACTOR: Final = 5.0
"""A probe lasts much longer than the one before if it takes so many times its duration, and
`MIN_PROBE_SILENCE_SECONDS` besides."""
MIN_PROBE_SILENCE_SECONDS: Final = 0.25
PROBE_INTERVAL_SHARE: Final = 0.1
MIN_PROBE_INTERVAL_SECONDS: Final = 1.0
REACHABLE_INTERVAL_FACTOR: Final = 1.5
"""Times that, where the service is there and fails: a probe is work for it."""
MAX_PROBE_INTERVAL_SECONDS: Final = 15.0
REPEAT_PROBE_AFTER_SECONDS: Final = 20.0
"""Seconds after which another probe is sent although the last one is still in flight."""
MIN_UNREACHABLE_IN_A_ROW: Final = 2
MIN_FAILURES_IN_A_ROW: Final = 5
MIN_FAILED_ITEMS: Final = 3
MIN_FAILED_SHARE: Final = 0.8
BRIEF_OUTAGE_SECONDS: Final = 10.0
"""Seconds of outage after which the service is as it was."""
MIN_DENIALS_IN_A_ROW: Final = 5
MIN_DENIALS_BEFORE_FIRST_ANSWER: Final = 3


class ServiceState(StrEnum):
    """The states of the table above."""

    COLD = "cold"
    PROBING = "probing"
    WARM = "warm"


@dataclass(slots=True)
class FailureStreak:
    """Failures, one after the other, of a warm service."""

    started_at: float
    """When the first of them began."""
    start_times: list[float] = field(default_factory=list)
    """When attempts began since that are in flight still, in order."""
    failure_count: int = 0
    unreachable_count: int = 0
    timeout_count: int = 0
    items: set[int] = field(default_factory=set)

    def add_failure(self, signal: ServiceSignal, item: int, began: float) -> bool:
        """Another one; return whether the service is cold now (rule 3)."""
        self.failure_count += 1
        self.unreachable_count += signal is ServiceSignal.UNREACHABLE
        self.timeout_count += signal is ServiceSignal.TIMEOUT
        if len(self.items) < MIN_FAILED_ITEMS:
            self.items.add(item)
        self.remove_start(began)
        still_in_flight = bisect_left(
            self.start_times, began
        )  # in flight for longer than this one has lasted
        is_general = (
            self.failure_count >= MIN_FAILURES_IN_A_ROW and len(self.items) >= MIN_FAILED_ITEMS
        )
        is_majority = self.failure_count >= MIN_FAILED_SHARE * (
            self.failure_count + still_in_flight
        )
        return is_majority and (is_general or self.unreachable_count >= MIN_UNREACHABLE_IN_A_ROW)

    def remove_start(self, began: float) -> None:
        """An attempt that began then is in flight no more."""
        index = bisect_left(self.start_times, began)
        if self.start_times[index : index + 1] == [began]:
            del self.start_times[index]


class ServiceHealth:
    """The state machine. Pure: times are handed in, seconds on the event loop's clock."""

    def __init__(self, state: ServiceState = ServiceState.COLD) -> None:
        self.state = state
        self.has_answered = False
        """Whether any attempt was ever answered."""
        self._streak: FailureStreak | None = None
        self._down_since: float | None = None
        self._closed_at = 0.0
        self._next_probe_at = 0.0
        self._is_silence_good = True
        self._silence_seconds = PROBE_SILENCE_SECONDS
        self._probe_signal: ServiceSignal | None = None
        self._probe_signal_since = 0.0
        """What the last probe met, and since when."""

    @property
    def is_down(self) -> bool:
        """Whether it is known not to answer (not merely unheard of)."""
        return self.state is not ServiceState.WARM and self._down_since is not None

    def down_for(self, now: float) -> float:
        """Seconds since the first of the failures that show it."""
        return now - self._down_since if self.is_down and self._down_since is not None else 0.0

    def allows(self, now: float) -> bool:
        """Whether an attempt may begin."""
        return self.state is ServiceState.WARM or now >= self._next_probe_at

    @property
    def next_open_at(self) -> float | None:
        """When time alone lets the next attempt begin; None: it may."""
        return None if self.state is ServiceState.WARM else self._next_probe_at

    def on_start(self, now: float) -> bool:
        """An allowed attempt begins; return whether the service has recovered thereby."""
        if self.state is ServiceState.WARM:
            if self._streak is not None:
                self._streak.start_times.append(now)
            return False
        if self.state is ServiceState.PROBING and self._is_silence_good:
            return self._mark_warm(now)
        self.state = ServiceState.PROBING
        self._schedule_next_probe(now)
        return False

    def on_outcome(
        self,
        signal: ServiceSignal,
        item: int,
        began: float,
        now: float,
        retry_after: float | None = None,
    ) -> bool:
        """An attempt that began at `began` has ended; return whether the service has recovered."""
        if signal is ServiceSignal.ANSWERED:
            return self._on_answer(began, now)
        if self.state is ServiceState.WARM:
            self._streak = self._streak or FailureStreak(began)
            if not self._streak.add_failure(signal, item, began):
                return False
            self._is_silence_good = not self._streak.timeout_count
            self._down_since, self._closed_at, self._streak = self._streak.started_at, now, None
        elif began < self._closed_at:
            # In flight when the service went: no probe, and nothing new; but `Retry-After` counts.
            self._next_probe_at = max(self._next_probe_at, now + (retry_after or 0.0))
            return False
        else:
            self._silence_seconds = min(
                PROBE_SILENCE_SECONDS,
                MIN_PROBE_SILENCE_SECONDS + PROBE_DURATION_FACTOR * (now - began),
            )
        self._down_since = began if self._down_since is None else self._down_since
        if signal is not self._probe_signal:
            self._probe_signal, self._probe_signal_since = signal, began
        self.state = ServiceState.COLD
        interval = max(
            PROBE_INTERVAL_SHARE * (now - self._probe_signal_since), MIN_PROBE_INTERVAL_SECONDS
        )
        interval = min(
            interval * (1 if signal is ServiceSignal.UNREACHABLE else REACHABLE_INTERVAL_FACTOR),
            MAX_PROBE_INTERVAL_SECONDS,
        )
        self._next_probe_at = now + max(interval, retry_after or 0.0)
        return False

    def on_denied(self, since: float, now: float) -> None:
        """All items have been denied since then: it counts as away (see `DenialStreak`)."""
        if self.is_down:
            return
        self.state, self._down_since, self._closed_at, self._streak = (
            ServiceState.COLD,
            since,
            now,
            None,
        )
        self._probe_signal, self._probe_signal_since = ServiceSignal.UNREACHABLE, since
        self._next_probe_at = now + MIN_PROBE_INTERVAL_SECONDS

    def on_unsent(self, began: float, now: float) -> None:
        """An attempt that began at `began` has ended unsent: it was no probe, nor let in."""
        if self._streak is not None:
            self._streak.remove_start(began)
        if self.state is ServiceState.PROBING and began >= self._closed_at:
            self.state, self._next_probe_at = ServiceState.COLD, now

    def on_restart(self, began: float, now: float) -> None:
        """An attempt that began at `began` begins again: until now it was not with the service."""
        if self._streak is not None:
            self._streak.remove_start(began)
            self._streak.start_times.append(now)
        if self.state is ServiceState.PROBING and began >= self._closed_at:
            self._schedule_next_probe(now)

    def skip_time(self, seconds: float) -> None:
        """So long nothing was with the service: that time says nothing about it."""
        if self._down_since is not None:
            self._down_since += seconds
        self._probe_signal_since += seconds

    def _schedule_next_probe(self, now: float) -> None:
        """When the next probe may be, while the one that begins now says nothing."""
        self._next_probe_at = now + (
            self._silence_seconds if self._is_silence_good else REPEAT_PROBE_AFTER_SECONDS
        )

    def _on_answer(self, began: float, now: float) -> bool:
        self.has_answered = True
        if self.state is ServiceState.WARM:
            if self._streak is not None and began >= self._streak.started_at:
                self._streak = None
            return False
        return began >= self._closed_at and self._mark_warm(now)

    def _mark_warm(self, now: float) -> bool:
        """It is warm; return whether it has been away for long."""
        was_down_long = self.down_for(now) > BRIEF_OUTAGE_SECONDS
        self.state, self._down_since, self._streak, self._probe_signal = (
            ServiceState.WARM,
            None,
            None,
            None,
        )
        self._is_silence_good, self._silence_seconds = True, PROBE_SILENCE_SECONDS
        return was_down_long


class DenialStreak:
    """Tells whether denials have one cause for all. Times are seconds on the event loop's clock.

    A status such as 403 or 405 may be the fault of one item, or of everything between here and the
    model (a firewall, a proxy, a gateway). One denial does not show which. What does:

    * an answer to an attempt that began later: then they were the fault of their items;
    * `MIN_DENIALS_IN_A_ROW` denials of different items without such an answer
      (`MIN_DENIALS_BEFORE_FIRST_ANSWER`, when nothing was ever answered): then no item is at fault,
      and the service is treated as away.
    """

    def __init__(self) -> None:
        self.since: float | None = None
        """When the first denial of the streak began; None: there is no streak."""
        self._items: set[int] = set()
        self._has_answered = False

    def on_denial(self, item: int, began: float) -> bool:
        """Another denial; whether it shows that no item is at fault."""
        self.since = began if self.since is None else min(self.since, began)
        if len(self._items) < MIN_DENIALS_IN_A_ROW:
            self._items.add(item)
        return len(self._items) >= (
            MIN_DENIALS_IN_A_ROW if self._has_answered else MIN_DENIALS_BEFORE_FIRST_ANSWER
        )

    def skip_time(self, seconds: float) -> None:
        """So long nothing was with the service: the streak is as much younger."""
        if self.since is not None:
            self.since += seconds

    def on_answer(self, began: float) -> bool:
        """An answer to an attempt that began then; whether it ended a streak."""
        self._has_answered = True
        if self.since is None or began < self.since:
            return False
        self.since = None
        self._items.clear()
        return True
