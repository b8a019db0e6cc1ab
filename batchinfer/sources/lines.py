"""The lines of a manifest as bytes: plain or gzip, UTF-8 or UTF-16, no line beyond a bound."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from batchinfer.sources.entry import Report

if TYPE_CHECKING:
    from typing_extensions import Buffer

LONGEST = 1 << 24
"""Bytes of a line: beyond it the file is no manifest, and memory stays flat."""
_BUFFER = 1 << 18
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The file, unpacked if it begins as gzip does, as UTF-8 if it begins as UTF-16 does (Excel's
    "Unicode Text", PowerShell). Whatever it is called.

    Reading it raises UnicodeError where UTF-16 is broken.
    """  # noqa: D205 - one thought
    with ExitStack() as stack:
        raw: io.RawIOBase = io.FileIO(path)
        file: io.BufferedReader[Any] = stack.enter_context(io.BufferedReader(raw, _BUFFER))
        if file.peek(2).startswith(_GZIP):
            packed = stack.enter_context(gzip.GzipFile(fileobj=file))
            file = stack.enter_context(io.BufferedReader(packed, _BUFFER))
        if file.peek(2).startswith(_UTF16):
            text = stack.enter_context(io.TextIOWrapper(file, "utf-16", newline=""))
            file = stack.enter_context(io.BufferedReader(_Recoded(text), _BUFFER))
        yield file


class _Recoded(io.RawIOBase):
    """A text as UTF-8."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._left = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Some of it; 0 at its end."""
        if not self._left:
            self._left = self._text.read(_BUFFER).encode()
        room = memoryview(buffer)
        part, self._left = self._left[: len(room)], self._left[len(room) :]
        room[: len(part)] = part
        return len(part)


def lines(stream: BinaryIO, report: Report) -> Iterator[bytes]:
    """Every line with its end (LF, CRLF, CR), without a BOM; stops after one that cannot be one."""
    for number, line in enumerate(_split(stream), 1):
        if len(line) >= LONGEST:
            report(number, f"longer than {LONGEST:,} bytes; the rest was not read")
            return
        yield line.removeprefix(_BOM) if number == 1 else line


def _split(stream: BinaryIO) -> Iterator[bytes]:
    """Lines, at most LONGEST bytes each. A CR alone ends one, too: so wrote the Macintosh."""
    rest = b""
    while block := stream.readline(LONGEST):
        if rest and block == b"\n" and rest.endswith(b"\r"):
            yield rest + block
            rest = b""
            continue
        block, rest = rest + block, b""
        if block.count(b"\r") == block.endswith(b"\r\n"):
            if block.endswith(b"\n") or len(block) >= LONGEST:
                yield block
            else:
                rest = block
            continue
        *whole, rest = block.splitlines(keepends=True)
        yield from whole
        if rest.endswith(b"\n") or len(rest) >= LONGEST:
            yield rest
            rest = b""
    if rest:
        yield rest


def texts(stream: BinaryIO, report: Report) -> Iterator[str]:
    """The same as text. A line that is not UTF-8, or holds a NUL, is reported and passed on."""
    for number, line in enumerate(lines(stream, report), 1):
        if b"\0" in line:
            report(number, "holds a NUL byte; no file name or value can")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            report(number, not_utf8(error))
            yield line.decode(errors="replace")


def not_utf8(error: UnicodeDecodeError) -> str:
    """The message for it."""
    byte = error.object[error.start]
    return (
        f"not UTF-8 (byte 0x{byte:02x} at byte {error.start + 1}); save the manifest as UTF-8 (in"
        " Excel: CSV UTF-8)"
    )
