"""The items that a run has chosen of its source, in their order, on the disk until all are added.

A file of its own in the run directory: it is there before the run is, whole or not at all, and is
deleted when the run has all of its items. Sorting spills to the disk: memory does not know how many
items there are.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

from batchinfer.atomic_files import sync_folder
from batchinfer.domain import Item
from batchinfer.errors import SourceError
from batchinfer.store.database import translate_errors
from batchinfer.store.json_codec import decode_files, decode_json, encode_files, encode_json

ORDERED_ITEMS_NAME: Final = "ordered-items.db"
"""The file in a run directory."""

_WRITE_ROWS: Final = 500
_PRAGMAS: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -16384;
"""
"""A half file is thrown away; what is sorted may be larger than memory."""


def has_ordered_items(directory: Path) -> bool:
    """Whether a run has written its chosen items down, and not added them all yet."""
    return (directory / ORDERED_ITEMS_NAME).exists()


def write_ordered_items(directory: Path, ranked_items: Iterable[tuple[int, Item]]) -> int:
    """Write the items down with their ranks; how many. Replaces what was there before.

    Raises StoreError, and SourceError for an item that cannot be written.
    """
    path = directory / ORDERED_ITEMS_NAME
    partial = path.with_name(f".{path.name}.part")
    with translate_errors(path):
        directory.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)  # of a process that was killed
        try:
            with closing(sqlite3.connect(partial, isolation_level=None)) as db:
                db.executescript(_PRAGMAS)
                count = _write_rows(db, ranked_items)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(directory)
    return count


def iter_ordered_items(directory: Path) -> Iterator[Item]:
    """The items that were written down, in their order. Raises StoreError."""
    path = directory / ORDERED_ITEMS_NAME
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with (
        translate_errors(path),
        # Pages are read in threads, one at a time.
        closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as db,
    ):
        db.executescript("PRAGMA temp_store = FILE; PRAGMA cache_size = -16384;")
        for (text,) in db.execute("SELECT item FROM items ORDER BY rank, place"):
            key, files, params = json.loads(text)
            yield Item(key, decode_files(files), decode_json(params))


def remove_ordered_items(directory: Path) -> None:
    """Delete the file: the run has all of them, or they have to be chosen anew."""
    path = directory / ORDERED_ITEMS_NAME
    with translate_errors(path):
        path.unlink(missing_ok=True)


def _write_rows(db: sqlite3.Connection, ranked_items: Iterable[tuple[int, Item]]) -> int:
    db.execute("CREATE TABLE items (place INTEGER PRIMARY KEY, rank INTEGER, item TEXT)")
    db.execute("BEGIN")
    rows = ((rank, _encode_item(item)) for rank, item in ranked_items)
    count = 0
    while batch := list(islice(rows, _WRITE_ROWS)):
        db.executemany("INSERT INTO items (rank, item) VALUES (?, ?)", batch)
        count += len(batch)
    db.execute("COMMIT")
    return count


def _encode_item(item: Item) -> str:
    """An item as ASCII, whatever bytes its names have."""
    try:
        return json.dumps([item.key, encode_files(item.files), encode_json(item.params)])
    except RecursionError:
        raise SourceError(
            f"The parameters of {item.key!r} are nested too deeply to be stored; give them as a "
            "JSON text in one parameter."
        ) from None
