"""What a run keeps about itself as a whole: what it is, its model's help, how predictions are read,
and how the limit moved.
"""  # noqa: D205 - one thought

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from batchinfer.domain import Json, Mode, RunInfo
from batchinfer.errors import RunCorrupt, StoreError
from batchinfer.ports import LimitChanged
from batchinfer.store import checksums, sql_read, sql_write
from batchinfer.store.database import (
    DATABASE_NAME,
    get_format_version,
    open_unmigrated,
    transaction,
    translate_errors,
)
from batchinfer.store.json_codec import decode_json, encode_json
from batchinfer.store.migrations import (
    ADJUSTMENTS_MIN_VERSION,
    HELP_MIN_VERSION,
    SESSIONS_MIN_VERSION,
)
from batchinfer.store.row_mapping import write_rows

_SHORT_BUSY_TIMEOUT_MS: Final = 1_000
"""Milliseconds to wait for another program's lock when it does not matter much."""


def read_run_info(connection: sqlite3.Connection) -> tuple[RunInfo, bool]:
    """What the run knows of itself, and whether its source has been read to the end."""
    row = connection.execute(
        "SELECT id, created_at, mode, config, sources, source_read FROM run"
    ).fetchone()
    name, created_at, mode, config, sources, source_read = row
    try:
        info = RunInfo(
            name, created_at, Mode(mode), decode_json(config), tuple(decode_json(sources))
        )
    except (ValueError, TypeError) as error:
        raise RunCorrupt(
            f"{DATABASE_NAME} is damaged: what the run says of itself cannot be read ({error}). "
            "Take it from a backup, or start a new run in another directory."
        ) from error
    return info, bool(source_read)


def mark_source_complete(db: sqlite3.Connection) -> None:
    """Note that the source has been read to its end."""
    with transaction(db):
        db.execute(sql_write.UPDATE_SOURCE_READ)


def read_model_help(connection: sqlite3.Connection) -> str | None:
    """The model's help, as it was answered; None when the run does not keep it."""
    if get_format_version(connection) < HELP_MIN_VERSION:
        return None
    (text,) = connection.execute("SELECT help FROM run").fetchone()
    return None if text is None else str(text)


def save_model_help(db: sqlite3.Connection, text: str) -> None:
    """Keep the model's help with the run."""
    with transaction(db):
        db.execute(sql_write.UPDATE_MODEL_HELP, (text,))
        update_run_checksum(db)


def update_run_checksum(db: sqlite3.Connection) -> None:
    """Write the checksum of the run's own row anew, after that was changed."""
    db.execute(
        sql_write.UPDATE_RUN_CHECKSUM,
        (checksums.checksum_run(*db.execute(sql_write.SELECT_RUN).fetchone()),),
    )


def read_interpretation(connection: sqlite3.Connection) -> Json:
    """How the run's predictions are read, as it was kept; None: that is not decided."""
    if get_format_version(connection) < SESSIONS_MIN_VERSION:
        return None
    (text,) = connection.execute("SELECT reading FROM run").fetchone()
    return None if text is None else decode_json(text)


def save_interpretation(directory: Path, interpretation: Json) -> bool:
    """Keep how the run's predictions are read; whether that could be done.

    Needs no lock. A run that may not be written, or of an older version, stays as it is. Raises
    RunCorrupt when there is no run.
    """
    path = directory / DATABASE_NAME
    try:
        with translate_errors(path), closing(open_unmigrated(path, "rw")) as connection:
            connection.execute(f"PRAGMA busy_timeout = {_SHORT_BUSY_TIMEOUT_MS}")
            if get_format_version(connection) < SESSIONS_MIN_VERSION:
                return False
            with transaction(connection):
                connection.execute("UPDATE run SET reading = ?", (encode_json(interpretation),))
            return True
    except RunCorrupt:
        raise
    except StoreError:
        return False


def read_limit_changes(connection: sqlite3.Connection, limit: int) -> Sequence[LimitChanged]:
    """How the limit moved of late, oldest first; empty when the run does not keep it."""
    if get_format_version(connection) < ADJUSTMENTS_MIN_VERSION:
        return ()
    return [
        LimitChanged(*row) for row in connection.execute(sql_read.SELECT_LIMIT_CHANGES, (limit,))
    ]


def save_limit_changes(db: sqlite3.Connection, changes: Sequence[LimitChanged]) -> None:
    """Keep how the limit moved."""
    with transaction(db):
        write_rows(
            db, sql_write.INSERT_LIMIT_CHANGES, [(a.at, a.was, a.value, a.reason) for a in changes]
        )
