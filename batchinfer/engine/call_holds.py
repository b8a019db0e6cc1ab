"""Calls that a backend has on hold: nothing of them is with the service.

Rules:

1. A call that begins (again) after that counts from then on: for its duration, for what flow
   control learns, and for hedging. While it is on hold, no second call is sent, and it is not given
   up.
2. While all calls are on hold, nothing else begins: it would wait as well, and begin with all
   others at once. That time counts neither against the service nor for the limit.
3. A stop cuts off what is on hold, at once and without a trace: nobody knows how long it would
   take.
"""

from __future__ import annotations

from collections.abc import Callable

from batchinfer.engine.recorder import ChangeNotifier
from batchinfer.engine.service_outage import Watchdog
from batchinfer.flow import DenialStreak, Gate, LimitAdjustment
from batchinfer.flow.loop_clock import loop_time


class CallHolds:
    """Counts the calls, and those on hold; see rule 2."""

    def __init__(
        self,
        gate: Gate,
        denials: DenialStreak,
        watchdog: Watchdog,
        wakeup: ChangeNotifier,
        on_limit_change: Callable[[LimitAdjustment | None], None],
    ) -> None:
        self.held_count = 0
        """Calls on hold."""
        self.gate = gate
        self._denials, self._watchdog = denials, watchdog
        self._wakeup, self._on_limit_change = wakeup, on_limit_change
        self._call_count = 0
        self._all_held_since: float | None = None
        self.is_stopping = False
        """Whether calls that are put on hold are cut off."""

    def count(self, *, calls: int = 0, held: int = 0) -> None:
        """So many more calls, of which so many more are on hold."""
        self._call_count += calls
        self.held_count += held
        are_all_held = 0 < self.held_count == self._call_count
        if are_all_held and self._all_held_since is None:
            self._all_held_since = loop_time()
            self.gate.on_hold = True
            self._watchdog.pause()
        elif not are_all_held and self._all_held_since is not None:
            self._skip_time(self._all_held_since, loop_time())
            self._all_held_since = None

    def _skip_time(self, since: float, now: float) -> None:
        seconds = now - since
        self.gate.on_hold = False
        self.gate.health.skip_time(seconds)
        self._denials.skip_time(seconds)
        self._watchdog.unpause(seconds)
        self._on_limit_change(self.gate.limit.skip_time(seconds, now))
        self._wakeup.notify()


class HeldCall:
    """One call. See `ports.CallClock`.

    `on_restart` is called when it begins (again), `cut_off` when it is on hold in a run that stops.
    """

    __slots__ = ("_cut_off", "_holds", "_on_restart", "is_held")

    def __init__(
        self, holds: CallHolds, on_restart: Callable[[], None], cut_off: Callable[[], None]
    ) -> None:
        self._holds, self._on_restart, self._cut_off = holds, on_restart, cut_off
        self.is_held = False
        """Whether it is on hold."""
        holds.count(calls=1)

    def hold(self) -> None:
        """See `CallClock`."""
        if not self.is_held:
            self.is_held = True
            self._holds.count(held=1)
        if self._holds.is_stopping:
            self._cut_off()

    def resume(self) -> None:
        """See `CallClock`."""
        if self.is_held:
            self.is_held = False
            self._holds.count(held=-1)

    def restart(self) -> None:
        """See `CallClock`."""
        self.resume()
        self._on_restart()

    def end(self) -> None:
        """The call has ended."""
        self._holds.count(calls=-1, held=-int(self.is_held))
        self.is_held = False
