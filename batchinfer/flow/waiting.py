"""How long calls waited for a container, of all the time they took.

Where the service tells how long the model worked, the rest is waiting, but for the way there and
back: the least that was ever seen. Where it does not, waiting is what a round's median duration
exceeds the *floor*, the shortest such median there was. A floor that is too low (predictions have
become longer) shows when fewer in flight take no less time, round after round: nobody had waited.
What is told is not believed blindly either, for some proxy may count waiting as work: what exceeds
twice the floor is waiting in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import median, quantiles
from typing import Final

from batchinfer.flow.signs import Sample

ERROR: Final = 2.0
"""Standard errors by which a round's median is taken for longer: the shortest of many medians is
mostly an accident."""
STUBBORN: Final = 2
"""Rounds in a row that show the floor to be too low."""
LIFT: Final = 1.3
"""By how much it is lifted then, at most."""


class Waiting:
    """What is known of it so far. Durations in seconds."""

    def __init__(self) -> None:
        self.is_told = False
        """Whether the service told it of the last round, and was believed."""
        self._way: float | None = None
        self._floor: float | None = None
        self._before = (0.0, 0.0)
        self._stubborn = 0

    @property
    def way(self) -> float:
        """There and back, as far as is known."""
        return self._way or 0.0

    def of(self, answers: Sequence[Sample]) -> Sequence[float]:
        """How long each of a round's answers had waited."""
        usual = median(answer.seconds for answer in answers)
        least = usual + ERROR * _error([answer.seconds for answer in answers])
        floor = self._noted(usual, least, median(answer.joined for answer in answers))
        told = [a.seconds - a.server_seconds for a in answers if a.server_seconds is not None]
        self.is_told = len(told) == len(answers)
        if not self.is_told:
            return [max(usual - floor, 0.0)] * len(answers)
        self._way = way = min(told) if self._way is None else min(self._way, *told)
        doubt = usual - 2 * floor
        if median(told) - way < doubt / 2:
            self.is_told = False
            return [doubt] * len(answers)
        return [wait - way for wait in told]

    def _noted(self, usual: float, least: float, joined: float) -> float:
        """The floor, now that a round took `usual` seconds with `joined` in flight."""
        joined_before, usual_before = self._before
        self._before = joined, usual
        if self._floor is None or least < self._floor:
            self._floor = least
        fewer = joined < 0.95 * joined_before
        self._stubborn = self._stubborn + 1 if fewer and usual > 0.95 * usual_before else 0
        if self._stubborn >= STUBBORN:
            self._floor = min(usual, LIFT * self._floor)
        return self._floor


def _error(seconds: Sequence[float]) -> float:
    """The standard error of their median, from how far the middle half of them spreads."""
    low, _, high = quantiles(seconds, n=4)
    return 1.25 * (high - low) / 1.35 / sqrt(len(seconds))
