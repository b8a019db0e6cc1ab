"""Numbers that grow with the run and take no more room with it: spreads, timelines, rankings. Pure.

Rules: each is fed one item at a time and holds a bounded number of values, however long the run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

_STEP = math.log(1.01)
_LEAST = 1e-4
"""Seconds below which nothing is told apart."""

BINS = 20
"""Parts of a histogram of scores."""
NAMES = 5_000
"""Different labels that are counted apart."""
PAUSE = 600.0
"""Seconds between attempts that were waiting (for a service, say) rather than idle."""
SLICES = 80
"""Parts of a timeline, at most."""

_WIDTHS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)


class Spread:
    """How a duration spreads: quantiles exact to one percent."""

    def __init__(self) -> None:
        self.count = 0
        self.most = 0.0
        self._least = math.inf
        self._places: Counter[int] = Counter()

    def add(self, value: float) -> None:
        """One more."""
        self.count += 1
        self.most = max(self.most, value)
        self._least = min(self._least, value)
        self._places[round(math.log(max(value, _LEAST)) / _STEP)] += 1

    def quantile(self, share: float) -> float | None:
        """The value that this share of all does not exceed; None: there is none yet."""
        wanted, seen = math.ceil(share * self.count), 0
        for place in sorted(self._places):
            seen += self._places[place]
            if seen >= wanted:
                return min(max(math.exp(place * _STEP), self._least), self.most)
        return None

    def bars(self, until: float, count: int) -> Sequence[int]:
        """How many in each of so many equal parts of 0 to `until`; the last has all beyond."""
        bars = [0] * count
        for place, many in self._places.items():
            value = min(max(math.exp(place * _STEP), self._least), self.most)
            bars[min(int(value / until * count), count - 1)] += many
        return bars


class Timeline:
    """What happened in each slice of a time (seconds since the epoch); so many at most."""

    def __init__(self, start: float, end: float) -> None:
        self.first, self.last = start, end
        length = max(end - start, 0.1)
        fitting = (width for width in _WIDTHS if length / width <= SLICES)
        self.width = float(next(fitting, math.ceil(length / SLICES / 86_400) * 86_400))
        self.start = math.floor(start / self.width) * self.width
        count = math.floor((start + length - self.start) / self.width) + 1
        self.succeeded = [0] * count
        self.failed = [0] * count
        self.tries = [0] * count
        """Failed attempts after which the item was tried again."""
        self._busy = [0.0] * count

    @property
    def end(self) -> float:
        """Of the last slice."""
        return self.start + self.width * len(self._busy)

    @property
    def in_flight(self) -> Sequence[float]:
        """Attempts in flight, on average over each slice."""
        return [seconds / self.width for seconds in self._busy]

    def place(self, at: float) -> int:
        """The slice of a moment; the first or the last for one outside."""
        return min(max(int((at - self.start) / self.width), 0), len(self._busy) - 1)

    def attempt(self, at: float, seconds: float) -> None:
        """One attempt, from when and how long."""
        begin, end = max(at, self.start), min(at + seconds, self.end)
        if begin >= end:
            return
        for place in range(self.place(begin), self.place(end) + 1):
            left = self.start + place * self.width
            self._busy[place] += max(0.0, min(end, left + self.width) - max(begin, left))


class WorkTime:
    """How long processes were at work on a run, the idle hours between them left out.

    Sessions say it. Runs of older versions kept none: of them the time of their attempts counts,
    with pauses of up to `PAUSE` seconds.
    """

    def __init__(self, sessions: Sequence[tuple[float, float]]) -> None:
        """`sessions`: from when to when each was at work; seconds since the epoch."""
        self.sessions = len(sessions)
        self._since = min((start for start, _ in sessions), default=math.inf)
        self._known = _joined(sorted(sessions), 0.0)
        self._spans: list[tuple[float, float]] = []
        self._new: list[tuple[float, float]] = []

    def attempt(self, at: float, seconds: float) -> None:
        """One attempt, from when and how long."""
        if at < self._since:
            self._new.append((at, min(at + seconds, self._since)))
            if len(self._new) > NAMES:
                self._join()

    @property
    def seconds(self) -> float:
        """All of it."""
        self._join()
        return sum(end - start for spans in (self._known, self._spans) for start, end in spans)

    @property
    def is_exact(self) -> bool:
        """Whether sessions say it all."""
        self._join()
        return not self._spans

    def _join(self) -> None:
        self._spans = _joined(sorted([*self._spans, *self._new]), PAUSE)
        self._new = []


def _joined(spans: Iterable[tuple[float, float]], pause: float) -> list[tuple[float, float]]:
    """Spans in order of their starts, as one where no more than `pause` lies between."""
    joined: list[tuple[float, float]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1] + pause:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


class Ranking:
    """How often each label was found; `NAMES` different ones are told apart."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        """In how many items."""
        self.beyond = 0
        """Findings of labels for which there was no more room."""

    def add(self, labels: Iterable[str]) -> None:
        """What was found in one item."""
        here = Counter(labels)
        for label, count in here.items():
            if label in self.found or len(self.found) < NAMES:
                self.found[label] += count
                self.items[label] += 1
            else:
                self.beyond += count

    def top(self, count: int) -> Sequence[tuple[str, int, int]]:
        """The most frequent: label, findings, items."""
        ranked = sorted(self.found.items(), key=lambda each: (-each[1], each[0]))
        return [(label, found, self.items[label]) for label, found in ranked[:count]]


class Scores:
    """How scores spread over 0 to 1; or over 0 to 100, once one is above 1."""

    def __init__(self) -> None:
        self.count = 0
        self._ones, self._percents = [0] * BINS, [0] * BINS
        self._most = 0.0
        self.outside = 0
        """Below 0 or above 100."""

    def add(self, score: float) -> None:
        """One more."""
        self.count += 1
        if not 0 <= score <= 100:  # noqa: PLR2004 - percent
            self.outside += 1
            return
        self._most = max(self._most, score)
        self._percents[min(int(score / 100 * BINS), BINS - 1)] += 1
        if score <= 1:
            self._ones[min(int(score * BINS), BINS - 1)] += 1

    @property
    def highest(self) -> int:
        """The end of the scale: 1 or 100."""
        return 1 if self._most <= 1 else 100

    @property
    def bars(self) -> Sequence[int]:
        """How many in each of `BINS` equal parts of 0 to `highest`."""
        return self._ones if self.highest == 1 else self._percents
