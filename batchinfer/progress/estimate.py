"""How long the rest will take: a range, from how fast items were finished of late. Pure.

Rules:

1. The likely time is the rest at the mean rate; the range is what that mean leaves open. Its
   relative standard error is the larger of two: that of a count (one over the root of how many
   were finished), and what the counts of equal slices of the time say, which also shows a rate
   that still rises, a service that came and went, items that end in bursts.
2. The range reaches `SURE` standard errors to both sides, as a factor: a rate may be half as high
   as well as twice as high.
3. Nobody can know better than `FINEST`: tomorrow's images are larger, another user comes along.
4. Where fewer than `MANY` were finished of late, a longer look back counts; before `ENOUGH` were
   finished, nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

ENOUGH: Final = 5
MANY: Final = 30
SURE: Final = 2.0
FINEST: Final = 0.05


@dataclass(frozen=True, slots=True)
class Pulse:
    """How many items were finished, slice by slice of equal length."""

    finished: Sequence[int]
    seconds: float
    """Of all slices together."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds that the rest will take."""

    low: float
    likely: float
    high: float


def estimate(remaining: int, *pulses: Pulse) -> Estimate | None:
    """How long `remaining` items will take; None while nobody can say.

    `pulses`: from a short look back to a long one. The first in which many were finished counts.
    """
    pulse = next((each for each in pulses if sum(each.finished) >= MANY), pulses[-1])
    count, slices = sum(pulse.finished), len(pulse.finished)
    if count < ENOUGH or pulse.seconds <= 0:
        return None
    mean = count / slices
    spread = sum((each - mean) ** 2 for each in pulse.finished) / slices**2 / mean**2
    factor = 1 + max(SURE * sqrt(max(spread, 1 / count)), FINEST)
    likely = remaining * pulse.seconds / count
    return Estimate(likely / factor, likely, likely * factor)
