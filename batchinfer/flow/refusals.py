"""What refusals (429, 503) teach: a ceiling, and a way back up.

Rules:

1. The slot of a refused call is gone; by the first of a round the limit is cut besides (`CUT`).
2. A refusal although no more were in flight than had been served before is not about their number
   but, say, about calls per second: the limit is halved, once.
3. Where it happened becomes a *ceiling* that is lifted slowly, for a gateway may count calls
   without letting any wait; and with the number served, for more containers let more wait.
4. When nothing was refused for `REST` seconds, the limit climbs back to what was served before, in
   steps of one, two, four: a refusal is heard at once, and goes back to before the step.
"""

from __future__ import annotations

from math import inf
from typing import Final

from batchinfer.flow.signs import Sample

CUT: Final = 0.8
REST: Final = 4.0
AT_ONCE: Final = 0.25
"""Seconds within which a refusal is heard."""
COOL: Final = 2.0
"""Times the usual time on the server after a refusal in which nothing else grows."""
NO_MORE: Final = 1.05
"""Times the number known to be served: no more than that."""
RISE: Final = 1.2
LIFT: Final = 30.0
LONGEST_LIFT: Final = 600.0
"""Seconds after which a ceiling is lifted by a step; doubled with every refusal at that place."""
WALL: Final = 1.4
"""Numbers in flight that differ by less are the same place."""


class Refusals:
    """The ceiling and the way back. `highest`: what the limit never exceeds."""

    def __init__(self, highest: int) -> None:
        self._highest = highest
        self._ceiling: float = highest
        self._lift_at, self._lift, self._walled_at = 0.0, LIFT, 0
        self._served_there = inf
        """How many were served when the ceiling was met."""
        self._refused_at = self._stepped_at = -inf
        self._step = 0
        """By how much it climbs next; 0: there were no refusals of late."""
        self._below = 0
        """From where the last step was made."""
        self._halved = False

    def refused(self, sample: Sample, value: int, known: float) -> float:
        """What is left of the limit `value`, `known` having been served before."""
        left: float = min(value, sample.in_flight - 1)
        if sample.now - self._stepped_at < AT_ONCE:
            left = min(left, self._below)
        elif not self._halved and sample.in_flight <= NO_MORE * known:
            left, self._halved = min(left, sample.in_flight / 2), True
        self._step, self._refused_at = 1, sample.now
        return left

    def met(self, sample: Sample, known: float, served: float) -> None:
        """The first refusal of a round: here is the ceiling, while so many are `served`."""
        where = sample.in_flight
        if not self._walled_at or not 1 / WALL < where / self._walled_at < WALL:
            self._lift = LIFT
        elif sample.now > self._lift_at:
            self._lift = min(2 * self._lift, LONGEST_LIFT)
        self._walled_at, self._lift_at = where, sample.now + self._lift
        self._ceiling, self._served_there = max(known, 0.9 * where), served

    def served(self, number: float) -> None:
        """So many are served now."""
        if number > RISE * self._served_there:
            self._ceiling = min(self._ceiling * number / self._served_there, self._highest)
            self._served_there = number

    def ceiling(self, now: float) -> float:
        """What the limit must not exceed now."""
        if now > self._lift_at and self._ceiling < self._highest:
            self._ceiling, self._lift_at = self._ceiling * 1.5 + 1, now + self._lift
        return self._ceiling

    def are_old(self, now: float) -> bool:
        """Whether the last of them says nothing about now."""
        return now > self._lift_at

    def are_over(self, now: float, usual: float) -> bool:
        """Whether the limit may grow by itself; `usual`: seconds on the server."""
        return not self._step and now - self._refused_at > COOL * usual

    def forget(self) -> None:
        """They are over, for calls wait, which were let in; or the service was away since."""
        self._step, self._halved = 0, False

    def climbs(self, answer: Sample, value: int, known: float) -> float | None:
        """To where the limit `value` climbs with this answer; None: it does not."""
        rests_until = max(self._refused_at + REST, self._stepped_at) + AT_ONCE
        if not self._step or not answer.saturated or answer.now < rests_until:
            return None
        self._below, self._stepped_at = value, answer.now
        wanted = min(value + self._step, max(known, value))
        self._step = 2 * self._step if wanted < known else 0
        self._halved = self._step > 0
        return wanted
