"""How many attempts at once this machine bears, whatever the service would serve. Pure.

Rules:

1. At the beginning it is what the limit of open files allows; None: nothing is known to bound it.
2. An attempt that ran short of files, threads or memory lowers it to `CUT` of what was in flight,
   unless it began before the last time; and nothing begins for a moment (`REST`, doubled up to
   `LONGEST` while nothing is answered).
3. After each `SHORTAGE_RECOVERY_SECONDS` seconds without a shortage an answer raises it by half,
   up to where it began.
"""

from __future__ import annotations

from math import inf
from typing import Final

SHORTAGE_CUT_FACTOR: Final = 0.8
SHORTAGE_RECOVERY_FACTOR: Final = 1.5
SHORTAGE_RECOVERY_SECONDS: Final = 5.0
SHORTAGE_PAUSE_SECONDS: Final = 0.1
MAX_SHORTAGE_PAUSE_SECONDS: Final = 2.0


class MachineCapacity:
    """See the rules above. `most`: as in the first. Times are seconds on the loop's clock."""

    def __init__(self, highest: int | None = None) -> None:
        self.value = highest
        """Attempts in flight, at most; None: any number."""
        self.next_open_at: float | None = None
        """Nothing begins before that; None: it may."""
        self._highest = highest
        self._pause_seconds = SHORTAGE_PAUSE_SECONDS
        self._cut_at = self._changed_at = -inf

    def on_shortage(self, in_flight: int, began: float, now: float) -> None:
        """An attempt that began at `began` ran short, while so many were in flight."""
        self._changed_at = now
        if began < self._cut_at:
            return
        self._cut_at, self.next_open_at = now, now + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, MAX_SHORTAGE_PAUSE_SECONDS)
        current = in_flight if self.value is None else min(in_flight, self.value)
        self.value = max(1, int(current * SHORTAGE_CUT_FACTOR))

    def on_answer(self, now: float) -> None:
        """An attempt was answered."""
        self._pause_seconds, self.next_open_at = SHORTAGE_PAUSE_SECONDS, None
        if (
            self.value is None
            or self._cut_at == -inf
            or now - self._changed_at < SHORTAGE_RECOVERY_SECONDS
        ):
            return
        self._changed_at = now
        self.value = max(self.value + 1, int(self.value * SHORTAGE_RECOVERY_FACTOR))
        if self._highest is not None:
            self.value = min(self.value, self._highest)
