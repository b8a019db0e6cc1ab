"""An input that is read over a connection, and goes on where the connection broke.

Only of the version that it began with: when the input was written again meanwhile, nothing more
is read, and `has_changed` says so.
"""

from __future__ import annotations

import errno
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import urllib3

from batchinfer.backends.s3_calls import MIN_DOWNLOAD_BYTES_PER_SECOND
from batchinfer.inputs import InputStat
from batchinfer.remote.blocking_http import release, translate_http_errors

RESUME_SECONDS: Final = 15.0
"""Seconds for which a connection that broke is opened again without a byte gained."""
_PIECE_BYTES: Final = 1 << 18
_SLACK_SECONDS: Final = 60.0
"""Seconds that a read may take beside what its bytes are given."""


@dataclass(slots=True)
class FetchedRange:
    """The answer to a request for an input, from some offset on."""

    stat: InputStat
    """Of the whole input."""
    response: urllib3.BaseHTTPResponse
    offset: int
    """Where its bytes begin: 0 where a server cannot begin later."""


class ChangedMeanwhileError(OSError):
    """What is asked for is not that version any more."""


FetchRange = Callable[[int, InputStat | None], FetchedRange]
"""Asks for an input from an offset on. With a stat only that version: ChangedMeanwhileError."""


class RangedInput(io.RawIOBase):
    """An `OpenInput`, and a binary file that can be sought in (by asking anew)."""

    def __init__(self, fetch: FetchRange) -> None:
        super().__init__()
        self._fetch = fetch
        self._range: FetchedRange | None = fetch(0, None)
        self._stat = self._range.stat
        self._position = self._received = 0
        self._is_other_version = False

    # OpenInput -----------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """See OpenInput."""
        return self._stat.size

    @property
    def mtime_ns(self) -> int | None:
        """See OpenInput."""
        return self._stat.mtime_ns

    @property
    def fingerprint(self) -> str | None:
        """See OpenInput."""
        return self._stat.fingerprint

    @property
    def is_regular(self) -> bool:
        """See OpenInput."""
        return self._stat.is_regular

    def has_changed(self) -> bool:
        """Whether the rest of it could not be read because it is another now."""
        return self._is_other_version

    def read(self, size: int = -1) -> bytes:
        """Read on: `size` bytes, fewer only at its end. Raises OSError."""
        wanted = self.size - self._position if size < 0 else min(size, self.size - self._position)
        started_at, got = time.monotonic(), 0
        pieces: list[bytes] = []
        while got < wanted and (piece := self._read_some(wanted - got)):
            pieces.append(piece)
            got += len(piece)
            allowed = _SLACK_SECONDS + got / MIN_DOWNLOAD_BYTES_PER_SECOND
            if time.monotonic() - started_at > allowed:
                self._drop()
                raise TimeoutError(errno.ETIMEDOUT, "it arrives too slowly")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close it."""
        self._drop()
        super().close()

    # A file --------------------------------------------------------------------------------------

    def readable(self) -> bool:
        """See io."""
        return True

    def seekable(self) -> bool:
        """See io."""
        return True

    def tell(self) -> int:
        """See io."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See io. The next read asks for the input from there on."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "before its beginning")
        if base + offset != self._position:
            self._drop()
            self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # as io uses it
        """See io."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    # ---------------------------------------------------------------------------------------------

    def _read_some(self, size: int) -> bytes:
        """Some bytes, as they come; b"" when there are no more of this version."""
        give_up_at, pause = time.monotonic() + RESUME_SECONDS, 0.1
        while not self._is_other_version:
            try:
                current = self._range or self._reopen()
                with translate_http_errors(""):
                    data = current.response.read1(min(size, _PIECE_BYTES))
                if data:
                    self._position += len(data)
                    if self._position == self.size:
                        self._drop()
                    return data
                raise ConnectionError(errno.ECONNRESET, "it ended before its end")  # noqa: TRY301
            except ChangedMeanwhileError:
                self._is_other_version = True
            except (ConnectionError, TimeoutError):
                self._drop()
                if time.monotonic() >= give_up_at:
                    raise
                time.sleep(pause)
                pause *= 2
        return b""

    def _reopen(self) -> FetchedRange:
        fetched = self._range = self._fetch(self._position, self._stat)
        if _is_other(fetched.stat, self._stat):
            self._drop()
            raise ChangedMeanwhileError
        skipped = fetched.offset
        while skipped < self._position:  # a server that always begins at the beginning
            with translate_http_errors(""):
                data = fetched.response.read1(min(self._position - skipped, _PIECE_BYTES))
            if not data:
                raise ConnectionError(errno.ECONNRESET, "it ended before its end")
            skipped += len(data)
        return fetched

    def _drop(self) -> None:
        """End the request that is open."""
        current, self._range = self._range, None
        if current is not None:
            release(current.response)


def _is_other(now: InputStat, before: InputStat) -> bool:
    if now.size != before.size:
        return True
    if now.fingerprint is not None and before.fingerprint is not None:
        return now.fingerprint != before.fingerprint
    return now.mtime_ns != before.mtime_ns
