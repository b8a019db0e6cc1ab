"""Which items the source has passed in this process: only these may be sent while it is open.

An item that was never tried takes over what its source says now, once. So it waits until the source
has passed it; from then on it may be on its way, and stays as it is. Items that the source does not
have any more are passed when it has been read to its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self


class SeenPositions:
    """Positions that the source has passed. Two bytes for each that was in the run before."""

    def __init__(self, known_count: int, seen_flags: bytes | bytearray = b"") -> None:
        """`before`: items that were in the run when the source was opened."""
        self._known_count = known_count
        self._seen_flags = bytearray(seen_flags or known_count + 1)
        self._snapshot: Self | None = None

    def __contains__(self, position: object) -> bool:
        """Whether it has passed this one: known and seen again, or new."""
        if not isinstance(position, int) or position < 0:
            return False
        return position > self._known_count or self._seen_flags[position] == 1

    def add(self, positions: Iterable[int]) -> None:
        """It has passed these."""
        for position in positions:
            if position <= self._known_count and not self._seen_flags[position]:
                self._seen_flags[position], self._snapshot = 1, None

    def mark_complete(self) -> None:
        """The source has been read to its end: it has passed all."""
        self._known_count, self._seen_flags, self._snapshot = 0, bytearray(1), None

    def snapshot(self) -> Self:
        """As it is now; it does not change any more."""
        if self._snapshot is None:
            self._snapshot = type(self)(self._known_count, self._seen_flags)
        return self._snapshot

    def next_candidate(self, after: int) -> int:
        """The lowest position beyond `after` that may be a passed one."""
        found = self._seen_flags.find(1, after + 1)
        return max(after, self._known_count) + 1 if found == -1 else found
