"""How far a stream of notifications is trusted: how rare listings may be. Pure.

Notifications are lossy (docs/platform.md), so the stream has to prove itself, again and again, by
comparison with listings:

1. As long as there is no stream, or none has been compared with a whole listing yet, listings are
   as frequent as without one.
2. A listing that finds no output but what was named (or is named within `LATE_SECONDS`) doubles the
   pause to the next one, if anything was named at all.
3. A listing that finds an output that was never named ends the trust. It takes
   `POLLS_AFTER_LOSS` listings without such a find until it begins again.
4. A stream that ends loses everything; the first listing after it is back comes at once.
"""

from __future__ import annotations

from typing import Final

MAX_TRUSTED_PAUSE: Final = 300.0
"""Seconds between two listings at most."""
FIRST_TRUSTED_PAUSE: Final = 1.0
LATE_SECONDS: Final = 5.0
"""Seconds within which an event may follow the listing that has shown its object."""
POLLS_AFTER_LOSS: Final = 10
MAX_UNNAMED: Final = 10_000


class NotificationTrust:
    """See the module. `now`: seconds by any steady clock."""

    def __init__(self, max_pause: float = MAX_TRUSTED_PAUSE) -> None:
        self._max_pause = max_pause
        self.is_connected = False
        """Whether there is a stream now."""
        self._stream_count = 0
        self._polled_stream = 0
        """The stream that there was when the current poll began; 0: none."""
        self._reset()

    def _reset(self) -> None:
        self._is_poll_wanted = False
        self._is_compared = False
        """Whether a whole listing has been made since the stream began: what later ones find that
        is new must have been named."""
        self._earlier: frozenset[str] = frozenset()
        """Attempts whose outputs were written, in part, before the stream began."""
        self._has_heard = False
        self._unnamed: dict[str, float] = {}
        """Attempts that a listing has shown and no event, and since when."""
        self._clean_polls_needed = 1
        self._pause: float | None = None

    def connect(self) -> None:
        """A stream begins."""
        self._reset()
        self._stream_count += 1
        self.is_connected = self._is_poll_wanted = True

    def disconnect(self) -> None:
        """It has ended."""
        self._reset()
        self.is_connected = False

    def hear(self, base_name: str) -> None:
        """An event has named an output of this run."""
        self._has_heard = True
        self._unnamed.pop(base_name, None)

    def want_poll(self) -> None:
        """Something was named that only a listing can show: let it come soon."""
        self._is_poll_wanted = self.is_connected

    def begin_poll(self) -> None:
        """A listing begins."""
        self._is_poll_wanted = False
        self._polled_stream = self._stream_count if self.is_connected else 0

    def find_unnamed(self, base_name: str, now: float) -> None:
        """The listing has decided an attempt of which not every output was named."""
        is_comparable = self._is_compared and base_name not in self._earlier
        if is_comparable and len(self._unnamed) < MAX_UNNAMED:
            self._unnamed.setdefault(base_name, now)

    def complete_poll(self, undecided: frozenset[str], now: float) -> None:
        """The listing has come to its end; `undecided`: attempts it has shown only in part."""
        if not self.is_connected or self._polled_stream != self._stream_count:
            return
        if not self._is_compared:
            self._is_compared, self._earlier = True, undecided
            return
        self._earlier &= undecided
        if any(now - since >= LATE_SECONDS for since in self._unnamed.values()):
            self._unnamed.clear()
            self._has_heard, self._pause = False, None
            self._clean_polls_needed = POLLS_AFTER_LOSS
            return
        self._clean_polls_needed = max(0, self._clean_polls_needed - 1)
        if self._clean_polls_needed or not self._has_heard:
            return
        pause = FIRST_TRUSTED_PAUSE if self._pause is None else 2 * self._pause
        self._pause = min(pause, self._max_pause)

    @property
    def pause(self) -> float | None:
        """Seconds from one listing to the next; None: as many as without notifications."""
        if self._is_poll_wanted:
            return 0.0
        if self._pause is not None and self._unnamed:
            return min(self._pause, LATE_SECONDS)
        return self._pause
