"""What all displays keep of a run: the latest progress, the recent rate, and what both promise."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from batchinfer.domain import Counts, Json, Mode, State
from batchinfer.ports import Clock, Committed, Progress
from batchinfer.progress.remaining_time import RateSamples, RemainingTime, estimate_remaining_time

RECENT_WINDOW_SECONDS = 60.0
"""Seconds that count as recent."""
LONG_WINDOW_SECONDS = 900.0
"""Seconds that an estimate looks back where little is finished in a minute."""
RATE_SLICES = 12
"""Into which either is cut, to see how the rate varies."""

_FINISHED_STATES = (State.SUCCEEDED, State.FAILED)


class RateWindow:
    """Events per second over the last `span` seconds, from a running count.

    Not the average of the whole run, which a cold start would spoil for hours. Keeps at most some
    sixty samples, however often it is told.
    """

    def __init__(self, now: float, count: int, span: float = RECENT_WINDOW_SECONDS) -> None:
        self._span = span
        self._samples = deque([(now, count)])

    def add_sample(self, now: float, count: int) -> None:
        """Take note of the count."""
        samples = self._samples
        if len(samples) > 1 and now - samples[-2][0] < self._span / RECENT_WINDOW_SECONDS:
            samples[-1] = (now, count)
        else:
            samples.append((now, count))
        while len(samples) > 1 and samples[1][0] <= now - self._span:
            samples.popleft()

    def compute_rate(self, now: float) -> float | None:
        """Per second; None while too little time has passed to say."""
        start = max(self._samples[0][0], now - self._span)
        if now - start < self._span / RECENT_WINDOW_SECONDS:
            return None
        return (self._samples[-1][1] - self._count_at(start)) / (now - start)

    def split_samples(self, now: float) -> RateSamples:
        """The same, slice by slice."""
        start = max(self._samples[0][0], now - self._span)
        slices = max(1, int(RATE_SLICES * (now - start) / self._span))
        length = (now - start) / slices
        counts = [self._count_at(start + each * length) for each in range(slices)]
        counts.append(self._samples[-1][1])
        return RateSamples([after - before for before, after in pairwise(counts)], now - start)

    def _count_at(self, moment: float) -> int:
        return next(count for when, count in reversed(self._samples) if when <= moment)


class ProgressState:
    """Follows the run as the observer hears of it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock()
        self._recent_window: RateWindow | None = None
        self._long_window: RateWindow | None = None
        self.progress = Progress(Counts(), in_flight=0, is_source_complete=False)

    def update(self, event: Committed) -> None:
        """Take note of what has become durable."""
        finished = event.progress.counts.finished
        if self._recent_window is None or self._long_window is None:
            # What an earlier process finished is no merit of this one's rate.
            newly_finished = sum(record.state in _FINISHED_STATES for record in event.records)
            self._recent_window = RateWindow(self._started, finished - newly_finished)
            self._long_window = RateWindow(
                self._started, finished - newly_finished, LONG_WINDOW_SECONDS
            )
        for window in (self._recent_window, self._long_window):
            window.add_sample(self._clock(), finished)
        self.progress = event.progress

    def compute_rate(self) -> float | None:
        """Items finished per second, of late; None while nobody can say."""
        return self._recent_window.compute_rate(self._clock()) if self._recent_window else None

    def compute_eta(self) -> float | None:
        """Seconds to the end; None while nobody can say: the source is still being read, nothing
        has been finished of late, or the run is paused.
        """  # noqa: D205 - one thought, one sentence
        rate = self.compute_rate()
        return self._remaining / rate if rate and self._has_end else None

    def estimate_remaining_time(self) -> RemainingTime | None:
        """The same as a range; None also while too little is finished to give one."""
        if (
            self.compute_rate() is None
            or not self._has_end
            or not (self._recent_window and self._long_window)
        ):
            return None
        now = self._clock()
        return estimate_remaining_time(
            self._remaining,
            self._recent_window.split_samples(now),
            self._long_window.split_samples(now),
        )

    @property
    def _has_end(self) -> bool:
        return self.progress.is_source_complete and not self.progress.paused

    @property
    def _remaining(self) -> int:
        return self.progress.counts.pending + self.progress.counts.submitted


@dataclass(frozen=True, slots=True)
class Summary:
    """How a process left its run."""

    run: str
    """The run directory, as the user named it."""
    mode: Mode
    counts: Counts
    failures: dict[str, int]
    """Failed items of the whole run, by code."""
    seconds: float
    exit_code: int
    reused: int = 0
    """Results of the whole run that were taken over from earlier runs."""

    def as_json(self) -> dict[str, Json]:
        """The fields of `status --json` and two of its own (`docs/reference/scripting.md`)."""
        return {
            "run": self.run,
            "mode": self.mode.value,
            "total": self.counts.total,
            "pending": self.counts.pending,
            "submitted": self.counts.submitted,
            "succeeded": self.counts.succeeded,
            "failed": self.counts.failed,
            "failures": dict(self.failures),
            "reused": self.reused,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
        }
