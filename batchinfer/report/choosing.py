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

_PER_CODE = 25
_PER_LABEL = 12
_LABELS = 2_000
"""Labels that are looked after; further ones are in the sample by chance only."""
_EXTREMES = 30
_SHARE_OF_LABELS = 0.4
_MIDDLE = 0.5


@dataclass(frozen=True, slots=True)
class Sign:
    """What is looked at in an item."""

    position: int
    code: str | None
    """Of its failure; None: it has not failed."""
    seconds: float | None
    labels: frozenset[str] = frozenset()
    scores: tuple[float, float, float] | None = None
    """Lowest, highest, and the one nearest to one half."""
    found: int | None = None
    """How many detections or classes; None: its prediction is not of that kind."""


class Choosing:
    """Chooses `room` items of about `total`."""

    def __init__(self, total: int, room: int, seed: str) -> None:
        self._total, self._room = max(total, 1), room
        self._chance = Random(seed)  # noqa: S311 - no secret
        self._codes: dict[str, _Some] = {}
        self._labels: dict[str, _Some] = {}
        self._empty = _Some(_EXTREMES, self._chance)
        self._best: defaultdict[str, _Top] = defaultdict(lambda: _Top(_EXTREMES))
        self._even: list[int] = []
        self._last = -1

    def take(self, sign: Sign) -> None:
        """Look at the next item."""
        place = sign.position * self._room // self._total
        if place != self._last and len(self._even) < 2 * self._room:
            self._even.append(sign.position)
        self._last = place
        if sign.code is not None:
            self._codes.setdefault(sign.code, _Some(_PER_CODE, self._chance)).add(sign.position)
        if sign.seconds is not None:
            self._best["slowest"].add(sign.seconds, sign.position)
        for label in sorted(sign.labels):
            if label in self._labels or len(self._labels) < _LABELS:
                some = self._labels.setdefault(label, _Some(_PER_LABEL, self._chance))
                some.add(sign.position)
        if sign.scores is not None:
            lowest, highest, middle = sign.scores
            self._best["highest"].add(highest, sign.position)
            self._best["lowest"].add(-lowest, sign.position)
            self._best["middle"].add(-abs(middle - _MIDDLE), sign.position)
        if sign.found:
            self._best["most"].add(sign.found, sign.position)
        elif sign.found == 0:
            self._empty.add(sign.position)

    def chosen(self, named: Sequence[int] = ()) -> frozenset[int]:
        """Positions: those the page names, then the odd ones, the rest spread evenly."""
        chosen = set(named[: self._room])
        _fill(chosen, _in_turn(self._codes), self._room // 3)
        _fill(chosen, _in_turn(self._labels), int(self._room * _SHARE_OF_LABELS))
        each = [*(top.positions for top in self._best.values()), self._empty.positions]
        _fill(chosen, (place for group in each for place in group), self._room // 4)
        rest = [position for position in self._even if position not in chosen]
        wanted = max(min(self._room - len(chosen), len(rest)), 0)
        chosen.update(rest[index * len(rest) // wanted] for index in range(wanted))
        return frozenset(chosen)


class _Some:
    """So many of all, each with the same chance."""

    def __init__(self, most: int, chance: Random) -> None:
        self.positions: list[int] = []
        self.seen = 0
        self._most, self._chance = most, chance

    def add(self, position: int) -> None:
        self.seen += 1
        if len(self.positions) < self._most:
            self.positions.append(position)
        elif (place := self._chance.randrange(self.seen)) < self._most:
            self.positions[place] = position


class _Top:
    """So many with the highest value."""

    def __init__(self, most: int) -> None:
        self._heap: list[tuple[float, int]] = []
        self._most = most

    def add(self, value: float, position: int) -> None:
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (value, -position))
        elif value > self._heap[0][0]:
            heapq.heapreplace(self._heap, (value, -position))

    @property
    def positions(self) -> Sequence[int]:
        return [-place for _, place in sorted(self._heap, reverse=True)]


def _in_turn(groups: Mapping[str, _Some]) -> Iterator[int]:
    """One of each group, then another of each; the rarest first."""
    ranked = sorted(groups.items(), key=lambda each: (each[1].seen, each[0]))
    for place in range(max(_PER_CODE, _PER_LABEL)):
        for _, some in ranked:
            if place < len(some.positions):
                yield some.positions[place]


def _fill(chosen: set[int], positions: Iterable[int], most: int) -> None:
    before = len(chosen)
    for position in positions:
        if len(chosen) - before >= most:
            return
        chosen.add(position)
