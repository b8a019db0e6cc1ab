"""What a comparison of two runs comes to: counts, and the items that differ most. Pure.

Memory is bounded, whatever the length of the runs: of each kind of change only the worst items are
held, by their positions.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from batchinfer.comparison.item_differences import Aspect, ItemChange, ItemDifference
from batchinfer.domain import Counts, Json

MAX_WORST_ITEMS: Final = 400
"""Items of one kind of change that are held."""
MAX_LISTED_ITEMS: Final = 20
"""Items that are listed as JSON."""
_MAX_LABEL_CHANGES: Final = 5_000
"""Different changes of labels that are counted apart."""
_MAX_LISTED_CHANGES: Final = 50
_WITHOUT_EXAMPLES: Final = frozenset({ItemChange.SAME, ItemChange.FAILED_IN_BOTH})


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One of the runs that were compared."""

    directory: str
    service: str
    """Name and host of the service; empty: not known."""
    counts: Counts

    def as_json(self) -> dict[str, Json]:
        """What `--json` prints of it."""
        return {
            "run": self.directory,
            "service": self.service,
            "items": self.counts.total,
            "succeeded": self.counts.succeeded,
            "failed": self.counts.failed,
            "unfinished": self.counts.pending + self.counts.submitted,
        }


@dataclass(frozen=True, slots=True, order=True)
class WorstItem:
    """An item that differs, and how much; the larger the worse."""

    amount: float
    order: int
    """The later an item comes, the smaller."""
    key: str = field(compare=False)
    a_position: int | None = field(compare=False)
    b_position: int | None = field(compare=False)
    change: ItemChange = field(compare=False)
    aspects: tuple[Aspect, ...] = field(compare=False)

    def as_json(self) -> dict[str, Json]:
        """What `--json` prints of it."""
        return {
            "key": self.key,
            "change": self.change.value,
            "aspects": [aspect.value for aspect in self.aspects],
            "amount": round(self.amount, 6),
        }


class NumberSpread:
    """Mean and extremes of numbers."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = self._size_sum = 0.0
        self.lowest: float | None = None
        self.highest: float | None = None

    def add_all(self, values: Sequence[float]) -> None:
        """Some more."""
        if values:
            self.count += len(values)
            self._sum += sum(values)
            self._size_sum += sum(map(abs, values))
            self.lowest = min(values) if self.lowest is None else min(self.lowest, *values)
            self.highest = max(values) if self.highest is None else max(self.highest, *values)

    @property
    def mean(self) -> float | None:
        """None: there is none yet."""
        return self._sum / self.count if self.count else None

    @property
    def mean_size(self) -> float | None:
        """Of their sizes, whatever their sign."""
        return self._size_sum / self.count if self.count else None

    def as_json(self) -> dict[str, Json]:
        """What `--json` prints of it."""
        return {
            "count": self.count,
            "mean": _round(self.mean),
            "mean_size": _round(self.mean_size),
            "lowest": _round(self.lowest),
            "highest": _round(self.highest),
        }


class Comparison:
    """What was found when two runs were compared."""

    def __init__(self, a: ComparedRun, b: ComparedRun) -> None:
        self.a, self.b = a, b
        self.changes: Counter[ItemChange] = Counter()
        """Items by what became of them."""
        self.aspects: Counter[Aspect] = Counter()
        """Changed items by what has changed of them; an item may count under several."""
        self.changed_inputs = 0
        """Items of which other bytes were sent."""
        self.label_changes: Counter[tuple[str, str]] = Counter()
        """Things by their label in the first run and in the second, where these differ."""
        self.newly_failed_codes: Counter[str] = Counter()
        self.score_shifts = NumberSpread()
        """Of things that both runs found: score in the second minus that in the first."""
        self.overlaps = NumberSpread()
        """IoU of things that both runs found."""
        self.matched = self.found_only_in_a = self.found_only_in_b = 0
        """Detections that both runs have, and that one of them has."""
        self.files: list[str] = []
        """What was written."""
        self._worst: dict[ItemChange, list[WorstItem]] = {}
        self._item_count = 0

    def add(self, difference: ItemDifference) -> None:
        """Count one more item."""
        self._item_count += 1
        self.changes[difference.change] += 1
        self.aspects.update(difference.aspects)
        self.changed_inputs += difference.is_input_changed is True
        for change in difference.label_changes:
            if change in self.label_changes or len(self.label_changes) < _MAX_LABEL_CHANGES:
                self.label_changes[change] += 1
        self.score_shifts.add_all(difference.score_shifts)
        self.overlaps.add_all(difference.overlaps)
        if difference.matches is not None:
            self.matched += len(difference.matches.matches)
            self.found_only_in_a += len(difference.matches.only_first)
            self.found_only_in_b += len(difference.matches.only_second)
        if difference.change is ItemChange.NEWLY_FAILED and difference.pair.b is not None:
            self.newly_failed_codes[difference.pair.b.result.code or ""] += 1
        if difference.change not in _WITHOUT_EXAMPLES:
            self._hold(difference)

    @property
    def item_count(self) -> int:
        """Keys of either run."""
        return self._item_count

    @property
    def common_count(self) -> int:
        """Keys that both runs have."""
        return self._item_count - self.changes[ItemChange.LOST] - self.changes[ItemChange.APPEARED]

    def list_worst(self, per_change: int = MAX_WORST_ITEMS) -> Sequence[WorstItem]:
        """The items that differ most, at most so many of each kind of change; the worst first."""
        return [
            each
            for change in ItemChange
            for each in sorted(self._worst.get(change, ()), reverse=True)[:per_change]
        ]

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer compare --json` prints."""
        return {
            "a": self.a.as_json(),
            "b": self.b.as_json(),
            "items": {change.value: self.changes[change] for change in ItemChange},
            "inputs_changed": self.changed_inputs,
            "changed": {aspect.value: self.aspects[aspect] for aspect in Aspect},
            "found": {
                "matched": self.matched,
                "only_a": self.found_only_in_a,
                "only_b": self.found_only_in_b,
            },
            "iou": self.overlaps.as_json(),
            "score_shift": self.score_shifts.as_json(),
            "label_changes": [
                {"a": label, "b": other, "count": count}
                for (label, other), count in self.label_changes.most_common(_MAX_LISTED_CHANGES)
            ],
            "newly_failed": dict(self.newly_failed_codes.most_common(_MAX_LISTED_CHANGES)),
            "worst": [each.as_json() for each in self.list_worst(MAX_LISTED_ITEMS)][
                :MAX_LISTED_ITEMS
            ],
            "files": list(self.files),
        }

    def _hold(self, difference: ItemDifference) -> None:
        pair = difference.pair
        item = WorstItem(
            difference.amount,
            -self._item_count,
            pair.key,
            None if pair.a is None else pair.a.position,
            None if pair.b is None else pair.b.position,
            difference.change,
            difference.aspects,
        )
        worst = self._worst.setdefault(difference.change, [])
        if len(worst) < MAX_WORST_ITEMS:
            heapq.heappush(worst, item)
        else:
            heapq.heappushpop(worst, item)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
