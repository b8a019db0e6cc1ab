"""Statistics in bounded memory: quantiles, timelines, rankings. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

_LOG_BIN_WIDTH = math.log(1.01)
_MIN_DURATION_SECONDS = 1e-4
"""Seconds; shorter times count as this."""

SCORE_BINS = 20
"""Parts of a histogram of scores."""
MAX_DISTINCT_LABELS = 5_000
"""Different labels that are counted apart."""
MAX_WORK_GAP_SECONDS = 600.0
"""Seconds between attempts that were waiting (for a service, say) rather than idle."""
MAX_TIMELINE_SLICES = 80
"""Parts of a timeline, at most."""

_SLICE_WIDTHS_SECONDS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)


class QuantileSketch:
    """How a duration spreads: quantiles exact to one percent."""

    def __init__(self) -> None:
        self.count = 0
        self.maximum = 0.0
        self._minimum = math.inf
        self._bin_counts: Counter[int] = Counter()

    def add(self, value: float) -> None:
        """One more."""
        self.count += 1
        self.maximum = max(self.maximum, value)
        self._minimum = min(self._minimum, value)
        self._bin_counts[round(math.log(max(value, _MIN_DURATION_SECONDS)) / _LOG_BIN_WIDTH)] += 1

    def quantile(self, share: float) -> float | None:
        """The value that this share of all does not exceed; None: there is none yet."""
        wanted, seen = math.ceil(share * self.count), 0
        for place in sorted(self._bin_counts):
            seen += self._bin_counts[place]
            if seen >= wanted:
                return min(max(math.exp(place * _LOG_BIN_WIDTH), self._minimum), self.maximum)
        return None

    def histogram(self, until: float, count: int) -> Sequence[int]:
        """How many in each of so many equal parts of 0 to `until`; the last has all beyond."""
        bars = [0] * count
        for place, many in self._bin_counts.items():
            value = min(max(math.exp(place * _LOG_BIN_WIDTH), self._minimum), self.maximum)
            bars[min(int(value / until * count), count - 1)] += many
        return bars


class Timeline:
    """What happened in each slice of a time (seconds since the epoch); so many at most."""

    def __init__(self, start: float, end: float) -> None:
        self.first, self.last = start, end
        length = max(end - start, 0.1)
        fitting = (
            width for width in _SLICE_WIDTHS_SECONDS if length / width <= MAX_TIMELINE_SLICES
        )
        self.width = float(next(fitting, math.ceil(length / MAX_TIMELINE_SLICES / 86_400) * 86_400))
        self.start = math.floor(start / self.width) * self.width
        count = math.floor((start + length - self.start) / self.width) + 1
        self.succeeded = [0] * count
        self.failed = [0] * count
        self.retried = [0] * count
        """Failed attempts after which the item was tried again."""
        self._busy_seconds = [0.0] * count

    @property
    def end(self) -> float:
        """Of the last slice."""
        return self.start + self.width * len(self._busy_seconds)

    @property
    def in_flight(self) -> Sequence[float]:
        """Attempts in flight, on average over each slice."""
        return [seconds / self.width for seconds in self._busy_seconds]

    def slice_index(self, at: float) -> int:
        """The slice of a moment; the first or the last for one outside."""
        return min(max(int((at - self.start) / self.width), 0), len(self._busy_seconds) - 1)

    def add_attempt(self, at: float, seconds: float) -> None:
        """One attempt, from when and how long."""
        begin, end = max(at, self.start), min(at + seconds, self.end)
        if begin >= end:
            return
        for index in range(self.slice_index(begin), self.slice_index(end) + 1):
            left = self.start + index * self.width
            self._busy_seconds[index] += max(0.0, min(end, left + self.width) - max(begin, left))


class WorkTime:
    """How long processes were at work on a run, the idle hours between them left out.

    Sessions say it. Runs of older versions kept none: of them the time of their attempts counts,
    with pauses of up to `MAX_WORK_GAP_SECONDS` seconds.
    """

    def __init__(self, sessions: Sequence[tuple[float, float]]) -> None:
        """`sessions`: from when to when each was at work; seconds since the epoch."""
        self.session_count = len(sessions)
        self._first_session_at = min((start for start, _ in sessions), default=math.inf)
        self._session_spans = _merge_spans(sorted(sessions), 0.0)
        self._attempt_spans: list[tuple[float, float]] = []
        self._pending_spans: list[tuple[float, float]] = []

    def add_attempt(self, at: float, seconds: float) -> None:
        """One attempt, from when and how long."""
        if at < self._first_session_at:
            self._pending_spans.append((at, min(at + seconds, self._first_session_at)))
            if len(self._pending_spans) > MAX_DISTINCT_LABELS:
                self._merge_pending()

    @property
    def seconds(self) -> float:
        """All of it."""
        self._merge_pending()
        return sum(
            end - start
            for spans in (self._session_spans, self._attempt_spans)
            for start, end in spans
        )

    @property
    def is_exact(self) -> bool:
        """Whether sessions say it all."""
        self._merge_pending()
        return not self._attempt_spans

    def _merge_pending(self) -> None:
        self._attempt_spans = _merge_spans(
            sorted([*self._attempt_spans, *self._pending_spans]), MAX_WORK_GAP_SECONDS
        )
        self._pending_spans = []


def _merge_spans(spans: Iterable[tuple[float, float]], max_gap: float) -> list[tuple[float, float]]:
    """Spans in order of their starts, as one where no more than `pause` lies between."""
    joined: list[tuple[float, float]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1] + max_gap:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


class LabelCounts:
    """How often each label was found, of a bounded number of different labels."""

    def __init__(self) -> None:
        self.findings: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        """In how many items."""
        self.uncounted = 0
        """Detections of labels beyond that number."""

    def add(self, labels: Iterable[str]) -> None:
        """What was found in one item."""
        here = Counter(labels)
        for label, count in here.items():
            if label in self.findings or len(self.findings) < MAX_DISTINCT_LABELS:
                self.findings[label] += count
                self.items[label] += 1
            else:
                self.uncounted += count

    def most_common(self, count: int) -> Sequence[tuple[str, int, int]]:
        """The most frequent: label, findings, items."""
        ranked = sorted(self.findings.items(), key=lambda each: (-each[1], each[0]))
        return [(label, found, self.items[label]) for label, found in ranked[:count]]


class ScoreHistogram:
    """How scores spread over 0 to 1; or over 0 to 100, once one is above 1."""

    def __init__(self) -> None:
        self.count = 0
        self._ones, self._percents = [0] * SCORE_BINS, [0] * SCORE_BINS
        self._maximum = 0.0
        self.outside = 0
        """Below 0 or above 100."""

    def add(self, score: float) -> None:
        """One more."""
        self.count += 1
        if not 0 <= score <= 100:  # noqa: PLR2004 - percent
            self.outside += 1
            return
        self._maximum = max(self._maximum, score)
        self._percents[min(int(score / 100 * SCORE_BINS), SCORE_BINS - 1)] += 1
        if score <= 1:
            self._ones[min(int(score * SCORE_BINS), SCORE_BINS - 1)] += 1

    @property
    def scale_end(self) -> int:
        """The end of the scale: 1 or 100."""
        return 1 if self._maximum <= 1 else 100

    @property
    def bins(self) -> Sequence[int]:
        """How many in each of `SCORE_BINS` equal parts of 0 to `highest`."""
        return self._ones if self.scale_end == 1 else self._percents
