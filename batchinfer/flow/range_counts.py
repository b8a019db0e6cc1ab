"""Counts in a sequence that only grows, at a cost that hardly depends on its length."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

MIN_BLOCK: Final = 16
"""Values of the smallest block: fewer are counted one by one."""


class RangeCounter:
    """Values in the order in which they came; counts how many of a range are small enough.

    Beside the values it keeps them in sorted blocks, each twice as long as those of the level below
    (a merge sort that stops at every level). A range is made of at most two blocks of each level
    and a few values at both ends.
    """

    def __init__(self, capacity: int) -> None:
        """`capacity`: values that are kept at least, a power of two; half of twice as many go."""
        self._capacity = capacity
        self._values: list[float] = []
        self._levels: dict[int, list[list[float]]] = {}
        """The sorted blocks, by their length."""
        size = MIN_BLOCK
        while size <= capacity:
            self._levels[size] = []
            size *= 2

    def append(self, value: float) -> bool:
        """Add a value; return whether the first `capacity` values were forgotten thereby."""
        self._values.append(value)
        if len(self._values) % MIN_BLOCK:
            return False
        block = sorted(self._values[-MIN_BLOCK:])
        for blocks in self._levels.values():
            blocks.append(block)
            if len(blocks) % 2:
                break
            block = sorted(blocks[-2] + blocks[-1])  # two sorted runs: they are merged
        if len(self._values) < 2 * self._capacity:
            return False
        del self._values[: self._capacity]
        for size, blocks in self._levels.items():
            del blocks[: self._capacity // size]
        return True

    def count_up_to(self, bound: float, first: int, last: int) -> int:
        """How many of the values `first` to `last`, the latter excluded, are at most `bound`."""
        values, count = self._values, 0
        while first < last:
            # The longest block that begins here and ends in time: its length divides `first`.
            fits = 1 << (last - first).bit_length() - 1
            size = min(first & -first or self._capacity, fits, self._capacity)
            if size >= MIN_BLOCK:
                count += bisect_right(self._levels[size][first // size], bound)
                first += size
            else:
                end = min(last, first - first % MIN_BLOCK + MIN_BLOCK)
                for value in values[first:end]:
                    count += value <= bound
                first = end
        return count
