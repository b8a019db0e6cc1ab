"""Sending a body, in both modes: in chunks, no faster than allowed, and only once.

A body that stalls is given up, whatever its size: not how long it takes counts, but whether any of
it is accepted. The kernel knows exactly (Linux: bytes not acknowledged yet); elsewhere a chunk must
be accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from batchinfer.backends.deadlines import CallDeadlines
from batchinfer.backends.loaded_payload import PayloadBody
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.transport.socket_progress import count_unacknowledged_bytes
from batchinfer.transport.transport_errors import SendStalled

WRITE_CHUNK_BYTES: Final = 1 << 16
"""Bytes of a large body that are written at a time, so that other tasks can run."""
SINGLE_WRITE_MAX_BYTES: Final = 1 << 20
"""Bytes that are written in one piece: a memory copy of some 100 us."""
STALL_CHECKS_PER_TIMEOUT: Final = 8
"""How often progress is checked within the time after which a body is given up."""


class StreamedBody(aiohttp.Payload):
    """A body that is being sent.

    `stall_timeout`: seconds without movement after which it is given up (SendStalled).
    `on_sent`: called as soon as all of it is sent, or is not needed any more. It is sent once:
    aiohttp by itself repeats a PUT whose connection breaks, and each could start a prediction
    (docs/platform.md, "Input events").
    """

    def __init__(
        self,
        body: PayloadBody,
        *,
        stall_timeout: float,
        content_type: str = "application/json",
        bandwidth: BandwidthLimiter | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(body, content_type=content_type)
        self.deadlines: CallDeadlines | None = None
        """Of the call that it belongs to."""
        self._size = self._length = len(body)
        self._stall_timeout = stall_timeout
        self._bandwidth = bandwidth
        self._on_sent = on_sent
        self._was_sent = False
        self._read_offset = 0

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it. Raises SendStalled."""
        if self._was_sent:
            raise ConnectionResetError("the connection broke, and a body is sent once")
        self._was_sent = True
        if self._bandwidth is None and self._length <= WRITE_CHUNK_BYTES:
            await writer.write(self._value)
        else:
            await self._write_chunks(writer)
        self.release()
        if self.deadlines is not None:
            self.deadlines.on_body_sent()

    def release(self) -> None:
        """Drop the body: it is not needed any more."""
        self._value = b""
        if self._on_sent is not None:
            self._on_sent()

    async def _write_chunks(self, writer: AbstractStreamWriter) -> None:
        view = memoryview(self._value)
        size = self._length if self._length <= SINGLE_WRITE_MAX_BYTES else WRITE_CHUNK_BYTES
        if self._bandwidth is not None:
            size = min(size, self._bandwidth.chunk_bytes)
        async with _StallWatch(writer, self._stall_timeout) as watch:
            for start in range(0, self._length, size or 1):
                chunk = view[start : start + size]
                if self._bandwidth is not None:
                    watch.is_paused = True
                    await self._wait_for_bandwidth(self._bandwidth, len(chunk))
                    watch.is_paused = False
                elif start:
                    await asyncio.sleep(0)
                await writer.write(chunk)
            await writer.drain()

    async def _wait_for_bandwidth(self, bandwidth: BandwidthLimiter, size: int) -> None:
        """Wait until so many bytes may go."""
        delay = bandwidth.reserve(size, asyncio.get_running_loop().time())
        if delay and self.deadlines is not None:
            self.deadlines.extend(delay)
        await asyncio.sleep(delay)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """See `aiohttp.Payload`."""
        return bytes(self._value).decode(encoding, errors)

    # As a file, for botocore, which signs it and asks for its length ------------------------------

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> memoryview:
        """The next bytes, not copied."""
        start = self._read_offset
        self._read_offset = self._length if size < 0 else min(start + size, self._length)
        return memoryview(self._value)[start : self._read_offset]

    def seek(self, offset: int, whence: int = 0) -> int:
        """Continue at `offset` from the beginning, or (`whence` 2) from the end."""
        self._read_offset = offset + (self._length if whence else 0)
        return self._read_offset

    def tell(self) -> int:
        """Offset of the next bytes."""
        return self._read_offset


class _StallWatch:
    """A context that raises SendStalled when nothing moves for `seconds`."""

    def __init__(self, writer: AbstractStreamWriter, seconds: float) -> None:
        self.is_paused = False
        """Whether this process itself sends nothing at the moment."""
        self._writer, self._seconds = writer, seconds
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._last_progress: tuple[int, ...] = ()
        self._last_progress_at = self._loop.time()
        self._timer = self._loop.call_later(seconds / STALL_CHECKS_PER_TIMEOUT, self._check)

    def _check(self) -> None:
        now, progress = self._loop.time(), self._read_progress()
        if self.is_paused or progress != self._last_progress:
            self._last_progress, self._last_progress_at = progress, now
        if now - self._last_progress_at >= self._seconds:
            self._timeout.reschedule(now)
        else:
            self._timer = self._loop.call_later(
                self._seconds / STALL_CHECKS_PER_TIMEOUT, self._check
            )

    def _read_progress(self) -> tuple[int, ...]:
        """What changes while anything moves: bytes written, buffered here, and in the kernel."""
        transport: asyncio.WriteTransport | None = getattr(self._writer, "transport", None)
        if transport is None:
            return ()
        written = self._writer.output_size
        return written, transport.get_write_buffer_size(), count_unacknowledged_bytes(transport)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        transport: asyncio.WriteTransport | None = getattr(self._writer, "transport", None)
        if kind is not None and transport is not None:
            transport.abort()  # closed only, it would wait until somebody takes what is left
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise SendStalled from None
