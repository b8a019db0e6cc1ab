"""A manifest from standard input: kept in a file first, for it is read twice, and on every resume.

Beside it, `<spool>.folder` keeps the folder its relative paths begin at: a resumed run may be
started from another one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO

import orjson

from batchinfer.atomic_files import replace_file
from batchinfer.errors import SourceError
from batchinfer.sources import csv_manifest, jsonl_manifest
from batchinfer.sources.manifest import ManifestSource
from batchinfer.sources.manifest_lines import (
    ManifestReader,
    ignore_mistake,
    iter_lines,
    open_manifest_stream,
)
from batchinfer.text_format import escape_undecodable


def open_stdin_manifest(
    spool: Path | None,
    stdin: BinaryIO | None,
    file_param: str,
    reader: ManifestReader | None = None,
) -> ManifestSource:
    """Copy `stdin` to `spool`, or without `stdin` read again what was copied then.

    `reader`: reads its format; None: JSONL if its first line is (an object, a list, or a string
    that names no column of a CSV), else CSV. Raises SourceError.
    """
    if spool is None:
        raise SourceError("A manifest on standard input needs a place where it can be kept.")
    folder = spool.with_name(f"{spool.name}.folder")
    try:
        if stdin is not None:
            folder.write_bytes(os.fsencode(Path.cwd()))
            _save_stdin(stdin, spool)
        base = os.fsdecode(folder.read_bytes())
        reader = reader or _detect_reader(spool)
    except FileNotFoundError as error:
        raise SourceError(
            "The manifest that came on standard input is not there any more: "
            f"{escape_undecodable(str(error.filename))}. Give it again."
        ) from error
    except (OSError, UnicodeError) as error:
        raise SourceError(f"Standard input could not be kept: {error}.") from error
    return ManifestSource("standard input", str(spool.absolute()), base, file_param, reader)


def _save_stdin(stdin: BinaryIO, spool: Path) -> None:
    """All of it or nothing: a half manifest is never taken for a whole one."""
    with replace_file(spool, durable=True) as file:
        shutil.copyfileobj(stdin, file, 1 << 20)


def _detect_reader(spool: Path) -> ManifestReader:
    with open_manifest_stream(str(spool)) as stream:
        for line in iter_lines(stream, ignore_mistake):
            if text := line.strip():
                return jsonl_manifest.JSONL_READER if _is_json(text) else csv_manifest.CSV_READER
    return csv_manifest.CSV_READER


def _is_json(line: bytes) -> bool:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:  # what was meant as an object is reported as a broken one
        return line.startswith((b"{", b"[")) and not csv_manifest.is_header_line(
            line.decode("latin-1")
        )
    return isinstance(value, dict | list | str) and not jsonl_manifest.is_header(value)
