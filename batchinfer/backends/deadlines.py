"""The deadlines of a call that aiohttp makes: see `transport.call_timeouts`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from batchinfer.transport.call_timeouts import CallTimeouts
from batchinfer.transport.transport_errors import FirstByteTimeout


class CallDeadlines:
    """Those of one call, which is made inside of the context `timeout`."""

    def __init__(self, timeouts: CallTimeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._first_byte_seconds = timeouts.first_byte
        self._total_deadline = self._loop.time() + timeouts.total
        self._first_byte_deadline: float | None = None
        self.timeout = asyncio.timeout_at(self._total_deadline)

    def extend(self, seconds: float) -> None:
        """Add `seconds` for which this process itself delays the call."""
        self._total_deadline += seconds
        self._reschedule()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """As long as the block lasts it is ourselves who keep the call waiting."""
        paused_at = self._loop.time()
        with suppress(RuntimeError):
            self.timeout.reschedule(None)
        try:
            yield
        finally:
            self.extend(self._loop.time() - paused_at)

    def on_body_sent(self) -> None:
        """The whole body has gone out."""
        if self._first_byte_seconds is not None:
            self._first_byte_deadline = self._loop.time() + self._first_byte_seconds
            self._reschedule()

    def on_response_start(self) -> None:
        """The answer has begun."""
        if self._first_byte_deadline is not None:
            self._first_byte_deadline = None
            self._reschedule()

    def _reschedule(self) -> None:
        with suppress(RuntimeError):  # it is ending already
            self.timeout.reschedule(
                min(self._total_deadline, self._first_byte_deadline or self._total_deadline)
            )

    def translate(self, error: Exception) -> Exception:
        """The error of the call; in place of the alarm's, which of the deadlines has passed."""
        first_byte_missed = (
            self._first_byte_deadline is not None
            and self._first_byte_deadline < self._total_deadline
        )
        return FirstByteTimeout() if first_byte_missed and self.timeout.expired() else error
