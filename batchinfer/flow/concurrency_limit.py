"""How many attempts may be in flight (async mode: objects submitted and unfinished). Pure.

A limit has no clock and does not wait: it learns from one sample after the other, and says when and
why it moved. The gate applies it, and beside it what this machine bears, whatever the service would
serve (`MachineCapacity`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final, Protocol

from batchinfer.domain import ServiceSignal

SHORTAGE_CUT_FACTOR: Final = 0.8
SHORTAGE_RECOVERY_FACTOR: Final = 1.5
SHORTAGE_RECOVERY_SECONDS: Final = 5.0
SHORTAGE_PAUSE_SECONDS: Final = 0.1
MAX_SHORTAGE_PAUSE_SECONDS: Final = 2.0


@dataclass(slots=True)
class AttemptSample:
    """One attempt that has ended. One is made for each attempt, so it is cheap: not frozen."""

    signal: ServiceSignal
    ended_at: float
    """When it ended, on the event loop's clock."""
    seconds: float
    """How long it took."""
    in_flight: int
    """Attempts in flight just before it ended, itself included."""
    in_flight_at_start: int
    """How many there were when it began, itself included."""
    saturated: bool = True
    """Whether the limit was what held back more: there were items to send."""
    server_seconds: float | None = None
    """How much of `seconds` the model worked, where the service reports it; the rest was waiting.
    """


@dataclass(frozen=True, slots=True)
class LimitAdjustment:
    """A limit that moved."""

    changed_at: float
    """When, on the event loop's clock."""
    was: int
    value: int
    reason: str
    """Why, in a few words for a person."""


class ConcurrencyLimit(Protocol):
    """The rule that moves the number of attempts allowed in flight."""

    learns: bool
    """Whether samples tell it anything; else it need not be given any."""

    @property
    def value(self) -> int:
        """Attempts allowed in flight now, at least 1."""

    @property
    def estimated_servers(self) -> float | None:
        """How many containers seem to serve this run; None while it is unknown."""

    def update(self, sample: AttemptSample) -> LimitAdjustment | None:
        """Learn from an attempt that has ended; the change it led to, if any."""

    def restart(self, now: float) -> LimitAdjustment | None:
        """The service is back after an outage: begin carefully."""

    def skip_time(self, seconds: float, now: float) -> LimitAdjustment | None:
        """Until now nothing was with the service for so long, and not for its sake."""


class FixedLimit:
    """A limit that never moves by itself."""

    learns = False
    estimated_servers: float | None = None

    def __init__(self, value: int) -> None:
        self.value = value

    def update(self, sample: AttemptSample) -> None:
        """See `ConcurrencyLimit`: nothing is learned."""

    def restart(self, now: float) -> None:
        """See `ConcurrencyLimit`: nothing changes."""

    def skip_time(self, seconds: float, now: float) -> None:
        """See `ConcurrencyLimit`: nothing changes."""


class MachineCapacity:
    """How many attempts at once this machine bears. Times are seconds on the event loop's clock.

    1. It begins at `highest`, which the limit of open files allows; None: nothing bounds it.
    2. An attempt that ran short of files, threads or memory lowers it to `SHORTAGE_CUT_FACTOR` of
       what was in flight, unless it began before the last cut; and nothing begins for a moment
       (`SHORTAGE_PAUSE_SECONDS`, doubled up to `MAX_SHORTAGE_PAUSE_SECONDS` while nothing is
       answered).
    3. After each `SHORTAGE_RECOVERY_SECONDS` seconds without a shortage an answer raises it by
       `SHORTAGE_RECOVERY_FACTOR`, up to `highest`.
    """

    def __init__(self, highest: int | None = None) -> None:
        self.value = highest
        """Attempts in flight, at most; None: any number."""
        self.next_open_at: float | None = None
        """Nothing begins before that; None: it may."""
        self._highest = highest
        self._pause_seconds = SHORTAGE_PAUSE_SECONDS
        self._cut_at = self._changed_at = -inf

    @property
    def was_short(self) -> bool:
        """Whether it ever ran short; until then `on_answer` changes nothing."""
        return self._cut_at != -inf

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
            or not self.was_short
            or now - self._changed_at < SHORTAGE_RECOVERY_SECONDS
        ):
            return
        self._changed_at = now
        self.value = max(self.value + 1, int(self.value * SHORTAGE_RECOVERY_FACTOR))
        if self._highest is not None:
            self.value = min(self.value, self._highest)
