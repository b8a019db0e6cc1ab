"""Ends the wait for a service that accepts calls and says nothing, so that every wait has an end.

Rules:

1. A service that never answered must do so within `Terms.first_answer` seconds of the first call.
2. One that is known to be away is given up when its time is over, though a call is under way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio

from batchinfer.engine.record import News
from batchinfer.errors import FatalError

LAST: Final = 10.0
"""Seconds that a call under way is given at least."""


class Watchdog:
    """See the rules above. Times are seconds on the event loop's clock."""

    def __init__(self, first_answer: float | None, in_flight: Callable[[], int]) -> None:
        self._first_answer, self._in_flight = first_answer, in_flight
        self._news = News()
        self._began: float | None = None
        self._heard = False
        self._away: tuple[float, FatalError] | None = None

    def begun(self, now: float) -> None:
        """A call begins."""
        if self._began is None:
            self._began = now
            self._news.tell()
        if self._away is not None:
            until, cause = self._away
            self._away = (max(until, now + LAST), cause)
            self._news.tell()

    def heard(self) -> None:
        """A call ended, however it did."""
        if not self._heard:
            self._heard = True
            self._news.tell()

    def away(self, until: float, cause: FatalError) -> None:
        """The service is away, and waited for until then; `cause` ends the run."""
        self._away = (until, cause)
        self._news.tell()

    def back(self) -> None:
        """It is there again."""
        if self._away is not None:
            self._away = None
            self._news.tell()

    async def watch(self) -> None:
        """Watch, for as long as the run goes on. Raises FatalError."""
        while True:
            seen = self._news.count
            now, ends = anyio.current_time(), self._end()
            if ends is not None and now >= ends[0] and self._in_flight():
                raise ends[1]
            seconds = None if ends is None or now >= ends[0] else ends[0] - now
            with anyio.move_on_after(seconds):
                await self._news.beyond(seen)

    def _end(self) -> tuple[float, FatalError] | None:
        if self._away is not None:
            return self._away
        if self._heard or self._began is None or self._first_answer is None:
            return None
        return self._began + self._first_answer, _silent(self._first_answer)


def _silent(seconds: float) -> FatalError:
    return FatalError(
        "no_answer",
        f"The service accepts calls, and has answered none within {seconds:.0f} s (--cold-start). "
        "Nothing was recorded for it. Look at it on the Dashboard; if its first prediction takes "
        "longer than that, raise --cold-start",
    )
