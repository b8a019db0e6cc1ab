"""How many attempts at once this machine bears, whatever the service would serve. Pure.

Rules:

1. At the beginning it is what the limit of open files allows; None: nothing is known to bound it.
2. An attempt that ran short of files, threads or memory lowers it to `CUT` of what was in flight,
   unless it began before the last time; and nothing begins for a moment (`REST`, doubled up to
   `LONGEST` while nothing is answered).
3. After each `CALM` seconds without a shortage an answer raises it by half, up to where it began.
"""

from __future__ import annotations

from math import inf
from typing import Final

CUT: Final = 0.8
RAISE: Final = 1.5
CALM: Final = 5.0
REST: Final = 0.1
LONGEST: Final = 2.0


class OwnLimit:
    """See the rules above. `most`: as in the first. Times are seconds on the loop's clock."""

    def __init__(self, most: int | None = None) -> None:
        self.value = most
        """Attempts in flight, at most; None: any number."""
        self.opens_at: float | None = None
        """Nothing begins before that; None: it may."""
        self._most = most
        self._rest = REST
        self._cut_at = self._moved_at = -inf

    def ran_short(self, in_flight: int, began: float, now: float) -> None:
        """An attempt that began at `began` ran short, while so many were in flight."""
        self._moved_at = now
        if began < self._cut_at:
            return
        self._cut_at, self.opens_at = now, now + self._rest
        self._rest = min(2 * self._rest, LONGEST)
        bound = in_flight if self.value is None else min(in_flight, self.value)
        self.value = max(1, int(bound * CUT))

    def answered(self, now: float) -> None:
        """An attempt was answered."""
        self._rest, self.opens_at = REST, None
        if self.value is None or self._cut_at == -inf or now - self._moved_at < CALM:
            return
        self._moved_at = now
        self.value = max(self.value + 1, int(self.value * RAISE))
        if self._most is not None:
            self.value = min(self.value, self._most)
