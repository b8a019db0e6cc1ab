"""How many attempts at once this machine bears, whatever the service would serve. Pure.

Rules:

1. At the beginning it is what the limit of open files allows; None: nothing is known to bound it.
2. An attempt that ran short of files, threads or memory lowers it to `CUT` of what was in flight.
   Attempts that began before that say nothing new.
3. After `CALM` seconds without a shortage, answers raise it by a tenth, up to where it began.
"""

from __future__ import annotations

from math import inf
from typing import Final

CUT: Final = 0.8
CALM: Final = 10.0


class OwnLimit:
    """See the rules above. `most`: as in the first."""

    def __init__(self, most: int | None = None) -> None:
        self.value = most
        """Attempts in flight, at most; None: any number."""
        self._most = most
        self._cut_at = self._moved_at = -inf

    def ran_short(self, in_flight: int, began: float, now: float) -> None:
        """An attempt that began at `began` ran short, while so many were in flight."""
        self._moved_at = now
        if began < self._cut_at:
            return
        self._cut_at = now
        bound = in_flight if self.value is None else min(in_flight, self.value)
        self.value = max(1, int(bound * CUT))

    def answered(self, now: float) -> None:
        """An attempt was answered."""
        if self.value is None or now - self._moved_at < CALM or self._cut_at == -inf:
            return
        self._moved_at = now
        self.value += max(1, self.value // 10)
        if self._most is not None:
            self.value = min(self.value, self._most)
