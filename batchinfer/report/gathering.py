"""One pass over the run: everything the page counts, and which items it shows. Memory is flat."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from batchinfer.domain import Attempt, Dossier, Failure, State
from batchinfer.meaning import (
    Classes,
    Data,
    Detection,
    Detections,
    Features,
    Meaning,
    Output,
    Words,
)
from batchinfer.report.choosing import Choosing, Sign
from batchinfer.report.figures import Ranking, Scores, Spread, Timeline, WorkTime
from batchinfer.report.texts import shown

SLOWEST = 10
LABEL = 120
"""Signs of a label that are told apart and shown."""
_MIDDLE = 0.5


@dataclass(slots=True)
class Group:
    """The failures of one code."""

    code: str
    count: int
    key: str
    """Of the first of them."""
    position: int
    message: str


@dataclass(frozen=True, slots=True)
class Slow:
    """One of the slowest items."""

    seconds: float
    position: int
    key: str
    server_seconds: float | None


@dataclass(slots=True)
class Gathered:
    """What one pass over the run has told."""

    timeline: Timeline
    choosing: Choosing
    work: WorkTime = field(default_factory=lambda: WorkTime(()))
    states: Counter[State] = field(default_factory=Counter)
    failures: dict[str, Group] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    """What the predictions are: by the name of their meaning."""
    total: Spread = field(default_factory=Spread)
    """Seconds of each item's last attempt; of them on the server; and the others."""
    server: Spread = field(default_factory=Spread)
    waiting: Spread = field(default_factory=Spread)
    labels: Ranking = field(default_factory=Ranking)
    scores: Scores = field(default_factory=Scores)
    undrawn: Counter[str] = field(default_factory=Counter)
    """Parts of detections that the pictures do not show."""
    empty: int = 0
    """Items in which nothing was found."""
    attempts: int = 0
    _slowest: list[tuple[float, int, Slow]] = field(default_factory=list)

    @property
    def items(self) -> int:
        """All items that were seen."""
        return self.states.total()

    @property
    def slowest(self) -> Sequence[Slow]:
        """The slowest first."""
        return [slow for *_, slow in sorted(self._slowest, reverse=True)]

    @property
    def chosen(self) -> frozenset[int]:
        """Positions of the items that are shown."""
        named = [group.position for group in self.failures.values()]
        return self.choosing.chosen([*named, *(slow.position for slow in self.slowest)])

    def take(
        self,
        dossier: Dossier,
        meaning: Callable[[], Meaning],
        earlier: Callable[[str], Sequence[Attempt]],
    ) -> None:
        """Look at the next item; `earlier` gives all attempts of a key, asked only if several."""
        result = dossier.result
        self.states[result.state] += 1
        self.attempts += result.attempts
        self._time(dossier, earlier)
        failed = result.state is State.FAILED
        if failed:
            self._fail(dossier)
        if result.media_type is None:
            code = (result.code or "unknown") if failed else None
            self.choosing.take(Sign(dossier.position, code, result.seconds))
            return
        self.choosing.take(self._read(dossier, meaning()))

    def _time(self, dossier: Dossier, earlier: Callable[[str], Sequence[Attempt]]) -> None:
        result, line = dossier.result, self.timeline
        if result.attempts > 1:
            for attempt in earlier(result.key):
                self._worked(attempt.started_at, attempt.seconds)
                if attempt.number != dossier.attempt and isinstance(attempt.outcome, Failure):
                    line.tries[line.place(attempt.started_at + attempt.seconds)] += 1
        elif result.started_at is not None and result.seconds is not None:
            self._worked(stamp(result.started_at), result.seconds)
        if result.finished_at is not None:
            which = line.failed if result.state is State.FAILED else line.succeeded
            which[line.place(stamp(result.finished_at))] += 1
        if result.state is not State.SUCCEEDED or result.seconds is None:
            return
        seconds, server = result.seconds, dossier.server_seconds
        self.total.add(seconds)
        if server is not None:
            self.server.add(server)
            self.waiting.add(max(0.0, seconds - server))
        slow = Slow(seconds, dossier.position, shown(result.key), server)
        entry = (seconds, -dossier.position, slow)
        if len(self._slowest) < SLOWEST:
            heapq.heappush(self._slowest, entry)
        elif entry > self._slowest[0]:
            heapq.heapreplace(self._slowest, entry)

    def _worked(self, at: float, seconds: float) -> None:
        self.timeline.attempt(at, seconds)
        self.work.attempt(at, seconds)

    def _fail(self, dossier: Dossier) -> None:
        result = dossier.result
        code = result.code or "unknown"
        if code in self.failures:
            self.failures[code].count += 1
        else:
            message = shown(result.message or "", 600)
            self.failures[code] = Group(code, 1, result.key[:LABEL], dossier.position, message)

    def _read(self, dossier: Dossier, meaning: Meaning) -> Sign:
        named: list[str] = []
        scores: list[float] = []
        found: int | None = None
        match meaning:
            case Detections(found=each):
                self.kinds["detections"] += 1
                self._count_undrawn(each)
                named = [(one.label or "")[:LABEL] for one in each if one.label is not None]
                scores = [one.score for one in each if one.score is not None]
                found = len(each)
            case Classes(found=each):
                self.kinds["classes"] += 1
                # Of a classification only the best counts: all others are what it is not.
                named = [one.label[:LABEL] for one in each[:1]]
                scores = [one.score for one in each[:1] if one.score is not None]
                found = len(each)
            case Words():
                self.kinds["text"] += 1
            case Features():
                self.kinds["GeoJSON"] += 1
            case Output():
                self.kinds["files"] += 1
            case Data():
                self.kinds["data"] += 1
        self.empty += found == 0
        self.labels.add(named)
        for score in scores:
            self.scores.add(score)
        return Sign(
            dossier.position,
            None,
            dossier.result.seconds,
            frozenset(named),
            _extremes(scores),
            found,
        )

    def _count_undrawn(self, found: Sequence[Detection]) -> None:
        for one in found:
            self.undrawn.update(one.unread)
            if one.mask is not None:
                self.undrawn["mask"] += 1
            if one.keypoints:
                self.undrawn["keypoint"] += len(one.keypoints)


def stamp(text: str) -> float:
    """Seconds since the epoch of a moment as a result has it."""
    return datetime.fromisoformat(text).timestamp()


def _extremes(scores: Sequence[float]) -> tuple[float, float, float] | None:
    if not scores:
        return None
    return min(scores), max(scores), min(scores, key=lambda score: abs(score - _MIDDLE))
