"""What all displays keep of a run: the latest progress, the recent rate, and what both promise."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from batchinfer.domain import Counts, Json, Mode, State
from batchinfer.ports import Clock, Progress, Recorded
from batchinfer.progress.estimate import Estimate, Pulse, estimate

WINDOW = 60.0
"""Seconds that count as recent."""
LONG = 900.0
"""Seconds that an estimate looks back where little is finished in a minute."""
SLICES = 12
"""Into which either is cut, to see how the rate varies."""

_FINAL = (State.SUCCEEDED, State.FAILED)


class RateWindow:
    """Events per second over the last `span` seconds, from a running count.

    Not the average of the whole run, which a cold start would spoil for hours. Keeps at most some
    sixty samples, however often it is told.
    """

    def __init__(self, now: float, count: int, span: float = WINDOW) -> None:
        self._span = span
        self._samples = deque([(now, count)])

    def note(self, now: float, count: int) -> None:
        """Take note of the count."""
        samples = self._samples
        if len(samples) > 1 and now - samples[-2][0] < self._span / WINDOW:
            samples[-1] = (now, count)
        else:
            samples.append((now, count))
        while len(samples) > 1 and samples[1][0] <= now - self._span:
            samples.popleft()

    def rate(self, now: float) -> float | None:
        """Per second; None while too little time has passed to say."""
        begin = max(self._samples[0][0], now - self._span)
        if now - begin < self._span / WINDOW:
            return None
        return (self._samples[-1][1] - self._count(begin)) / (now - begin)

    def pulse(self, now: float) -> Pulse:
        """The same, slice by slice."""
        begin = max(self._samples[0][0], now - self._span)
        slices = max(1, int(SLICES * (now - begin) / self._span))
        length = (now - begin) / slices
        counts = [self._count(begin + each * length) for each in range(slices)]
        counts.append(self._samples[-1][1])
        return Pulse([after - before for before, after in pairwise(counts)], now - begin)

    def _count(self, moment: float) -> int:
        return next(count for when, count in reversed(self._samples) if when <= moment)


class Tally:
    """Follows the run as the observer hears of it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock()
        self._window: RateWindow | None = None
        self._long: RateWindow | None = None
        self.progress = Progress(Counts(), in_flight=0, complete=False)

    def note(self, event: Recorded) -> None:
        """Take note of what has become durable."""
        finished = event.progress.counts.finished
        if self._window is None or self._long is None:
            # What an earlier process finished is no merit of this one's rate.
            fresh = sum(record.state in _FINAL for record in event.records)
            self._window = RateWindow(self._started, finished - fresh)
            self._long = RateWindow(self._started, finished - fresh, LONG)
        for window in (self._window, self._long):
            window.note(self._clock(), finished)
        self.progress = event.progress

    def rate(self) -> float | None:
        """Items finished per second, of late; None while nobody can say."""
        return self._window.rate(self._clock()) if self._window else None

    def eta(self) -> float | None:
        """Seconds to the end; None while nobody can say: the source is still being read, nothing
        has been finished of late, or the run is paused.
        """  # noqa: D205 - one thought, one sentence
        rate = self.rate()
        return self._remaining / rate if rate and self._has_end else None

    def estimate(self) -> Estimate | None:
        """The same as a range; None also while too little is finished to give one."""
        if self.rate() is None or not self._has_end or not (self._window and self._long):
            return None
        now = self._clock()
        return estimate(self._remaining, self._window.pulse(now), self._long.pulse(now))

    @property
    def _has_end(self) -> bool:
        return self.progress.complete and not self.progress.paused

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

    def as_json(self) -> dict[str, Json]:
        """The fields of `status --json` and two of its own (`docs/scripting.md`)."""
        return {
            "run": self.run,
            "mode": self.mode.value,
            "total": self.counts.total,
            "pending": self.counts.pending,
            "submitted": self.counts.submitted,
            "succeeded": self.counts.succeeded,
            "failed": self.counts.failed,
            "failures": dict(self.failures),
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
        }
