"""One pass over the run: everything the page counts, and which items it shows. Memory is flat."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from batchinfer.domain import Attempt, Failure, ResultDetails, State
from batchinfer.predictions import (
    Classification,
    Detection,
    Detections,
    FeatureCollection,
    Interpretation,
    OtherData,
    PlainText,
    PredictionFile,
)
from batchinfer.report.aggregates import (
    LabelCounts,
    QuantileSketch,
    ScoreHistogram,
    Timeline,
    WorkTime,
)
from batchinfer.report.formatting import clip
from batchinfer.report.item_sampler import ItemSampler, ItemTraits

MAX_SLOWEST_ITEMS = 10
MAX_LABEL_CHARS = 120
"""Characters of a label that are compared and shown."""
_MIDDLE_SCORE = 0.5


@dataclass(slots=True)
class FailuresOfCode:
    """The failures of one code."""

    code: str
    count: int
    first_key: str
    """Of the first of them."""
    first_position: int
    first_message: str


@dataclass(frozen=True, slots=True)
class SlowItem:
    """One of the slowest items."""

    seconds: float
    position: int
    key: str
    server_seconds: float | None


@dataclass(slots=True)
class RunStatistics:
    """What one pass over the run has counted."""

    timeline: Timeline
    sampler: ItemSampler
    work_time: WorkTime = field(default_factory=lambda: WorkTime(()))
    state_counts: Counter[State] = field(default_factory=Counter)
    failures_by_code: dict[str, FailuresOfCode] = field(default_factory=dict)
    kind_counts: Counter[str] = field(default_factory=Counter)
    """What the predictions are: by the name of their meaning."""
    total_seconds: QuantileSketch = field(default_factory=QuantileSketch)
    """Seconds of each item's last attempt; of them on the server; and the others."""
    server_seconds: QuantileSketch = field(default_factory=QuantileSketch)
    waiting_seconds: QuantileSketch = field(default_factory=QuantileSketch)
    label_counts: LabelCounts = field(default_factory=LabelCounts)
    score_histogram: ScoreHistogram = field(default_factory=ScoreHistogram)
    undrawn_counts: Counter[str] = field(default_factory=Counter)
    """Parts of detections that the pictures do not show."""
    empty_items: int = 0
    """Items in which nothing was found."""
    attempt_count: int = 0
    reused_counts: Counter[str] = field(default_factory=Counter)
    """Results that were taken over, by the earlier run."""
    _slowest: list[tuple[float, int, SlowItem]] = field(default_factory=list)

    @property
    def item_count(self) -> int:
        """All items that were seen."""
        return self.state_counts.total()

    @property
    def slowest(self) -> Sequence[SlowItem]:
        """The slowest first."""
        return [slow for *_, slow in sorted(self._slowest, reverse=True)]

    @property
    def shown_positions(self) -> frozenset[int]:
        """Positions of the items that are shown."""
        named = [group.first_position for group in self.failures_by_code.values()]
        return self.sampler.select([*named, *(slow.position for slow in self.slowest)])

    def add(
        self,
        details: ResultDetails,
        interpret: Callable[[], Interpretation],
        attempts_of: Callable[[str], Sequence[Attempt]],
    ) -> None:
        """Look at the next item; `earlier` gives all attempts of a key, asked only if several."""
        result = details.result
        self.state_counts[result.state] += 1
        self.attempt_count += result.attempts
        self._add_times(details, attempts_of)
        failed = result.state is State.FAILED
        if failed:
            self._add_failure(details)
        if result.media_type is None:
            code = (result.code or "unknown") if failed else None
            self.sampler.add(ItemTraits(details.position, code, result.seconds))
            return
        if result.reused is not None:
            self.reused_counts[clip(result.reused)] += 1
        self.sampler.add(self._add_prediction(details, interpret()))

    def _add_times(
        self, details: ResultDetails, attempts_of: Callable[[str], Sequence[Attempt]]
    ) -> None:
        result, line = details.result, self.timeline
        if result.attempts > 1:
            for attempt in attempts_of(result.key):
                self._add_attempt(attempt.started_at, attempt.seconds)
                if attempt.number != details.attempt and isinstance(attempt.outcome, Failure):
                    line.retried[line.slice_index(attempt.started_at + attempt.seconds)] += 1
        elif result.started_at is not None and result.seconds is not None:
            self._add_attempt(to_epoch(result.started_at), result.seconds)
        if result.finished_at is not None:
            which = line.failed if result.state is State.FAILED else line.succeeded
            which[line.slice_index(to_epoch(result.finished_at))] += 1
        if result.state is not State.SUCCEEDED or result.seconds is None:
            return
        seconds, server = result.seconds, details.server_seconds
        self.total_seconds.add(seconds)
        if server is not None:
            self.server_seconds.add(server)
            self.waiting_seconds.add(max(0.0, seconds - server))
        slow = SlowItem(seconds, details.position, clip(result.key), server)
        entry = (seconds, -details.position, slow)
        if len(self._slowest) < MAX_SLOWEST_ITEMS:
            heapq.heappush(self._slowest, entry)
        elif entry > self._slowest[0]:
            heapq.heapreplace(self._slowest, entry)

    def _add_attempt(self, at: float, seconds: float) -> None:
        self.timeline.add_attempt(at, seconds)
        self.work_time.add_attempt(at, seconds)

    def _add_failure(self, details: ResultDetails) -> None:
        result = details.result
        code = result.code or "unknown"
        if code in self.failures_by_code:
            self.failures_by_code[code].count += 1
        else:
            message = clip(result.message or "", 600)
            self.failures_by_code[code] = FailuresOfCode(
                code, 1, result.key[:MAX_LABEL_CHARS], details.position, message
            )

    def _add_prediction(self, details: ResultDetails, interpretation: Interpretation) -> ItemTraits:
        named: list[str] = []
        scores: list[float] = []
        found: int | None = None
        match interpretation:
            case Detections(detections=each):
                self.kind_counts["detections"] += 1
                self._count_undrawn(each)
                named = [
                    (one.label or "")[:MAX_LABEL_CHARS] for one in each if one.label is not None
                ]
                scores = [one.score for one in each if one.score is not None]
                found = len(each)
            case Classification(classes=each):
                self.kind_counts["classes"] += 1
                # Of a classification only the best counts: all others are what it is not.
                named = [one.label[:MAX_LABEL_CHARS] for one in each[:1]]
                scores = [one.score for one in each[:1] if one.score is not None]
                found = len(each)
            case PlainText():
                self.kind_counts["text"] += 1
            case FeatureCollection():
                self.kind_counts["GeoJSON"] += 1
            case PredictionFile():
                self.kind_counts["files"] += 1
            case OtherData():
                self.kind_counts["data"] += 1
        self.empty_items += found == 0
        self.label_counts.add(named)
        for score in scores:
            self.score_histogram.add(score)
        return ItemTraits(
            details.position,
            None,
            details.result.seconds,
            frozenset(named),
            _score_extremes(scores),
            found,
        )

    def _count_undrawn(self, found: Sequence[Detection]) -> None:
        for one in found:
            self.undrawn_counts.update(one.unsupported_parts)
            if one.mask is not None:
                self.undrawn_counts["mask"] += 1
            if one.keypoints:
                self.undrawn_counts["keypoint"] += len(one.keypoints)


def to_epoch(text: str) -> float:
    """Seconds since the epoch of a moment as a result has it."""
    return datetime.fromisoformat(text).timestamp()


def _score_extremes(scores: Sequence[float]) -> tuple[float, float, float] | None:
    if not scores:
        return None
    return min(scores), max(scores), min(scores, key=lambda score: abs(score - _MIDDLE_SCORE))
