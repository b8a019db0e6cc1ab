"""How long the rest will take: a range, from how fast items were finished of late. Pure.

Rules:

1. The likely time is the rest at the mean rate; the range is what that mean leaves open. Its
   relative standard error is the larger of two: that of a count (one over the root of how many
   were finished), and what the counts of equal slices of the time say, which also shows a rate
   that still rises, a service that came and went, items that end in bursts.
2. The range reaches `RANGE_STANDARD_ERRORS` standard errors to both sides, as a factor: a rate may
   be half as high as well as twice as high.
3. Nobody can know better than `MIN_RELATIVE_ERROR`: tomorrow's images are larger, another user
   comes along.
4. Where fewer than `MIN_FINISHED_IN_WINDOW` were finished of late, a longer look back counts;
   before `ENOUGH` were finished, nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

MIN_FINISHED: Final = 5
MIN_FINISHED_IN_WINDOW: Final = 30
RANGE_STANDARD_ERRORS: Final = 2.0
MIN_RELATIVE_ERROR: Final = 0.05


@dataclass(frozen=True, slots=True)
class RateSamples:
    """How many items were finished, slice by slice of equal length."""

    finished_counts: Sequence[int]
    seconds: float
    """Of all slices together."""


@dataclass(frozen=True, slots=True)
class RemainingTime:
    """Seconds that the rest will take."""

    low: float
    likely: float
    high: float


def estimate_remaining_time(remaining: int, *windows: RateSamples) -> RemainingTime | None:
    """How long `remaining` items will take; None while nobody can say.

    `pulses`: from a short look back to a long one. The first in which many were finished counts.
    """
    window = next(
        (each for each in windows if sum(each.finished_counts) >= MIN_FINISHED_IN_WINDOW),
        windows[-1],
    )
    count, slices = sum(window.finished_counts), len(window.finished_counts)
    if count < MIN_FINISHED or window.seconds <= 0:
        return None
    mean = count / slices
    spread = sum((each - mean) ** 2 for each in window.finished_counts) / slices**2 / mean**2
    factor = 1 + max(RANGE_STANDARD_ERRORS * sqrt(max(spread, 1 / count)), MIN_RELATIVE_ERROR)
    likely = remaining * window.seconds / count
    return RemainingTime(likely / factor, likely, likely * factor)
