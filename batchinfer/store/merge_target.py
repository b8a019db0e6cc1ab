"""The run that a merge writes: a new one appears whole or not at all, an older one changes at once.

A new run is built in the folder `merge.part` of its directory, and moved out of it when all is
there. A kill leaves that folder, and no run: the next merge begins anew. A run that is there
already changes in one transaction; a kill leaves it as it was.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from batchinfer.atomic_files import sync_folder
from batchinfer.domain import RunInfo
from batchinfer.store.database import (
    DATABASE_NAME,
    choose_journal_mode,
    create_database,
    has_run,
    open_writable,
    transaction,
    translate_errors,
)
from batchinfer.store.json_codec import encode_json
from batchinfer.store.output_files import OUTPUTS_DIR
from batchinfer.store.run_metadata import read_model_help, read_run_info, update_run_checksum
from batchinfer.store.sql_merge import UPDATE_RUN_SOURCES
from batchinfer.store.sql_write import UPDATE_MODEL_HELP

MERGE_FOLDER: Final = "merge.part"
"""The folder in which a new run is built."""

_BUILD_PRAGMAS: Final = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",  # but once, when all is there
    "PRAGMA foreign_keys = OFF",  # each row is written after what it refers to
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = FILE",  # a million entries of an index are sorted
)
"""Nobody else sees the database while it is built, and a half one is thrown away."""


@contextmanager
def create_target(directory: Path, info: RunInfo) -> Iterator[tuple[sqlite3.Connection, Path]]:
    """A new run, open to be written within the block, and the folder for its `outputs/`.

    It is in `directory` when the block has ended, and is gone after an error. Raises StoreError.
    """
    build_folder = directory / MERGE_FOLDER
    with translate_errors(directory / DATABASE_NAME):
        remove_unfinished_target(directory)
        try:
            create_database(build_folder, info)
            db = open_writable(build_folder)
            try:
                for pragma in _BUILD_PRAGMAS:
                    db.execute(pragma)
                with transaction(db):
                    yield db, build_folder
                db.execute(f"PRAGMA journal_mode = {choose_journal_mode(directory)}")
            finally:
                db.close()
            _publish(build_folder, directory)
        except BaseException:
            remove_unfinished_target(directory)
            raise


@contextmanager
def open_target(directory: Path) -> Iterator[tuple[sqlite3.Connection, Path]]:
    """A run that is there, open to be changed at once when the block ends. Raises StoreError."""
    with translate_errors(directory / DATABASE_NAME):
        remove_unfinished_target(directory)  # of a process that was killed at its very end
    db = open_writable(directory)
    try:
        db.execute("PRAGMA temp_store = FILE")
        with translate_errors(directory / DATABASE_NAME), transaction(db):
            yield db, directory
            _sync_outputs(directory)
    finally:
        db.close()


def update_run_facts(
    db: sqlite3.Connection, sources: Sequence[str], model_help: str | None, *, is_source_read: bool
) -> bool:
    """Write what the run knows of itself, as far as it is new, within the transaction; whether it
    was.
    """  # noqa: D205 - one thought
    info, was_source_read = read_run_info(db)
    is_help_new = model_help is not None and read_model_help(db) is None
    if is_help_new:
        db.execute(UPDATE_MODEL_HELP, (model_help,))
    is_new = is_help_new or (tuple(sources), is_source_read) != (info.sources, was_source_read)
    if is_new:
        db.execute(UPDATE_RUN_SOURCES, (encode_json(list(sources)), is_source_read))
        update_run_checksum(db)
    return is_new


def is_unfinished_target(directory: Path) -> bool:
    """Whether a merge into this directory was cut off before there was a run."""
    return (directory / MERGE_FOLDER).is_dir() and not has_run(directory)


def remove_unfinished_target(directory: Path) -> None:
    """Remove what a merge left that was cut off. Raises OSError."""
    build_folder = directory / MERGE_FOLDER
    if not build_folder.is_dir():
        return
    outputs = directory / OUTPUTS_DIR
    if not has_run(directory) and outputs.is_dir():  # moved out already, just before the run
        shutil.rmtree(outputs)
    shutil.rmtree(build_folder)


def _publish(build_folder: Path, directory: Path) -> None:
    """Make what was built durable, and move it where it belongs: the database last."""
    _sync_outputs(build_folder)
    with (build_folder / DATABASE_NAME).open("rb+") as file:
        os.fsync(file.fileno())
    if (build_folder / OUTPUTS_DIR).is_dir():
        (build_folder / OUTPUTS_DIR).rename(directory / OUTPUTS_DIR)
        sync_folder(directory)
    (build_folder / DATABASE_NAME).rename(directory / DATABASE_NAME)
    sync_folder(directory)
    shutil.rmtree(build_folder)


def _sync_outputs(directory: Path) -> None:
    if (directory / OUTPUTS_DIR).is_dir():
        sync_folder(directory / OUTPUTS_DIR)
    sync_folder(directory)
