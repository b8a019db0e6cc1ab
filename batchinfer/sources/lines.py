"""The lines of a manifest as bytes: plain or gzip, any line length up to a bound, no BOM."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from typing import BinaryIO

from batchinfer.sources.entry import Report

LONGEST = 1 << 24
"""Bytes of a line: beyond it the file is no manifest, and memory stays flat."""
_BUFFER = 1 << 18
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The file, unpacked if it begins as gzip does, whatever it is called."""
    with ExitStack() as stack:
        file = stack.enter_context(io.BufferedReader(io.FileIO(path), _BUFFER))
        if file.peek(2).startswith(_GZIP):
            packed = stack.enter_context(gzip.GzipFile(fileobj=file))
            yield stack.enter_context(io.BufferedReader(packed, _BUFFER))
        else:
            yield file


def lines(stream: BinaryIO, report: Report) -> Iterator[bytes]:
    """Every line with its end, without a BOM; stops after a line that cannot be one."""
    read = partial(stream.readline, LONGEST)
    first = read()
    if first.startswith(_UTF16):
        report(1, "the file is UTF-16; save it as UTF-8")
        return
    rest = iter(read, b"")
    for number, line in enumerate(chain([first.removeprefix(_BOM)], rest), 1):
        if len(line) >= LONGEST:
            report(number, f"longer than {LONGEST:,} bytes; the rest was not read")
            return
        yield line


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
    return f"not UTF-8 (byte 0x{byte:02x} at byte {error.start + 1}); save the manifest as UTF-8"
