"""Where a run's files are, when they are no longer where they were. Take the `RunLock` first.

Keys and results stay: they do not depend on where a file is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from batchinfer.archives.archive_uris import MEMBER_SEPARATOR, is_archive_uri, make_archive_uri
from batchinfer.domain import InputFile, RemoteFile
from batchinfer.inputs import InputStat, find_container, is_local, stat_input
from batchinfer.inputs.contained_inputs import Glance, glance_inside, may_be_copy, move_container
from batchinfer.store.checksums import checksum_item
from batchinfer.store.database import DATABASE_NAME, open_writable, transaction, translate_errors
from batchinfer.store.json_codec import decode_files, encode_files, encode_json, escape_non_utf8
from batchinfer.store.run_metadata import read_run_info, update_run_checksum
from batchinfer.store.sql_read import SELECT_ITEM_PAGE
from batchinfer.store.sql_write import UPDATE_ITEM_FILES
from batchinfer.videos.frame_uris import make_frame_uri

_RELOCATION_PAGE_ROWS = 500

FileMove = Callable[[InputFile], InputFile]
"""A file as it is where it is now."""


def iter_files(directory: Path) -> Iterator[InputFile]:
    """All files of all items, in input order."""
    connection = open_writable(directory)
    try:
        with translate_errors(directory / DATABASE_NAME):
            for _, files in _iter_item_rows(connection):
                yield from files
    finally:
        connection.close()


def relocate_files(directory: Path, move: FileMove, sources: Sequence[str]) -> int:
    """Move all files, and keep `sources` as those of the run, at once; how many items changed."""
    connection = open_writable(directory)
    changed = 0
    try:
        with translate_errors(directory / DATABASE_NAME), transaction(connection):
            for row, files in _iter_item_rows(connection):
                moved = tuple(map(move, files))
                if moved != files:
                    changed += 1
                    connection.execute(UPDATE_ITEM_FILES, _make_item_cells(row, moved))
            connection.execute("UPDATE run SET sources = ?", (encode_json(list(sources)),))
            update_run_checksum(connection)
    finally:
        connection.close()
    return changed


def append_sources(directory: Path, new: Sequence[str]) -> tuple[str, ...]:
    """Record further sources of the run, yet to be read to their end; all that it has then."""
    connection = open_writable(directory)
    try:
        with translate_errors(directory / DATABASE_NAME), transaction(connection):
            sources = (*read_run_info(connection)[0].sources, *new)
            connection.execute(
                "UPDATE run SET sources = ?, source_read = 0", (encode_json(list(sources)),)
            )
            update_run_checksum(connection)
            return sources
    finally:
        connection.close()


def make_folder_move(old: str, new: str) -> FileMove:
    """Moves what lies in the folder `old` to `new`, with the time it has there.

    Either may be a URI; both may be archives.
    """
    prefixes = _list_moved_prefixes(old, new)

    def move(file: InputFile) -> InputFile:
        if (path := _find_new_path(file.path, prefixes)) is None:
            return file
        return _at_path(file, path, look_at_moved(file, path))

    return move


def look_at_moved(file: InputFile, path: str) -> InputStat | Glance | None:
    """What is at the new path of a file; None: nothing, or another file."""
    try:
        if (seen := glance_inside(path)) is not None:
            return seen if may_be_copy(file.fingerprint, seen.fingerprint) else None
        # Of one whose size nobody knew (a frame of a video), the file that it lies in is looked at:
        # its own size would have to be made.
        now = stat_input(find_container(path) if file.size is None else path)
    except OSError:
        return None
    return None if file.size is not None and file.size != now.size else now


def _find_new_path(path: str, prefixes: Sequence[tuple[str, str]]) -> str | None:
    """The path that one has now; None: it has not moved."""
    for old, new in prefixes:
        if path.startswith(old):
            return new + path[len(old) :]
    (old, new), *_ = prefixes
    container = find_container(path)
    if container == path or not container.startswith(old):
        return None
    return move_container(path, new + container[len(old) :])


def _list_moved_prefixes(old: str, new: str) -> Sequence[tuple[str, str]]:
    """What paths begin with before and after: of files, and of what lies in files."""
    one, other = _add_separator(old), _add_separator(new)
    prefixes = [(one, other), (make_frame_uri(one, None), make_frame_uri(other, None))]
    if not is_archive_uri(old):
        prefixes.append((make_archive_uri(one), make_archive_uri(other)))
    return prefixes


def _add_separator(folder: str) -> str:
    return f"{folder}{MEMBER_SEPARATOR}" if is_archive_uri(folder) else folder.rstrip("/") + "/"


def _at_path(file: InputFile, path: str, now: InputStat | Glance | None) -> InputFile:
    """The file at another path, with the time and the fingerprint that it has there."""
    mtime_ns = file.mtime_ns if now is None else now.mtime_ns
    if is_local(path):
        return InputFile(file.param, path, file.size, mtime_ns)
    fingerprint = file.fingerprint if now is None else now.fingerprint
    return RemoteFile(file.param, path, file.size, mtime_ns, fingerprint)


def _make_item_cells(row: Sequence[Any], files: Sequence[InputFile]) -> tuple[Any, ...]:
    """What `UPDATE_ITEM_FILES` writes. A row that was damaged before stays damaged."""
    position, key, path, old_files, params, checksum = row
    cells = (escape_non_utf8(files[0].path), encode_files(files))
    if checksum is not None and checksum == checksum_item(position, key, path, old_files, params):
        checksum = checksum_item(position, key, *cells, params)
    return (*cells, checksum, position)


def _iter_item_rows(
    connection: sqlite3.Connection,
) -> Iterator[tuple[Sequence[Any], tuple[InputFile, ...]]]:
    """Rows of `SELECT_ITEM_PAGE`, and their files."""
    after = 0
    while page := connection.execute(SELECT_ITEM_PAGE, (after, _RELOCATION_PAGE_ROWS)).fetchall():
        for row in page:
            yield row, decode_files(row[3])
        after = page[-1][0]
