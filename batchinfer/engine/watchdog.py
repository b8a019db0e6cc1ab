"""Ends the wait for a service that accepts calls and says nothing, so that every wait has an end.

Rules:

1. A service that never answered must do so within `RunPolicy.first_answer_timeout` seconds of the
   first call.
2. One that is known to be away is given up when its time is over, though a call is under way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from batchinfer.engine.recorder import ChangeNotifier
from batchinfer.errors import FatalError

MIN_CALL_SECONDS: Final = 10.0
"""Seconds that a call under way is given at least."""


class Watchdog:
    """See the rules above. Times are seconds on the event loop's clock."""

    def __init__(self, first_answer_timeout: float | None, in_flight: Callable[[], int]) -> None:
        self._first_answer_timeout, self._in_flight = first_answer_timeout, in_flight
        self._changes = ChangeNotifier()
        self._first_call_at: float | None = None
        self._has_ended_call = False
        self._outage_deadline: tuple[float, FatalError] | None = None

    def on_call_start(self, now: float) -> None:
        """A call begins."""
        if self._first_call_at is None:
            self._first_call_at = now
            self._changes.notify()
        if self._outage_deadline is not None:
            until, cause = self._outage_deadline
            self._outage_deadline = (max(until, now + MIN_CALL_SECONDS), cause)
            self._changes.notify()

    def on_call_end(self) -> None:
        """A call ended, however it did."""
        if not self._has_ended_call:
            self._has_ended_call = True
            self._changes.notify()

    def on_outage(self, until: float, cause: FatalError) -> None:
        """The service is away, and waited for until then; `cause` ends the run."""
        self._outage_deadline = (until, cause)
        self._changes.notify()

    def on_recovery(self) -> None:
        """It is there again."""
        if self._outage_deadline is not None:
            self._outage_deadline = None
            self._changes.notify()

    async def watch(self) -> None:
        """Watch, for as long as the run goes on. Raises FatalError."""
        while True:
            change_count = self._changes.count
            now, next_deadline = anyio.current_time(), self._next_deadline()
            if next_deadline is not None and now >= next_deadline[0] and self._in_flight():
                raise next_deadline[1]
            seconds = (
                None if next_deadline is None or now >= next_deadline[0] else next_deadline[0] - now
            )
            with anyio.move_on_after(seconds):
                await self._changes.wait_changed(change_count)

    def _next_deadline(self) -> tuple[float, FatalError] | None:
        if self._outage_deadline is not None:
            return self._outage_deadline
        if (
            self._has_ended_call
            or self._first_call_at is None
            or self._first_answer_timeout is None
        ):
            return None
        return self._first_call_at + self._first_answer_timeout, _no_answer_error(
            self._first_answer_timeout
        )


def _no_answer_error(seconds: float) -> FatalError:
    return FatalError(
        "no_answer",
        f"The service accepts calls, and has answered none within {seconds:.0f} s (--cold-start). "
        "Nothing was recorded for it. Look at it on the Dashboard; if its first prediction takes "
        "longer than that, raise --cold-start",
    )
