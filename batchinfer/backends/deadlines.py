"""How long a call may take, and each of its stages (contract, section 1: timeouts are essential).

::

    connect ─▶ send ─────────▶ wait for an answer ─▶ read it
    connect    send: nothing   first_byte            (total only)
               moves so long
    ├───────────────────────── total ──────────────────────┤

Time that we make ourselves wait (`--bandwidth`) counts for none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


class NoFirstByte(TimeoutError):  # noqa: N818 - reads as a fact
    """Everything was sent, and no answer began in time."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """All in seconds."""

    total: float
    """Of the whole call."""
    connect: float = 30.0
    """Until the connection is there: name, TCP, TLS."""
    send: float = 60.0
    """While the body is sent, without any of it being accepted."""
    first_byte: float | None = None
    """From the body's last byte to the answer's first; None: as long as `total` allows."""


class Deadlines:
    """Of one call, which is made inside of the context `alarm`."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._first_byte = timeouts.first_byte
        self._ends = self._loop.time() + timeouts.total
        self._answers_by: float | None = None
        self.alarm = asyncio.timeout_at(self._ends)

    def put_off(self, seconds: float) -> None:
        """So long it is ourselves who keep the call waiting."""
        self._ends += seconds
        self._set()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """As long as the block lasts it is ourselves who keep the call waiting."""
        began = self._loop.time()
        with suppress(RuntimeError):
            self.alarm.reschedule(None)
        try:
            yield
        finally:
            self.put_off(self._loop.time() - began)

    def sent(self) -> None:
        """The whole body has gone out."""
        if self._first_byte is not None:
            self._answers_by = self._loop.time() + self._first_byte
            self._set()

    def answered(self) -> None:
        """The answer has begun."""
        if self._answers_by is not None:
            self._answers_by = None
            self._set()

    def _set(self) -> None:
        with suppress(RuntimeError):  # it is ending already
            self.alarm.reschedule(min(self._ends, self._answers_by or self._ends))

    def told(self, error: Exception) -> Exception:
        """The error of the call; in place of the alarm's, which of the deadlines has passed."""
        late = self._answers_by is not None and self._answers_by < self._ends
        return NoFirstByte() if late and self.alarm.expired() else error
