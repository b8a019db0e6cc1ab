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
from batchinfer.ports import Adjusted
from batchinfer.store import checksums, read_sql, write_sql
from batchinfer.store.codec import decode, encode
from batchinfer.store.database import DATABASE, open_as_is, transaction, translated, version_of
from batchinfer.store.schema import ADJUSTMENTS_SINCE, HELP_SINCE, SESSIONS_SINCE
from batchinfer.store.table_rows import write_rows

_POLITE: Final = 1_000
"""Milliseconds to wait for another program's lock when it does not matter much."""


def read_info(connection: sqlite3.Connection) -> tuple[RunInfo, bool]:
    """What the run knows of itself, and whether its source has been read to the end."""
    row = connection.execute(
        "SELECT id, created_at, mode, config, sources, source_read FROM run"
    ).fetchone()
    name, created_at, mode, config, sources, source_read = row
    try:
        info = RunInfo(name, created_at, Mode(mode), decode(config), tuple(decode(sources)))
    except (ValueError, TypeError) as error:
        raise RunCorrupt(
            f"{DATABASE} is damaged: what the run says of itself cannot be read ({error}). Take it "
            "from a backup, or start a new run in another directory."
        ) from error
    return info, bool(source_read)


def source_read(db: sqlite3.Connection) -> None:
    """Note that the source has been read to its end."""
    with transaction(db):
        db.execute(write_sql.SOURCE_READ)


def read_help(connection: sqlite3.Connection) -> str | None:
    """The model's help, as it was answered; None when the run does not keep it."""
    if version_of(connection) < HELP_SINCE:
        return None
    (text,) = connection.execute("SELECT help FROM run").fetchone()
    return None if text is None else str(text)


def keep_help(db: sqlite3.Connection, text: str) -> None:
    """Keep the model's help with the run."""
    with transaction(db):
        db.execute(write_sql.KEEP_HELP, (text,))
        seal_run(db)


def seal_run(db: sqlite3.Connection) -> None:
    """Write the checksum of the run's own row anew, after that was changed."""
    db.execute(write_sql.SEAL_RUN, (checksums.of_run(*db.execute(write_sql.RUN).fetchone()),))


def read_reading(connection: sqlite3.Connection) -> Json:
    """How the run's predictions are read, as it was kept; None: that is not decided."""
    if version_of(connection) < SESSIONS_SINCE:
        return None
    (text,) = connection.execute("SELECT reading FROM run").fetchone()
    return None if text is None else decode(text)


def keep_reading(directory: Path, reading: Json) -> bool:
    """Keep how the run's predictions are read; whether that could be done.

    Needs no lock. A run that may not be written, or of an older version, stays as it is. Raises
    RunCorrupt when there is no run.
    """
    path = directory / DATABASE
    try:
        with translated(path), closing(open_as_is(path, "rw")) as connection:
            connection.execute(f"PRAGMA busy_timeout = {_POLITE}")
            if version_of(connection) < SESSIONS_SINCE:
                return False
            with transaction(connection):
                connection.execute("UPDATE run SET reading = ?", (encode(reading),))
            return True
    except RunCorrupt:
        raise
    except StoreError:
        return False


def read_adjustments(connection: sqlite3.Connection, limit: int) -> Sequence[Adjusted]:
    """How the limit moved of late, oldest first; empty when the run does not keep it."""
    if version_of(connection) < ADJUSTMENTS_SINCE:
        return ()
    return [Adjusted(*row) for row in connection.execute(read_sql.ADJUSTMENTS, (limit,))]


def note(db: sqlite3.Connection, adjusted: Sequence[Adjusted]) -> None:
    """Keep how the limit moved."""
    with transaction(db):
        write_rows(db, write_sql.NOTE, [(a.at, a.was, a.value, a.reason) for a in adjusted])
