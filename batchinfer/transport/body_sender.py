"""Sending a large body: without joining it, no faster than it is accepted or allowed, only once.

A body that stalls is given up, whatever its size: not how long it takes counts, but whether any of
it is accepted. The kernel knows exactly (Linux: bytes not acknowledged yet); elsewhere a chunk must
be accepted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.transport.socket_progress import count_unacknowledged_bytes

BURST_BYTES: Final = 1 << 20
"""Bytes that are handed to the loop before other tasks have their turn: some 100 us."""
CHUNK_BYTES: Final = 1 << 18
"""Bytes of a larger body that are written at a time."""
_ASYNCIO_WRITES_LINES: Final = sys.version_info >= (3, 12, 2)
"""Before Python 3.12 asyncio's own transports join all parts, and before 3.12.2 they can hang."""


class BodySender:
    """Sends one request. The transport's write buffer limits are such that any rest pauses it.

    `on_sent`: called when the transport holds nothing of it any more. `on_delay`: called with
    seconds for which `bandwidth` holds it back.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        parts: Sequence[bytes | memoryview],
        *,
        bandwidth: BandwidthLimiter | None,
        on_sent: Callable[[], None],
        on_delay: Callable[[float], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        is_asyncio = type(transport).__module__.startswith("asyncio.")
        self._writes_lines = _ASYNCIO_WRITES_LINES or not is_asyncio
        self._bandwidth = bandwidth
        self._on_sent = on_sent
        self._on_delay = on_delay
        self._chunks = self._split(parts)
        self._timer: asyncio.Handle | None = None
        """Of the next chunk, when it waits for its turn and not for the transport."""
        self._is_active = True
        self._written = 0
        self._progress: tuple[int, ...] = ()
        self._progress_at = self._loop.time()

    def _split(self, parts: Sequence[bytes | memoryview]) -> Iterator[list[bytes | memoryview]]:
        """What is written at a time."""
        if self._bandwidth is None:
            if sum(map(len, parts)) <= BURST_BYTES:
                return iter([list(parts)])
            size = CHUNK_BYTES
        else:
            size = min(CHUNK_BYTES, self._bandwidth.chunk_bytes)
        return ([chunk] for part in parts for chunk in _slice_part(part, size))

    def send_more(self) -> None:
        """Write what the transport takes now. It is called again when its buffer is empty."""
        burst = 0
        while self._is_active and not self._transport.get_write_buffer_size():
            if burst >= BURST_BYTES:
                self._timer = self._loop.call_soon(self._continue)
                return
            chunk = next(self._chunks, None)
            if chunk is None:
                self.stop()
                self._on_sent()
                return
            size = sum(map(len, chunk))
            if self._bandwidth is not None:
                delay = self._bandwidth.reserve(size, self._loop.time())
                if delay:
                    self._on_delay(delay)
                    self._timer = self._loop.call_later(delay, self._write_late, chunk, size)
                    return
            self._write(chunk, size)
            burst += size

    def _write(self, chunk: Sequence[bytes | memoryview], size: int) -> None:
        self._written += size
        if len(chunk) > 1 and self._writes_lines:
            self._transport.writelines(chunk)
            return
        for part in chunk:
            self._transport.write(part)

    def _write_late(self, chunk: Sequence[bytes | memoryview], size: int) -> None:
        self._timer = None
        self._write(chunk, size)
        self.send_more()

    def _continue(self) -> None:
        self._timer = None
        self.send_more()

    def on_drained(self) -> None:
        """The transport's buffer is empty."""
        if self._timer is None:
            self.send_more()

    def stop(self) -> None:
        """Write nothing more."""
        self._is_active = False
        self._chunks = iter(())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def is_stalled(self, now: float, seconds: float) -> bool:
        """Whether nothing has moved for so long. Asked several times within that time."""
        if not self._is_active:
            return False
        progress = (
            self._written,
            self._transport.get_write_buffer_size(),
            count_unacknowledged_bytes(self._transport),
        )
        if self._timer is not None or progress != self._progress:
            self._progress, self._progress_at = progress, now
        elif not progress[1]:
            self.send_more()  # a transport that did not say that its buffer is empty
        return now - self._progress_at >= seconds


def _slice_part(part: bytes | memoryview, size: int) -> Iterable[memoryview]:
    view = memoryview(part)
    return (view[start : start + size] for start in range(0, len(view), size))
