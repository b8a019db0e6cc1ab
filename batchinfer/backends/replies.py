"""Reading a reply: bounded in size, and within the memory budget.

Rules:

1. At most `most` bytes are read, decompressed; a length that is announced is believed at once.
2. Up to `QUICK` bytes cost nothing. A larger reply takes `HELD` bytes of the budget while it is
   read; what is beyond goes to a file without a name, so that endless replies cost no memory.
3. Whole, it takes `TIMES` its size, for it is decoded, redacted and parsed. It holds nothing of the
   budget while it waits for that, so that no two replies wait for each other.
4. What was made of it holds that until it is recorded and forgotten (`Lease`).

Waiting for the budget counts for no deadline of the call.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, TypeVar

import aiohttp
import anyio.to_thread

from batchinfer.backends.deadlines import Deadlines
from batchinfer.errors import FatalError
from batchinfer.flow.cargo import Room

T = TypeVar("T")

QUICK: Final = 1 << 16
HELD: Final = 1 << 20
TIMES: Final = 8

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class ReplyReader:
    """Reads replies of at most `most` bytes; large ones by way of a file in `spool`.

    `spool` None: the system's folder for temporary files.
    """

    def __init__(self, most: int, spool: Path | None = None) -> None:
        self.most = most
        self._spool = spool

    async def read(
        self, response: aiohttp.ClientResponse, room: Room, deadlines: Deadlines
    ) -> bytes | None:
        """The whole body, for which `room` then holds what it takes; None: it is too large.

        Raises what reading raises, and FatalError (`disk_full`).
        """
        announced = response.content_length
        if announced is not None and announced > self.most and not _is_packed(response):
            return None
        chunks: list[bytes] = []
        size = held = 0
        file: IO[bytes] | None = None
        try:
            while chunk := await response.content.readany():
                chunks.append(chunk)
                size += len(chunk)
                held += len(chunk)
                if size > self.most:
                    return None
                if size > QUICK and not room.size:
                    await _take(room, HELD, deadlines)
                if held > HELD:
                    if file is None:
                        file = await self._on_disk(self._open)
                    await self._on_disk(file.writelines, chunks)
                    chunks, held = [], 0
            if size > QUICK:
                room.leave()
                await _take(room, TIMES * size, deadlines)
            if file is None:
                return b"".join(chunks)
            await self._on_disk(file.writelines, chunks)
            del chunks
            return await self._on_disk(_whole, file)
        finally:
            if file is not None:
                file.close()

    def _open(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._spool)

    async def _on_disk(self, work: Callable[..., T], *args: object) -> T:
        try:
            return await anyio.to_thread.run_sync(work, *args)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            where = self._spool or tempfile.gettempdir()
            raise FatalError(
                "disk_full",
                f"The disk of {where} is full: a large reply could not be kept there while it was "
                "read. Make room, then continue",
            ) from None


async def read_head(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The beginning of a body; when there is more, the connection is closed."""
    chunks: list[bytes] = []
    size = 0
    while size <= most and (chunk := await response.content.readany()):
        chunks.append(chunk)
        size += len(chunk)
    if size > most:
        response.close()
    return b"".join(chunks)[:most]


async def _take(room: Room, size: int, deadlines: Deadlines) -> None:
    with deadlines.paused():
        await room.take(size)


def _whole(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _is_packed(response: aiohttp.ClientResponse) -> bool:
    return response.headers.get("Content-Encoding", "identity").strip().lower() != "identity"
