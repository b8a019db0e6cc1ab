"""Where a run's files are, when they are no longer where they were. Take the `RunLock` first.

Keys and results stay: they do not depend on where a file is.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from batchinfer.domain import InputFile
from batchinfer.store.codec import decode_files, encode, encode_files, printable
from batchinfer.store.database import DATABASE, open_to_write, transaction, translated
from batchinfer.store.read_sql import FILES_OF

_PAGE = 500

Move = Callable[[InputFile], InputFile]
"""A file as it is where it is now."""


def files_of(directory: Path) -> Iterator[InputFile]:
    """All files of all items, in input order."""
    connection = open_to_write(directory)
    try:
        with translated(directory / DATABASE):
            for _, files in _all(connection):
                yield from files
    finally:
        connection.close()


def relocate(directory: Path, move: Move, sources: Sequence[str]) -> int:
    """Move all files, and keep `sources` as those of the run, at once; how many items changed."""
    connection = open_to_write(directory)
    changed = 0
    try:
        with translated(directory / DATABASE), transaction(connection):
            for position, files in _all(connection):
                moved = tuple(map(move, files))
                if moved != files:
                    changed += 1
                    connection.execute(
                        "UPDATE items SET path = ?, files = ? WHERE position = ?",
                        (printable(moved[0].path), encode_files(moved), position),
                    )
            connection.execute("UPDATE run SET sources = ?", (encode(list(sources)),))
    finally:
        connection.close()
    return changed


def keep_sources(directory: Path, sources: Sequence[str]) -> None:
    """Keep `sources` as those of the run; they are yet to be read to their end."""
    connection = open_to_write(directory)
    try:
        with translated(directory / DATABASE), transaction(connection):
            connection.execute(
                "UPDATE run SET sources = ?, source_read = 0", (encode(list(sources)),)
            )
    finally:
        connection.close()


def moved_from(old: str, new: str) -> Move:
    """Moves what lies in the folder `old` to `new`, with the time it has there."""
    before, after = old.rstrip("/") + "/", new.rstrip("/") + "/"

    def move(file: InputFile) -> InputFile:
        if not file.path.startswith(before):
            return file
        path = after + file.path[len(before) :]
        try:
            seen = os.stat(path)  # noqa: PTH116 - paths are plain strings in here
        except OSError:
            return replace(file, path=path)
        if file.size is not None and file.size != seen.st_size:
            return replace(file, path=path)
        return replace(file, path=path, mtime_ns=seen.st_mtime_ns)

    return move


def _all(connection: sqlite3.Connection) -> Iterator[tuple[int, tuple[InputFile, ...]]]:
    after = 0
    while page := connection.execute(FILES_OF, (after, _PAGE)).fetchall():
        for position, files in page:
            yield position, decode_files(files)
        after = page[-1][0]
