"""Which items the page shows when it cannot show all: a sample that leaves nothing odd out.

Fed one item after the other; holds a bounded number of positions. Chance is seeded by the run, so
that the same run gives the same page.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

_MAX_ITEMS_PER_CODE = 25
_MAX_ITEMS_PER_LABEL = 12
_MAX_TRACKED_LABELS = 2_000
"""Labels that are looked after; further ones are in the sample by chance only."""
_MAX_EXTREMES = 30
_LABEL_SHARE = 0.4
_MIDDLE_SCORE = 0.5


@dataclass(frozen=True, slots=True)
class ItemTraits:
    """What is looked at in an item."""

    position: int
    code: str | None
    """Of its failure; None: it has not failed."""
    seconds: float | None
    labels: frozenset[str] = frozenset()
    scores: tuple[float, float, float] | None = None
    """Lowest, highest, and the one nearest to one half."""
    finding_count: int | None = None
    """How many detections or classes; None: its prediction is not of that kind."""


class ItemSampler:
    """Chooses `room` items of about `total`."""

    def __init__(self, total: int, capacity: int, seed: str) -> None:
        self._total, self._capacity = max(total, 1), capacity
        self._rng = Random(seed)  # noqa: S311 - no secret
        self._codes: dict[str, _Reservoir] = {}
        self._labels: dict[str, _Reservoir] = {}
        self._empty = _Reservoir(_MAX_EXTREMES, self._rng)
        self._extremes: defaultdict[str, _TopN] = defaultdict(lambda: _TopN(_MAX_EXTREMES))
        self._evenly_spread: list[int] = []
        self._last_slot = -1

    def add(self, traits: ItemTraits) -> None:
        """Look at the next item."""
        slot = traits.position * self._capacity // self._total
        if slot != self._last_slot and len(self._evenly_spread) < 2 * self._capacity:
            self._evenly_spread.append(traits.position)
        self._last_slot = slot
        if traits.code is not None:
            self._codes.setdefault(traits.code, _Reservoir(_MAX_ITEMS_PER_CODE, self._rng)).add(
                traits.position
            )
        if traits.seconds is not None:
            self._extremes["slowest"].add(traits.seconds, traits.position)
        for label in sorted(traits.labels):
            if label in self._labels or len(self._labels) < _MAX_TRACKED_LABELS:
                reservoir = self._labels.setdefault(
                    label, _Reservoir(_MAX_ITEMS_PER_LABEL, self._rng)
                )
                reservoir.add(traits.position)
        if traits.scores is not None:
            lowest, highest, middle = traits.scores
            self._extremes["highest"].add(highest, traits.position)
            self._extremes["lowest"].add(-lowest, traits.position)
            self._extremes["middle"].add(-abs(middle - _MIDDLE_SCORE), traits.position)
        if traits.finding_count:
            self._extremes["most"].add(traits.finding_count, traits.position)
        elif traits.finding_count == 0:
            self._empty.add(traits.position)

    def select(self, pinned: Sequence[int] = ()) -> frozenset[int]:
        """Positions: those the page names, then the odd ones, the rest spread evenly."""
        selected = set(pinned[: self._capacity])
        _add_up_to(selected, _round_robin(self._codes), self._capacity // 3)
        _add_up_to(selected, _round_robin(self._labels), int(self._capacity * _LABEL_SHARE))
        each = [*(top.positions for top in self._extremes.values()), self._empty.positions]
        _add_up_to(selected, (place for group in each for place in group), self._capacity // 4)
        rest = [position for position in self._evenly_spread if position not in selected]
        wanted = max(min(self._capacity - len(selected), len(rest)), 0)
        selected.update(rest[index * len(rest) // wanted] for index in range(wanted))
        return frozenset(selected)


class _Reservoir:
    """So many of all, each with the same chance."""

    def __init__(self, capacity: int, rng: Random) -> None:
        self.positions: list[int] = []
        self.seen = 0
        self._capacity, self._rng = capacity, rng

    def add(self, position: int) -> None:
        self.seen += 1
        if len(self.positions) < self._capacity:
            self.positions.append(position)
        elif (place := self._rng.randrange(self.seen)) < self._capacity:
            self.positions[place] = position


class _TopN:
    """So many with the highest value."""

    def __init__(self, capacity: int) -> None:
        self._heap: list[tuple[float, int]] = []
        self._capacity = capacity

    def add(self, value: float, position: int) -> None:
        if len(self._heap) < self._capacity:
            heapq.heappush(self._heap, (value, -position))
        elif value > self._heap[0][0]:
            heapq.heapreplace(self._heap, (value, -position))

    @property
    def positions(self) -> Sequence[int]:
        return [-place for _, place in sorted(self._heap, reverse=True)]


def _round_robin(groups: Mapping[str, _Reservoir]) -> Iterator[int]:
    """One of each group, then another of each; the rarest first."""
    ranked = sorted(groups.items(), key=lambda each: (each[1].seen, each[0]))
    for index in range(max(_MAX_ITEMS_PER_CODE, _MAX_ITEMS_PER_LABEL)):
        for _, reservoir in ranked:
            if index < len(reservoir.positions):
                yield reservoir.positions[index]


def _add_up_to(selected: set[int], positions: Iterable[int], limit: int) -> None:
    before = len(selected)
    for position in positions:
        if len(selected) - before >= limit:
            return
        selected.add(position)
