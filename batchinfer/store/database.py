"""`run.db` as a file: made, opened, brought up to date; its errors in words of ours.

Rules: made whole or not at all (under another name, then renamed); WAL and `synchronous=FULL`, so
that what is committed survives a loss of power and readers never wait for the writer.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from batchinfer.domain import RunInfo
from batchinfer.errors import RunCorrupt, StoreError
from batchinfer.store import read_sql, write_sql
from batchinfer.store.checksums import of_run
from batchinfer.store.codec import encode
from batchinfer.store.outputs import sync_directory
from batchinfer.store.schema import (
    APPLICATION_ID,
    INPUTS_SINCE,
    MIGRATIONS,
    READABLE,
    SESSIONS_SINCE,
    VERSION,
)

DATABASE: Final = "run.db"

_OLDEST_SQLITE = (3, 37)
_PATIENCE = 30.0
"""Seconds to wait for another program's lock on the database."""
_TUNING = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -16384;
PRAGMA journal_size_limit = 67108864;
"""


def holds_run(directory: Path) -> bool:
    """Whether there is a run in `directory` (of whatever version)."""
    return (directory / DATABASE).exists()


def identity_of(directory: Path) -> tuple[int, int] | None:
    """Device and inode of the run's database; None when it is not there."""
    try:
        seen = (directory / DATABASE).stat()
    except FileNotFoundError:
        return None
    return seen.st_dev, seen.st_ino


def make(directory: Path, info: RunInfo) -> None:
    """Make the run directory of a new run. Raises StoreError when there is one already."""
    path = directory / DATABASE
    if holds_run(directory):
        raise StoreError(
            f"There is a run in {directory} already; continue it, or choose another directory."
        )
    new = path.with_name(f"{DATABASE}.new")
    with translated(path):
        directory.mkdir(parents=True, exist_ok=True)
        for remains in directory.glob(f"{new.name}*"):  # of a process killed right here
            remains.unlink()
        connection = _connect(new, "rwc")
        try:
            connection.execute("PRAGMA synchronous = OFF")  # but once, below, when all is there
            migrate(connection)
            connection.execute(
                "INSERT INTO run (only_one, id, created_at, mode, config, sources)"
                " VALUES (1, ?, ?, ?, ?, ?)",
                (info.id, info.created_at, info.mode, encode(info.config), encode(info.sources)),
            )
            connection.execute(
                write_sql.SEAL_RUN, (of_run(*connection.execute(write_sql.RUN).fetchone()),)
            )
        finally:
            connection.close()
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        new.rename(path)
        sync_directory(directory)


def open_to_write(directory: Path) -> sqlite3.Connection:
    """The writer's connection, the database brought up to date. Raises RunCorrupt, StoreError."""
    path = directory / DATABASE
    with translated(path):
        connection = open_as_is(path, "rw")
        with closed_on_error(connection):
            migrate(connection)
            return connection


def open_to_read(directory: Path) -> sqlite3.Connection:
    """A connection that cannot write, also while another process does. Raises as the other."""
    path = directory / DATABASE
    with translated(path):
        try:
            connection = open_as_is(path, "ro")
        except sqlite3.OperationalError:
            # A directory that we may not write cannot take the files that WAL needs. With nothing
            # in the log, no writer is there, and the file alone is the whole truth.
            log = path.with_name(f"{DATABASE}-wal")
            if log.exists() and log.stat().st_size:
                raise
            connection = open_as_is(path, "ro&immutable=1")
        with closed_on_error(connection):
            check_version(path, version_of(connection), oldest=READABLE)
            if version_of(connection) < INPUTS_SINCE:
                connection.execute(read_sql.NO_INPUTS)
            if version_of(connection) < SESSIONS_SINCE:
                connection.execute(read_sql.NO_SUBMISSIONS)
            return connection


def open_as_is(path: Path, mode: str) -> sqlite3.Connection:
    """A connection to the database of a run, in the version it has. Raises RunCorrupt."""
    if not path.exists():
        raise RunCorrupt(
            f"There is no run in {path.parent}: it holds no {path.name}. Check the directory's "
            "name, or start a run there with `batchinfer run`."
        )
    _check_log(path)
    connection = _connect(path, mode)
    with closed_on_error(connection):
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        version = version_of(connection)
        if application != APPLICATION_ID or version < 1:
            raise RunCorrupt(f"{path} is not the database of a run; choose another directory.")
        check_version(path, version)
        if connection.execute("SELECT 1 FROM run").fetchone() is None:
            raise RunCorrupt(
                f"{path} is damaged: it does not say which run it is (the table run is empty). "
                "Take it from a backup, or start a new run in another directory."
            )
        return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to this version, script by script, each whole or not at all."""
    for version in range(version_of(connection), VERSION):
        with transaction(connection):
            for statement in _statements(MIGRATIONS[version]):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version + 1}")


def version_of(connection: sqlite3.Connection) -> int:
    """Format version of an open database; 0 when it is empty."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def check_version(path: Path, version: int, *, oldest: int = 1) -> None:
    """Raise RunCorrupt when a database of this version cannot be used as it is."""
    if version > VERSION:
        raise RunCorrupt(
            f"{path} was written by a newer version of batchinfer (format {version}, this one "
            f"knows {VERSION}); upgrade batchinfer to go on with it."
        )
    if version < oldest:
        raise RunCorrupt(
            f"{path} was written by an older version of batchinfer (format {version}, this one "
            f"reads {oldest}); `batchinfer resume {path.parent}` brings it up to date."
        )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; committed is durable."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    """Close `connection` when the block raises."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the disk as StoreError or RunCorrupt, with what to do."""
    try:
        yield
    except sqlite3.Error as error:
        # The primary code is the low byte of the extended one.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            raise RunCorrupt(
                f"{path} is damaged or no database of a run ({error}). Take it from a backup, or "
                "start a new run in another directory."
            ) from error
        advice = _ADVICE.get(code, "Check the disk and the directory, then resume the run.")
        raise StoreError(f"{path} cannot be used: {error}. {advice}") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreError(
                f"The disk of {path.parent} is full ({error.strerror}): make room, then resume the "
                "run. Everything recorded is kept."
            ) from error
        raise StoreError(
            f"The run directory of {path} cannot be used: {error}. Check the disk, its free space "
            "and your permissions, then resume the run."
        ) from error


_ADVICE = {
    sqlite3.SQLITE_FULL: "The disk is full: make room, then resume the run.",
    sqlite3.SQLITE_BUSY: "Another program holds a lock on it: close that, then resume the run.",
    sqlite3.SQLITE_READONLY: "It cannot be written: check the permissions, then resume the run.",
    sqlite3.SQLITE_CANTOPEN: "Check that it exists and that you may read and write its directory.",
    sqlite3.SQLITE_PROTOCOL: "Its disk offers no locks: put the run directory on a local disk.",
    sqlite3.SQLITE_IOERR: "The disk reports an error: check it (run directories belong on a local "
    "disk), then resume the run.",
}


def _check_log(path: Path) -> None:
    """Raise RunCorrupt when the log beside `path` is that of another file, as far as can be told.

    The latest session that the log knows must stand in the file itself: it was written there before
    anything else (`sessions.begin`). A copy of the file that was made while that very session went
    on cannot be told from the file. Must come before anything is opened to write: that would mix
    both.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        return
    try:
        with closing(_connect(path, "ro")) as both:
            latest = both.execute(read_sql.LATEST).fetchone()
    except sqlite3.Error:  # an older version; or it shows when it is opened
        return
    if latest is None or not latest[2]:
        return
    try:
        with closing(_connect(path, "ro&immutable=1")) as alone:
            found = alone.execute(read_sql.SESSION_AT, latest[:2]).fetchone()
    except sqlite3.OperationalError:
        found = None
    if found is None:
        raise RunCorrupt(
            f"{log} does not belong to {path}: it is the log of another state of the run, as when "
            f"a backup is put back beside it. If you want the backup, delete {log.name} and "
            f"{path.name}-shm; else put the file back that was there."
        )


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(
            f"This Python brings SQLite {sqlite3.sqlite_version}; 3.37 or newer is needed. "
            "Use a newer Python."
        )
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,  # transactions are begun and ended by `transaction` alone
        check_same_thread=False,  # one thread at a time, never the same (`Desk`)
        timeout=_PATIENCE,
    )
    with closed_on_error(connection):
        if mode.startswith("rw"):
            connection.executescript(_TUNING)
        return connection


def _statements(script: str) -> Iterator[str]:
    """`executescript` would commit the transaction around it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
