"""Whether the service is there: one state for the run, so that not every item has to find out.

======== ============================================ ===========================================
state    meaning                                      what may begin
======== ============================================ ===========================================
COLD     nobody has answered yet, or nobody does any  one probe, once the rest is over
         more: scaled to zero, or an outage
PROBING  one item is on its way to find out           nothing; after long silence another probe
WARM     it answers                                   as many as the limit allows
======== ============================================ ===========================================

Rules:

1. A cold service answers 502 at once (contract section 1): one probe is enough to hear it. A probe
   that hears nothing for `SILENCE` seconds, or for much longer than the probe before it, is being
   served, and the others need not wait for its answer; unless what ended the warmth was silence.
2. Between probes lies a rest that grows with the absence (`SHARE` of it, `REST` at most), or what
   the service asked for by `Retry-After`. Who is there and refuses is asked less often; when the
   probes meet something else than before, that is news, and the rests grow anew.
3. A warm service becomes cold by a *row* of failures: `AWAY_IN_A_ROW` that find it away, or
   `IN_A_ROW` of whatever kind and of `DIFFERENT` items, so that it is not the items. Answers to
   attempts from before the first say nothing about now; an answer to a later one ends the row. Nor
   is it one while other attempts are let in, which shows by their lasting longer: `MOST` must fail.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from batchinfer.flow.signs import Sign

SILENCE: Final = 2.0
LONGER: Final = 5.0
"""Times the duration of the last probe that was refused, and `AT_LEAST` seconds: longer."""
AT_LEAST: Final = 0.25
SHARE: Final = 0.1
SHORTEST: Final = 1.0
SPARINGLY: Final = 1.5
"""Times that, where the service is there and refuses: that is work for it."""
REST: Final = 15.0
UNHEARD: Final = 20.0
"""Seconds after which another probe is sent although the last one is still on its way."""
AWAY_IN_A_ROW: Final = 2
IN_A_ROW: Final = 5
DIFFERENT: Final = 3
MOST: Final = 0.8
BRIEF: Final = 10.0
"""Seconds of absence that a service loses nothing by."""


class Condition(StrEnum):
    """The states of the table above."""

    COLD = "cold"
    PROBING = "probing"
    WARM = "warm"


@dataclass(slots=True)
class Row:
    """Failures, one after the other, of a warm service."""

    since: float
    """When the first of them began."""
    begun: list[float] = field(default_factory=list)
    """When attempts began since that are in flight still, in order."""
    failed: int = 0
    away: int = 0
    slow: int = 0
    items: set[int] = field(default_factory=set)

    def failure(self, sign: Sign, item: int, began: float) -> bool:
        """Another one; whether it is the end (rule 3)."""
        self.failed += 1
        self.away += sign is Sign.AWAY
        self.slow += sign is Sign.SLOW
        if len(self.items) < DIFFERENT:
            self.items.add(item)
        self.ended(began)
        let_in = bisect_left(self.begun, began)  # in flight for longer than this one has lasted
        enough = self.failed >= IN_A_ROW and len(self.items) >= DIFFERENT
        most = self.failed >= MOST * (self.failed + let_in)
        return most and (enough or self.away >= AWAY_IN_A_ROW)

    def ended(self, began: float) -> None:
        """An attempt that began then is in flight no more."""
        place = bisect_left(self.begun, began)
        if self.begun[place : place + 1] == [began]:
            del self.begun[place]


class Health:
    """The state machine. Pure: times are handed in, seconds on the event loop's clock."""

    def __init__(self, condition: Condition = Condition.COLD) -> None:
        self.condition = condition
        self.has_answered = False
        """Whether anybody was ever answered."""
        self._row: Row | None = None
        self._since: float | None = None
        self._closed_at = 0.0
        self._next = 0.0
        self._silence_is_good = True
        self._silence = SILENCE
        self._sign: Sign | None = None
        self._sign_since = 0.0
        """What the last probe met, and since when."""

    @property
    def is_away(self) -> bool:
        """Whether it is known not to answer (not merely unheard of)."""
        return self.condition is not Condition.WARM and self._since is not None

    def away(self, now: float) -> float:
        """Seconds since the first of the failures that show it."""
        return now - self._since if self.is_away and self._since is not None else 0.0

    def admits(self, now: float) -> bool:
        """Whether an attempt may begin."""
        return self.condition is Condition.WARM or now >= self._next

    @property
    def opens_at(self) -> float | None:
        """When time alone will admit the next attempt; None: it is open."""
        return None if self.condition is Condition.WARM else self._next

    def begun(self, now: float) -> bool:
        """An attempt begins, which was admitted; whether the service has recovered thereby."""
        if self.condition is Condition.WARM:
            if self._row is not None:
                self._row.begun.append(now)
            return False
        if self.condition is Condition.PROBING and self._silence_is_good:
            return self._opened(now)
        self.condition = Condition.PROBING
        self._next = now + (self._silence if self._silence_is_good else UNHEARD)
        return False

    def heard(
        self, sign: Sign, item: int, began: float, now: float, retry_after: float | None = None
    ) -> bool:
        """An attempt that began at `began` has ended; whether the service has recovered thereby."""
        if sign is Sign.ANSWERED:
            return self._answered(began, now)
        if self.condition is Condition.WARM:
            self._row = self._row or Row(began)
            if not self._row.failure(sign, item, began):
                return False
            self._silence_is_good = not self._row.slow
            self._since, self._closed_at, self._row = self._row.since, now, None
        elif began < self._closed_at:
            # In flight when the service went: no probe, and its news is old; but its wish counts.
            self._next = max(self._next, now + (retry_after or 0.0))
            return False
        else:
            self._silence = min(SILENCE, AT_LEAST + LONGER * (now - began))
        self._since = began if self._since is None else self._since
        if sign is not self._sign:
            self._sign, self._sign_since = sign, began
        self.condition = Condition.COLD
        rest = max(SHARE * (now - self._sign_since), SHORTEST)
        rest = min(rest * (1 if sign is Sign.AWAY else SPARINGLY), REST)
        self._next = now + max(rest, retry_after or 0.0)
        return False

    def refused(self, since: float, now: float) -> None:
        """Everybody has been refused since then: it counts as away (`circuit`)."""
        if self.is_away:
            return
        self.condition, self._since, self._closed_at, self._row = Condition.COLD, since, now, None
        self._sign, self._sign_since = Sign.AWAY, since
        self._next = now + SHORTEST

    def heard_nothing(self, began: float, now: float) -> None:
        """An attempt that began at `began` has ended unsent: it was no probe, nor was it let in."""
        if self._row is not None:
            self._row.ended(began)
        if self.condition is Condition.PROBING and began >= self._closed_at:
            self.condition, self._next = Condition.COLD, now

    def _answered(self, began: float, now: float) -> bool:
        self.has_answered = True
        if self.condition is Condition.WARM:
            if self._row is not None and began >= self._row.since:
                self._row = None
            return False
        return began >= self._closed_at and self._opened(now)

    def _opened(self, now: float) -> bool:
        """It is warm; whether it has been away for long."""
        long = self.away(now) > BRIEF
        self.condition, self._since, self._row, self._sign = Condition.WARM, None, None, None
        self._silence_is_good, self._silence = True, SILENCE
        return long
