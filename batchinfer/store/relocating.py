"""Where a run's files are, when they are no longer where they were. Take the `RunLock` first.

Keys and results stay: they do not depend on where a file is.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchinfer.domain import InputFile
from batchinfer.store.checksums import of_item
from batchinfer.store.codec import decode_files, encode, encode_files, printable
from batchinfer.store.database import DATABASE, open_to_write, transaction, translated
from batchinfer.store.read_sql import ITEMS_WITH_FILES
from batchinfer.store.run_metadata import seal_run
from batchinfer.store.write_sql import MOVE_ITEM

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
            for row, files in _all(connection):
                moved = tuple(map(move, files))
                if moved != files:
                    changed += 1
                    connection.execute(MOVE_ITEM, _moved(row, moved))
            connection.execute("UPDATE run SET sources = ?", (encode(list(sources)),))
            seal_run(connection)
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
            seal_run(connection)
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


def _moved(row: Sequence[Any], files: Sequence[InputFile]) -> tuple[Any, ...]:
    """What `MOVE_ITEM` writes. A row that was damaged before does not become sound by it."""
    position, key, path, before, params, kept = row
    cells = (printable(files[0].path), encode_files(files))
    if kept is not None and kept == of_item(position, key, path, before, params):
        kept = of_item(position, key, *cells, params)
    return (*cells, kept, position)


def _all(
    connection: sqlite3.Connection,
) -> Iterator[tuple[Sequence[Any], tuple[InputFile, ...]]]:
    """Rows of `ITEMS_WITH_FILES`, and their files."""
    after = 0
    while page := connection.execute(ITEMS_WITH_FILES, (after, _PAGE)).fetchall():
        for row in page:
            yield row, decode_files(row[3])
        after = page[-1][0]
