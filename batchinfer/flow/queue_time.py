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

from batchinfer.flow.concurrency_limit import AttemptSample

FLOOR_STANDARD_ERRORS: Final = 2.0
"""Standard errors by which a round's median is taken for longer: the shortest of many medians is
mostly an accident."""
MIN_UNCHANGED_WINDOWS: Final = 2
"""Rounds in a row that show the floor to be too low."""
MAX_FLOOR_RAISE_FACTOR: Final = 1.3
"""By how much it is lifted then, at most."""


class QueueTimeEstimator:
    """What is known of it so far. Durations in seconds."""

    def __init__(self) -> None:
        self.is_reported = False
        """Whether the service told it of the last round, and was believed."""
        self._round_trip: float | None = None
        self._floor_seconds: float | None = None
        self._previous_window = (0.0, 0.0)
        self._unchanged_windows = 0

    @property
    def round_trip(self) -> float:
        """There and back, as far as is known."""
        return self._round_trip or 0.0

    def estimate(self, answers: Sequence[AttemptSample]) -> Sequence[float]:
        """How long each of a round's answers had waited."""
        median_seconds = median(answer.seconds for answer in answers)
        cautious_median = median_seconds + FLOOR_STANDARD_ERRORS * _standard_error_of_median(
            [answer.seconds for answer in answers]
        )
        floor = self._update_floor(
            median_seconds, cautious_median, median(answer.in_flight_at_start for answer in answers)
        )
        reported_waits = [
            a.seconds - a.server_seconds for a in answers if a.server_seconds is not None
        ]
        self.is_reported = len(reported_waits) == len(answers)
        if not self.is_reported:
            return [max(median_seconds - floor, 0.0)] * len(answers)
        self._round_trip = round_trip = (
            min(reported_waits)
            if self._round_trip is None
            else min(self._round_trip, *reported_waits)
        )
        unreported_wait = median_seconds - 2 * floor
        if median(reported_waits) - round_trip < unreported_wait / 2:
            self.is_reported = False
            return [unreported_wait] * len(answers)
        return [wait - round_trip for wait in reported_waits]

    def _update_floor(
        self, median_seconds: float, cautious_median: float, in_flight_at_start: float
    ) -> float:
        """The floor, now that a round took `usual` seconds with `joined` in flight."""
        previous_in_flight, previous_seconds = self._previous_window
        self._previous_window = in_flight_at_start, median_seconds
        if self._floor_seconds is None or cautious_median < self._floor_seconds:
            self._floor_seconds = cautious_median
        had_fewer = in_flight_at_start < 0.95 * previous_in_flight
        self._unchanged_windows = (
            self._unchanged_windows + 1
            if had_fewer and median_seconds > 0.95 * previous_seconds
            else 0
        )
        if self._unchanged_windows >= MIN_UNCHANGED_WINDOWS:
            self._floor_seconds = min(median_seconds, MAX_FLOOR_RAISE_FACTOR * self._floor_seconds)
        return self._floor_seconds


def _standard_error_of_median(seconds: Sequence[float]) -> float:
    """The standard error of their median, from how far the middle half of them spreads."""
    low, _, high = quantiles(seconds, n=4)
    return 1.25 * (high - low) / 1.35 / sqrt(len(seconds))
