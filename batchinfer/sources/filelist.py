"""Lists of paths (`--files-from`): a line is a file, and its path as written is the key.

As `find`, `ls` and editors write them: LF, CRLF or CR, BOM, empty lines are fine. Where a NUL byte
is in the list, NUL ends each path and nothing else does (`find -print0`). Paths are bytes: any name
that a file can have. There are no comments, quotes or patterns.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO

from batchinfer.sources.entry import Entry, Report
from batchinfer.sources.files import key_of, tidy
from batchinfer.sources.lines import LONGEST, lines

_BLOCK = 1 << 18


def entries(stream: BinaryIO, file_param: str, report: Report) -> Iterator[Entry]:
    """Every path; `report` is told of what can be none."""
    for number, line in _paths(stream, report):
        path = os.fsdecode(line)
        yield Entry(number, key_of(tidy(path)), ((file_param, path),), {})


def _paths(stream: BinaryIO, report: Report) -> Iterator[tuple[int, bytes]]:
    if isinstance(stream, io.BufferedReader) and b"\0" in stream.peek(_BLOCK):
        yield from _ended_by_nul(stream, report)
        return
    for number, line in enumerate(lines(stream, report), 1):
        path = line.rstrip(b"\r\n")
        if b"\0" in path:
            report(number, "holds a NUL byte, but the lines before it end otherwise")
        elif path.strip():
            yield number, path


def _ended_by_nul(stream: BinaryIO, report: Report) -> Iterator[tuple[int, bytes]]:
    number, rest = 0, b""
    while block := stream.read(_BLOCK):
        *whole, rest = (rest + block).split(b"\0")
        for path in whole:
            number += 1
            if path:
                yield number, path
        if len(rest) >= LONGEST:
            report(number + 1, f"longer than {LONGEST:,} bytes; the rest was not read")
            return
    if rest.strip():
        yield number + 1, rest
