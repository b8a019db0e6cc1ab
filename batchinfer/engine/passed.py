"""Which items the source has passed in this process: only these may be sent while it is open.

An item that was never tried takes over what its source says now, once. So it waits until the source
has passed it; from then on it may be on its way, and stays as it is. Items that the source does not
have any more are passed when it has been read to its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self


class Passed:
    """Positions that the source has passed. Two bytes for each that was in the run before."""

    def __init__(self, before: int, marks: bytes | bytearray = b"") -> None:
        """`before`: items that were in the run when the source was opened."""
        self._before = before
        self._marks = bytearray(marks or before + 1)
        self._so_far: Self | None = None

    def __contains__(self, position: object) -> bool:
        """Whether it has passed this one: known and seen again, or new."""
        if not isinstance(position, int) or position < 0:
            return False
        return position > self._before or self._marks[position] == 1

    def add(self, positions: Iterable[int]) -> None:
        """It has passed these."""
        for position in positions:
            if position <= self._before and not self._marks[position]:
                self._marks[position], self._so_far = 1, None

    def end(self) -> None:
        """The source has been read to its end: it has passed all."""
        self._before, self._marks, self._so_far = 0, bytearray(1), None

    def so_far(self) -> Self:
        """As it is now; it does not change any more."""
        if self._so_far is None:
            self._so_far = type(self)(self._before, self._marks)
        return self._so_far

    def next(self, after: int) -> int:
        """The lowest position beyond `after` that may be a passed one."""
        found = self._marks.find(1, after + 1)
        return max(after, self._before) + 1 if found == -1 else found
