"""Reads files out of what can only be unpacked from its beginning on, in as few passes as it can.

In order, all files cost one pass. What comes a little out of order is found among the last bytes
that were unpacked; what lies further back (a retry) gets a second pass of its own, which then
serves all that come in order behind it. So the cost is not quadratic.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections import deque
from typing import BinaryIO, Final, cast

from batchinfer.archives.unpacked_stream import UnpackedStream
from batchinfer.archives.zip_directory import make_damage_error
from batchinfer.inputs.ordered_lock import OrderedLock

MAX_READING_PASSES: Final = 2
"""Passes that are under way at a time."""
LOOK_BACK_BYTES: Final = 16 << 20
"""Bytes that each pass keeps of what it unpacked last."""
_PASS_BLOCK_BYTES: Final = 1 << 18
_MAX_MEMORY_BYTES: Final = 32 << 20
"""Bytes of a file beyond which it is kept in a temporary file."""
_WAIT_SECONDS: Final = 10.0
"""A pass that takes so long to get to a file is under way for a while."""


class ForwardReader:
    """Files out of one stream. Several threads may read; they are served one after the other."""

    def __init__(self, path: str, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._path = path
        self._wait_seconds = wait_seconds
        self._lock = OrderedLock()
        self._passes: list[_Pass] = []
        """That used last comes last."""
        self._under_way: tuple[float, int, int] | None = None
        """Since when, from where and to where a pass unpacks."""
        self.pass_count = 0
        """Passes that were begun."""

    def read_range(self, offset: int, size: int) -> BinaryIO:
        """The bytes there. Raises OSError."""
        with self._lock.hold(offset):
            since = time.monotonic()
            self._under_way = (since, 0, offset)
            try:
                used = self._choose_pass(offset)
                self._under_way = (since, used.position, offset)
                data = used.read_range(offset, size)
            finally:
                self._under_way = None
            self._passes.append(used)  # not after an error: that pass is of no more use
            return data

    def explain_wait(self) -> str | None:
        """What is being done that takes long; None: nothing is."""
        if (under_way := self._under_way) is None:
            return None
        since, start, target = under_way
        if time.monotonic() - since < self._wait_seconds:
            return None
        return (
            f"it is still being unpacked from byte {start:,} to where the run goes on, byte "
            f"{target:,}"
        )

    def _choose_pass(self, offset: int) -> _Pass:
        """The pass that has least to unpack, taken out of the list."""
        usable = [each for each in self._passes if each.oldest <= offset]
        if usable:
            chosen = max(usable, key=lambda each: each.position)
            self._passes.remove(chosen)
            return chosen
        if len(self._passes) >= MAX_READING_PASSES:
            del self._passes[0]
        self.pass_count += 1
        return _Pass(self._path)


class _Pass:
    """One way through the stream, with what it unpacked last."""

    def __init__(self, path: str) -> None:
        self._stream = UnpackedStream(path)
        self._blocks: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0

    @property
    def position(self) -> int:
        """The place that is unpacked next."""
        return self._stream.tell()

    @property
    def oldest(self) -> int:
        """The first place that it still has."""
        return self._blocks[0][0] if self._blocks else self.position

    def read_range(self, offset: int, size: int) -> BinaryIO:
        """The bytes there; `offset` is not before `oldest`."""
        target = _make_target(size)
        end = offset + size
        target.writelines(_cut(block, start, offset, end) for start, block in self._blocks)
        while (start := self.position) < end:
            if not (block := self._stream.read(_PASS_BLOCK_BYTES)):
                raise make_damage_error("it is cut off before the end of this file")
            self._keep(start, block)
            target.write(_cut(block, start, offset, end))
        target.seek(0)
        return target

    def _keep(self, start: int, block: bytes) -> None:
        self._blocks.append((start, block))
        self._kept_bytes += len(block)
        while self._kept_bytes > LOOK_BACK_BYTES:
            self._kept_bytes -= len(self._blocks.popleft()[1])


def _make_target(size: int) -> BinaryIO:
    """Where a file of that size is kept."""
    if size <= _MAX_MEMORY_BYTES:
        return io.BytesIO()
    return cast("BinaryIO", tempfile.TemporaryFile(prefix="batchinfer-"))  # closed by the reader


def _cut(block: bytes, start: int, first: int, end: int) -> memoryview:
    """What of a block that begins at `start` lies from `first` to `end`."""
    return memoryview(block)[max(0, first - start) : max(0, end - start)]
