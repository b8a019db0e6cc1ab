"""A lock for what is read forwards: of those that wait, it lets in who is next on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class OrderedLock:
    """Held by one thread at a time.

    When it is free again, it goes to the thread with the lowest place that is not behind the last
    one's; if there is none, to the lowest of all. So threads that ask in a slightly other order
    than the one in which things lie do not make the reader go back.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: list[tuple[int, object]] = []
        self._last_place = 0
        self._is_held = False

    @contextmanager
    def hold(self, place: int) -> Iterator[None]:
        """Hold the lock to read at `place`."""
        ticket = (place, object())
        with self._condition:
            self._waiting.append(ticket)
            self._condition.wait_for(lambda: not self._is_held and self._find_next() is ticket)
            self._waiting.remove(ticket)
            self._is_held = True
            self._last_place = place
        try:
            yield
        finally:
            with self._condition:
                self._is_held = False
                self._condition.notify_all()

    def _find_next(self) -> tuple[int, object]:
        ahead = [ticket for ticket in self._waiting if ticket[0] >= self._last_place]
        return min(ahead or self._waiting, key=lambda ticket: ticket[0])
