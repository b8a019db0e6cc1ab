"""Reading a reply: bounded in size, and within the memory budget.

Rules:

1. At most `max_bytes` bytes are read, decompressed; a length that is announced is believed at once.
2. Up to `UNBUDGETED_REPLY_BYTES` take nothing of the budget. A larger reply takes
   `IN_MEMORY_REPLY_BYTES` bytes of the budget while it is read; what is beyond goes to a file
   without a name, so that endless replies cost no memory.
3. Whole, it takes `REPLY_PARSE_MEMORY_FACTOR` its size, for it is decoded, redacted and parsed. It
   holds nothing of the budget while it waits for that, so that no two replies wait for each other.
4. What was made of it holds that until it is recorded and forgotten (`Lease`).

Waiting for the budget counts for no deadline of the call.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, TypeVar

import anyio.to_thread

from batchinfer.backends.http_carrier import CarriedResponse
from batchinfer.errors import FatalError
from batchinfer.flow.memory_budget import Reservation
from batchinfer.machine_limits import DISK_FULL_ERRNOS

T = TypeVar("T")

UNBUDGETED_REPLY_BYTES: Final = 1 << 16
IN_MEMORY_REPLY_BYTES: Final = 1 << 20
REPLY_PARSE_MEMORY_FACTOR: Final = 8


class ReplyReader:
    """Reads replies of at most `max_bytes` bytes; large ones by way of a file in `spool_dir`.

    `spool_dir` None: the system's folder for temporary files.
    """

    def __init__(self, max_bytes: int, spool_dir: Path | None = None) -> None:
        self.max_bytes = max_bytes
        self._spool_dir = spool_dir

    async def read(self, response: CarriedResponse, reservation: Reservation) -> bytes | None:
        """The whole body, whose memory `reservation` then holds; None: it is too large.

        Raises what reading raises, and FatalError (`disk_full`).
        """
        body = response.body
        if body is not None and len(body) <= min(UNBUDGETED_REPLY_BYTES, self.max_bytes):
            return body
        content_length = response.content_length
        if (
            content_length is not None
            and content_length > self.max_bytes
            and not _is_compressed(response)
        ):
            return None
        return await self._read_pieces(response, reservation)

    async def _read_pieces(
        self, response: CarriedResponse, reservation: Reservation
    ) -> bytes | None:
        chunks: list[bytes] = []
        size = buffered = 0
        file: IO[bytes] | None = None
        try:
            while chunk := await response.read_some():
                chunks.append(chunk)
                size += len(chunk)
                buffered += len(chunk)
                if size > self.max_bytes:
                    return None
                if size > UNBUDGETED_REPLY_BYTES and not reservation.size:
                    await _acquire_memory(reservation, IN_MEMORY_REPLY_BYTES, response)
                if buffered > IN_MEMORY_REPLY_BYTES:
                    if file is None:
                        file = await self._run_disk_io(self._open_spool_file)
                    await self._run_disk_io(file.writelines, chunks)
                    chunks, buffered = [], 0
            if size > UNBUDGETED_REPLY_BYTES:
                reservation.release()
                await _acquire_memory(reservation, REPLY_PARSE_MEMORY_FACTOR * size, response)
            if file is None:
                return b"".join(chunks)
            await self._run_disk_io(file.writelines, chunks)
            del chunks
            return await self._run_disk_io(_read_spool_file, file)
        finally:
            if file is not None:
                file.close()

    def _open_spool_file(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._spool_dir)

    async def _run_disk_io(self, work: Callable[..., T], *args: object) -> T:
        try:
            return await anyio.to_thread.run_sync(work, *args)
        except OSError as error:
            if error.errno not in DISK_FULL_ERRNOS:
                raise
            where = self._spool_dir or tempfile.gettempdir()
            raise FatalError(
                "disk_full",
                f"The disk of {where} is full: a large reply could not be kept there while it was "
                "read. Make room, then continue",
            ) from None


async def read_body_start(response: CarriedResponse, max_bytes: int) -> bytes:
    """The beginning of a body; when there is more, the connection is closed."""
    chunks: list[bytes] = []
    size = 0
    while size <= max_bytes and (chunk := await response.read_some()):
        chunks.append(chunk)
        size += len(chunk)
    if size > max_bytes:
        response.close()
    return b"".join(chunks)[:max_bytes]


async def _acquire_memory(reservation: Reservation, size: int, response: CarriedResponse) -> None:
    with response.pause_deadlines():
        await reservation.acquire(size)


def _read_spool_file(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _is_compressed(response: CarriedResponse) -> bool:
    return response.headers.get("Content-Encoding", "identity").strip().lower() != "identity"
