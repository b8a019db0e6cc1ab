"""Lists of paths (`--files-from`): a line is a file, and its path as written is the key.

As `find`, `ls` and editors write them: LF, CRLF or CR, BOM, empty lines are fine. Where a NUL byte
is in the list, NUL ends each path and nothing else does (`find -print0`). Paths are bytes: any name
that a file can have. There are no comments, quotes or patterns.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO, Final

from batchinfer.sources.input_files import name_to_key, normalize_path
from batchinfer.sources.manifest_lines import (
    MAX_MANIFEST_LINE_BYTES,
    ManifestEntry,
    ManifestReader,
    ReportMistake,
    iter_lines,
)

_READ_BLOCK_BYTES = 1 << 18


def read_entries(
    stream: BinaryIO, file_param: str, report: ReportMistake
) -> Iterator[ManifestEntry]:
    """Every path; `report` is called for what cannot be one."""
    for number, line in iter_paths(stream, report):
        path = os.fsdecode(line)
        yield ManifestEntry(number, name_to_key(normalize_path(path)), ((file_param, path),), {})


PATH_LIST_READER: Final = ManifestReader(read_entries)


def iter_paths(stream: BinaryIO, report: ReportMistake) -> Iterator[tuple[int, bytes]]:
    """The paths of a list, as it has them, and their lines; `report` gets what cannot be one."""
    if isinstance(stream, io.BufferedReader) and b"\0" in stream.peek(_READ_BLOCK_BYTES):
        yield from _iter_nul_terminated(stream, report)
        return
    for number, line in enumerate(iter_lines(stream, report), 1):
        path = line.rstrip(b"\r\n")
        if b"\0" in path:
            report(number, "holds a NUL byte, but the lines before it end otherwise")
        elif path.strip():
            yield number, path


def _iter_nul_terminated(stream: BinaryIO, report: ReportMistake) -> Iterator[tuple[int, bytes]]:
    number, rest = 0, b""
    while block := stream.read(_READ_BLOCK_BYTES):
        *paths, rest = (rest + block).split(b"\0")
        for path in paths:
            number += 1
            if path:
                yield number, path
        if len(rest) >= MAX_MANIFEST_LINE_BYTES:
            report(
                number + 1, f"longer than {MAX_MANIFEST_LINE_BYTES:,} bytes; the rest was not read"
            )
            return
    if rest.strip():
        yield number + 1, rest
