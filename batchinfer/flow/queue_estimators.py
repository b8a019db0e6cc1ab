"""What answers tell about the service's queue: how long calls waited, and how many were served.

*Waiting.* Where the service reports how long the model worked, the rest is waiting, but for the way
there and back: the least that was ever seen. Where it does not, waiting is what a window's median
duration exceeds the *floor*, the shortest such median there was. A floor that is too low
(predictions have become longer) shows when fewer in flight take no less time, window after window:
no call had waited. A report is not believed blindly either, for some proxy may count waiting as
work: what exceeds twice the floor is waiting in any case.

*Serving.* Where the service reports how long it worked on a call, it is known when its turn came.
Two counts follow from that, and neither needs a rate over many answers:

* Of the calls in flight when it joined, those that ended before its turn were in front of it no
  more; all others were being served by then, for the service takes calls in the order in which they
  come: ``servers = in flight at start - ended before its turn``. Where calls overtake each other,
  which shows, it is right in the mean only (Little's law); so it is believed only while none does
  and the counts of a window agree (`MAX_COUNT_DEVIATION`). Calls sent all at once, or answered in
  waves, have no order that can be known.
* Whatever the order, at least as many were being served as were answered since, of those whose turn
  had come by then.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from math import inf, sqrt
from statistics import fmean, median, quantiles
from typing import Final

from batchinfer.domain import ServiceSignal
from batchinfer.flow.concurrency_limit import AttemptSample
from batchinfer.flow.range_counts import RangeCounter

FLOOR_STANDARD_ERRORS: Final = 2.0
"""Standard errors by which a window's median is taken for longer: the shortest of many medians is
mostly an accident."""
MIN_UNCHANGED_WINDOWS: Final = 2
"""Windows in a row that show the floor to be too low."""
MAX_FLOOR_RAISE_FACTOR: Final = 1.3
"""By how much it is raised then, at most."""
MAX_REMEMBERED_CALLS: Final = 4096
"""Ends that are remembered, at least: no call waits for longer than so many. A power of two."""
MAX_BLURRED_CALLS: Final = 2
MAX_BLURRED_SHARE: Final = 0.2
"""How many may end about when a call joins or has its turn, as a share of those served: answers
that come in waves show no order."""
BURST_SECONDS: Final = 0.25
"""Seconds after a raise of the limit in which many are sent at once."""
MAX_REMEMBERED_RAISES: Final = 16
MIN_ROUND_COUNTS: Final = 4
"""Counts that a window must have to be judged."""
MAX_COUNT_DEVIATION: Final = 0.25
"""Standard deviation of counts that agree, as a share of their mean."""
MAX_JUDGED_WINDOWS: Final = 4
MAX_OVERTAKING_ANSWERS: Final = 40
"""Answers after which it is forgotten that one call overtook another."""
MAX_NEWEST_ANSWERS: Final = 8
MIN_EVIDENCE_ANSWERS: Final = 2
"""Of the newest answers, how many must show as many served for it to be evident."""


class QueueTimeEstimator:
    """How long calls waited for a container, of all the time they took, in seconds."""

    def __init__(self) -> None:
        self.is_reported = False
        """Whether the service reported it of the last window, and was believed."""
        self._round_trip: float | None = None
        self._floor_seconds: float | None = None
        self._previous_window = (0.0, 0.0)
        self._unchanged_windows = 0

    @property
    def round_trip(self) -> float:
        """There and back, as far as is known."""
        return self._round_trip or 0.0

    def estimate(self, answers: Sequence[AttemptSample]) -> Sequence[float]:
        """How long each of a window's answers had waited."""
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
        """The floor, now that a window's median was `median_seconds`."""
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


class QueuePositions:
    """The ends of attempts, in order, each with its beginning and its turn."""

    def __init__(self) -> None:
        self._end_times: list[float] = []
        self._start_times = RangeCounter(MAX_REMEMBERED_CALLS)
        self._service_starts = RangeCounter(MAX_REMEMBERED_CALLS)
        """Of an answered call that reported it; infinite for all others."""

    def add(self, sample: AttemptSample) -> None:
        """An attempt has ended."""
        server_seconds = sample.server_seconds if sample.signal is ServiceSignal.ANSWERED else None
        self._end_times.append(sample.ended_at)
        self._start_times.append(sample.ended_at - sample.seconds)
        if self._service_starts.append(
            inf if server_seconds is None else sample.ended_at - server_seconds
        ):
            del self._end_times[:MAX_REMEMBERED_CALLS]

    def count_concurrent(self, service_start: float, round_trip: float) -> int:
        """How many of those answered since were being served then, whatever the order."""
        first = bisect_right(self._end_times, service_start + round_trip)
        return self._service_starts.count_up_to(service_start, first, len(self._end_times))

    def count_servers(
        self, answer: AttemptSample, service_start: float, round_trip: float
    ) -> int | None:
        """How many were being served when the turn of an answered call came, if there is an order.

        `round_trip`: seconds by which order is lost on the way. None: too many ended at once then.
        """
        joined_at = answer.ended_at - answer.seconds
        first, last = (
            bisect_right(self._end_times, joined_at),
            bisect_right(self._end_times, service_start + round_trip),
        )
        ended_before = self._start_times.count_up_to(joined_at, first, last)
        servers = max(1, answer.in_flight_at_start - ended_before)
        blurred_count = self._count_ended_near(joined_at, round_trip) + self._count_ended_near(
            service_start, round_trip
        )
        return (
            servers
            if blurred_count <= max(MAX_BLURRED_CALLS, MAX_BLURRED_SHARE * servers)
            else None
        )

    def _count_ended_near(self, moment: float, round_trip: float) -> int:
        return bisect_right(self._end_times, moment + round_trip) - bisect_left(
            self._end_times, moment - round_trip
        )


class ServerCountEstimator:
    """Both counts, and when to believe them. `round_trip`: seconds there and back, if known."""

    def __init__(self) -> None:
        self._queue_positions = QueuePositions()
        self._raise_times: deque[float] = deque(maxlen=MAX_REMEMBERED_RAISES)
        self._agreements: deque[bool] = deque([True], maxlen=MAX_JUDGED_WINDOWS)
        """Whether the counts of each of the last windows agreed: whether there is an order."""
        self._newest_counts: deque[int] = deque(maxlen=MAX_NEWEST_ANSWERS)
        self._newest_calls: deque[tuple[float, float]] = deque(maxlen=MAX_NEWEST_ANSWERS)
        """When each of the newest answered joined, and had its turn."""
        self._orderly_answers = MAX_OVERTAKING_ANSWERS
        """Answers since one call overtook another."""

    def add(self, sample: AttemptSample) -> None:
        """An attempt has ended, in whatever way."""
        self._queue_positions.add(sample)

    def on_limit_raised(self, now: float) -> None:
        """The limit was raised: many calls may be sent at once now."""
        self._raise_times.append(now)

    def restart(self, now: float) -> None:
        """The service is back: what the newest answers showed is old."""
        self._newest_counts.clear()
        self.on_limit_raised(now)

    def count_evident(self, answer: AttemptSample, round_trip: float) -> float:
        """How many are served at least, now that this answer came, which reported its time."""
        service_start = answer.ended_at - (answer.server_seconds or 0.0)
        self._track_overtaking(answer.ended_at - answer.seconds, service_start, round_trip)
        is_orderly = any(self._agreements) and self._orderly_answers >= MAX_OVERTAKING_ANSWERS
        count = self._count_servers(answer, service_start, round_trip) if is_orderly else None
        self._newest_counts.append(
            max(count or 0, self._queue_positions.count_concurrent(service_start, round_trip))
        )
        return (
            sorted(self._newest_counts)[-MIN_EVIDENCE_ANSWERS]
            if len(self._newest_counts) >= MIN_EVIDENCE_ANSWERS
            else 0.0
        )

    def _track_overtaking(self, joined_at: float, service_start: float, round_trip: float) -> None:
        """Whether this answered call overtook another, or was overtaken."""
        self._orderly_answers += 1
        for other_joined_at, other_service_start in self._newest_calls:
            if other_joined_at < joined_at - round_trip:
                is_overtaking = service_start < other_service_start - round_trip
            elif other_joined_at > joined_at + round_trip:
                is_overtaking = service_start > other_service_start + round_trip
            else:
                is_overtaking = False
            if is_overtaking:
                self._orderly_answers = 0
                break
        self._newest_calls.append((joined_at, service_start))

    def estimate(
        self, pairs: Sequence[tuple[AttemptSample, float]], round_trip: float
    ) -> float | None:
        """How many were being served in a window of answers, each with how long it waited.

        None: counting does not show it.
        """
        service_starts = [
            (one, one.ended_at - one.seconds + queue_seconds + round_trip)
            for one, queue_seconds in pairs
        ]
        counted = [
            self._count_servers(one, service_start, round_trip)
            for one, service_start in service_starts
        ]
        counts = [count for count in counted if count is not None]
        if len(counts) < MIN_ROUND_COUNTS:
            return None
        mean = fmean(counts)
        variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
        is_agreed = variance < (MAX_COUNT_DEVIATION * mean) ** 2
        self._agreements.append(is_agreed)
        if is_agreed:
            return mean
        # There was an order, so it is the number that changes: the newest show it.
        return median(counts[-MAX_NEWEST_ANSWERS:]) if any(self._agreements) else None

    def is_in_burst(self, answer: AttemptSample) -> bool:
        """Whether it was sent with many others: then nothing is known of their order."""
        joined_at = answer.ended_at - answer.seconds
        for raised_at in reversed(self._raise_times):
            if raised_at <= joined_at:
                return joined_at <= raised_at + BURST_SECONDS
        return False

    def _count_servers(
        self, answer: AttemptSample, service_start: float, round_trip: float
    ) -> int | None:
        return (
            None
            if self.is_in_burst(answer)
            else self._queue_positions.count_servers(answer, service_start, round_trip)
        )
