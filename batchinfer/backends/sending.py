"""How a body goes out, in both modes: piece by piece, no faster than allowed, and only once.

A body that stalls is given up, whatever its size: what counts is not how long it takes, but that
something of it moves. The kernel tells exactly (Linux: bytes not acknowledged yet); elsewhere it is
a piece that must be accepted.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from batchinfer.backends.deadlines import Deadlines
from batchinfer.backends.files import Body
from batchinfer.flow.cargo import Room
from batchinfer.flow.pace import Bandwidth

PIECE: Final = 1 << 16
"""Bytes of a large body that are written at a time, so that others get their turn."""
AT_ONCE: Final = 1 << 20
"""Bytes that are written in one piece: a memory copy of some 100 us."""
LOOKS: Final = 8
"""How often it is looked whether a body moves, in the time after which it is given up."""


class SendStalled(TimeoutError):  # noqa: N818 - reads as a fact
    """Nothing of a body was accepted any more."""


class Sending(aiohttp.Payload):
    """A body on its way.

    `patience`: seconds without movement after which it is given up (SendStalled). `room`: what it
    takes up in memory, given back as soon as all of it is sent. It goes once: aiohttp by itself
    repeats a PUT whose connection breaks, and each could start a prediction (contract, section 2).
    """

    def __init__(
        self,
        body: Body,
        *,
        patience: float,
        bandwidth: Bandwidth | None = None,
        room: Room | None = None,
    ) -> None:
        super().__init__(body, content_type="application/json")
        self.deadlines: Deadlines | None = None
        """Of the call that it belongs to."""
        self._size = self._length = len(body)
        self._patience, self._bandwidth, self._room = patience, bandwidth, room
        self._went = False
        self._read_to = 0

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it. Raises SendStalled."""
        if self._went:
            raise ConnectionResetError("the connection broke, and a body is sent once")
        self._went = True
        if self._bandwidth is None and self._length <= PIECE:
            await writer.write(self._value)
        else:
            await self._in_pieces(writer)
        self.done()
        if self.deadlines is not None:
            self.deadlines.sent()

    def done(self) -> None:
        """Nobody needs the body any more: give its room back."""
        self._value = b""
        if self._room is not None:
            self._room.leave()

    async def _in_pieces(self, writer: AbstractStreamWriter) -> None:
        view = memoryview(self._value)
        size = self._length if self._length <= AT_ONCE else PIECE
        if self._bandwidth is not None:
            size = min(size, self._bandwidth.piece)
        async with _Watch(writer, self._patience) as watch:
            for start in range(0, self._length, size or 1):
                piece = view[start : start + size]
                if self._bandwidth is not None:
                    watch.rests = True
                    await self._turn(self._bandwidth, len(piece))
                    watch.rests = False
                elif start:
                    await asyncio.sleep(0)
                await writer.write(piece)
            await writer.drain()

    async def _turn(self, bandwidth: Bandwidth, size: int) -> None:
        """Wait until so many bytes may go."""
        wait = bandwidth.book(size, asyncio.get_running_loop().time())
        if wait and self.deadlines is not None:
            self.deadlines.put_off(wait)
        await asyncio.sleep(wait)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """See `aiohttp.Payload`."""
        return bytes(self._value).decode(encoding, errors)

    # As a file, for botocore, which signs it and asks for its length ------------------------------

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> memoryview:
        """The next bytes, not copied."""
        start = self._read_to
        self._read_to = self._length if size < 0 else min(start + size, self._length)
        return memoryview(self._value)[start : self._read_to]

    def seek(self, to: int, whence: int = 0) -> int:
        """Go on reading elsewhere: `to` is relative to the beginning, or (2) to the end."""
        self._read_to = to + (self._length if whence else 0)
        return self._read_to

    def tell(self) -> int:
        """Where the next bytes are read."""
        return self._read_to


class _Watch:
    """A context that raises SendStalled when nothing moves for `seconds`."""

    def __init__(self, writer: AbstractStreamWriter, seconds: float) -> None:
        self.rests = False
        """Whether it is ourselves who send nothing."""
        self._writer, self._seconds = writer, seconds
        self._loop = asyncio.get_running_loop()
        self._alarm = asyncio.timeout(None)
        self._seen: tuple[int, ...] = ()
        self._moved = self._loop.time()
        self._next = self._loop.call_later(seconds / LOOKS, self._look)

    def _look(self) -> None:
        now, seen = self._loop.time(), self._state()
        if self.rests or seen != self._seen:
            self._seen, self._moved = seen, now
        if now - self._moved >= self._seconds:
            self._alarm.reschedule(now)
        else:
            self._next = self._loop.call_later(self._seconds / LOOKS, self._look)

    def _state(self) -> tuple[int, ...]:
        """What changes while anything moves: bytes written, buffered here, and in the kernel."""
        transport: asyncio.WriteTransport | None = getattr(self._writer, "transport", None)
        if transport is None:
            return ()
        written = self._writer.output_size
        return written, transport.get_write_buffer_size(), _unacknowledged(transport)

    async def __aenter__(self) -> Self:
        await self._alarm.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._next.cancel()
        transport: asyncio.WriteTransport | None = getattr(self._writer, "transport", None)
        if kind is not None and transport is not None:
            transport.abort()  # closed only, it would wait until somebody takes what is left
        try:
            await self._alarm.__aexit__(kind, error, trace)
        except TimeoutError:
            raise SendStalled from None


def _unacknowledged(transport: asyncio.BaseTransport) -> int:
    """Bytes that the other side has yet to accept from the kernel; 0 where it does not tell."""
    if sys.platform == "win32":
        return 0
    import fcntl  # noqa: PLC0415 - not there
    import termios  # noqa: PLC0415

    socket = transport.get_extra_info("socket")
    try:
        answer = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4))
    except (AttributeError, OSError, ValueError):  # no Linux; no socket, or closed
        return 0
    (count,) = struct.unpack("i", answer)
    return int(count)
