"""`run.db` as a file: created, opened, migrated; and its errors in words for users.

Rules: made whole or not at all (under another name, then renamed); WAL and `synchronous=FULL`, so
that what is committed survives a loss of power and readers never wait for the writer. On a network
file system, where WAL cannot be used, a run works on a copy elsewhere (`working_copy`).
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from batchinfer.atomic_files import sync_folder
from batchinfer.domain import RunInfo
from batchinfer.errors import RunCorrupt, StoreError
from batchinfer.store import sql_read, sql_write
from batchinfer.store.checksums import checksum_run
from batchinfer.store.json_codec import encode_json
from batchinfer.store.migrations import (
    APPLICATION_ID,
    FORMAT_VERSION,
    INPUTS_MIN_VERSION,
    ITEM_COUNTS_MIN_VERSION,
    MIGRATIONS,
    MIN_READABLE_VERSION,
    REUSED_MIN_VERSION,
    SESSIONS_MIN_VERSION,
)
from batchinfer.store.network_file_systems import find_network_file_system

DATABASE_NAME: Final = "run.db"

_MIN_SQLITE_VERSION = (3, 37)
_BUSY_TIMEOUT_SECONDS = 30.0
"""Seconds to wait for another program's lock on the database."""
_CONNECTION_PRAGMAS = """
PRAGMA journal_mode = {journal_mode};
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -16384;
PRAGMA journal_size_limit = 67108864;
"""


def has_run(directory: Path) -> bool:
    """Whether there is a run in `directory` (of whatever version)."""
    return (directory / DATABASE_NAME).exists()


def get_file_identity(directory: Path) -> tuple[int, int] | None:
    """Device and inode of the run's database; None when it is not there."""
    try:
        status = (directory / DATABASE_NAME).stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def create_database(directory: Path, info: RunInfo) -> None:
    """Make the run directory of a new run. Raises StoreError when there is one already."""
    path = directory / DATABASE_NAME
    if has_run(directory):
        raise StoreError(
            f"There is a run in {directory} already; continue it, or choose another directory."
        )
    temporary_path = path.with_name(f"{DATABASE_NAME}.new")
    with translate_errors(path):
        directory.mkdir(parents=True, exist_ok=True)
        for leftover in directory.glob(f"{temporary_path.name}*"):  # of a process killed right here
            leftover.unlink()
        connection = _connect(temporary_path, "rwc")
        try:
            connection.execute("PRAGMA synchronous = OFF")  # but once, below, when all is there
            migrate(connection)
            connection.execute(
                "INSERT INTO run (only_one, id, created_at, mode, config, sources) VALUES (1, ?, "
                "?, ?, ?, ?)",
                (
                    info.id,
                    info.created_at,
                    info.mode,
                    encode_json(info.config),
                    encode_json(info.sources),
                ),
            )
            connection.execute(
                sql_write.UPDATE_RUN_CHECKSUM,
                (checksum_run(*connection.execute(sql_write.SELECT_RUN).fetchone()),),
            )
        finally:
            connection.close()
        with temporary_path.open("rb+") as file:
            os.fsync(file.fileno())
        temporary_path.rename(path)
        sync_folder(directory)


def open_writable(directory: Path) -> sqlite3.Connection:
    """The writer's connection, the database brought up to date. Raises RunCorrupt, StoreError."""
    path = directory / DATABASE_NAME
    with translate_errors(path):
        connection = open_unmigrated(path, "rw")
        with close_on_error(connection):
            migrate(connection)
            return connection


def open_readonly(directory: Path) -> sqlite3.Connection:
    """A connection that cannot write, also while another process does. Raises as the other."""
    path = directory / DATABASE_NAME
    with translate_errors(path):
        try:
            connection = open_unmigrated(path, "ro")
        except sqlite3.OperationalError:
            # A directory that we may not write cannot take the files that WAL needs. With nothing
            # in the log, no writer is there, and the file alone is the whole truth.
            wal_path = path.with_name(f"{DATABASE_NAME}-wal")
            if wal_path.exists() and wal_path.stat().st_size:
                raise
            connection = open_unmigrated(path, "ro&immutable=1")
        with close_on_error(connection):
            check_version(path, get_format_version(connection), min_version=MIN_READABLE_VERSION)
            if get_format_version(connection) < INPUTS_MIN_VERSION:
                connection.execute(sql_read.CREATE_EMPTY_INPUTS_VIEW)
            if get_format_version(connection) < SESSIONS_MIN_VERSION:
                connection.execute(sql_read.CREATE_EMPTY_SUBMISSIONS_VIEW)
            if get_format_version(connection) < ITEM_COUNTS_MIN_VERSION:
                connection.execute(sql_read.CREATE_ITEM_COUNTS_VIEW)
            if get_format_version(connection) < REUSED_MIN_VERSION:
                connection.execute(sql_read.CREATE_EMPTY_REUSED_VIEW)
            return connection


def open_unmigrated(path: Path, mode: str) -> sqlite3.Connection:
    """A connection to the database of a run, in the version it has. Raises RunCorrupt."""
    if not path.exists():
        raise RunCorrupt(
            f"There is no run in {path.parent}: it holds no {path.name}. Check the directory's "
            "name, or start a run there with `batchinfer run`."
        )
    _check_wal(path)
    connection = _connect(path, mode)
    with close_on_error(connection):
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        version = get_format_version(connection)
        if application_id != APPLICATION_ID or version < 1:
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
    for version in range(get_format_version(connection), FORMAT_VERSION):
        with transaction(connection):
            for statement in _split_statements(MIGRATIONS[version]):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version + 1}")


def get_format_version(connection: sqlite3.Connection) -> int:
    """Format version of an open database; 0 when it is empty."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def check_version(path: Path, version: int, *, min_version: int = 1) -> None:
    """Raise RunCorrupt when a database of this version cannot be used as it is."""
    if version > FORMAT_VERSION:
        raise RunCorrupt(
            f"{path} was written by a newer version of batchinfer (format {version}, this one "
            f"knows {FORMAT_VERSION}); upgrade batchinfer to continue it."
        )
    if version < min_version:
        raise RunCorrupt(
            f"{path} was written by an older version of batchinfer (format {version}, this one "
            f"reads {min_version}); `batchinfer resume {path.parent}` brings it up to date."
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
def close_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    """Close `connection` when the block raises."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
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
        advice = _ADVICE_BY_SQLITE_CODE.get(
            code, "Check the disk and the directory, then resume the run."
        )
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


_ADVICE_BY_SQLITE_CODE = {
    sqlite3.SQLITE_FULL: "The disk is full: make room, then resume the run.",
    sqlite3.SQLITE_BUSY: "Another program holds a lock on it: close that, then resume the run.",
    sqlite3.SQLITE_READONLY: "It cannot be written: check the permissions, then resume the run.",
    sqlite3.SQLITE_CANTOPEN: "Check that it exists and that you may read and write its directory.",
    sqlite3.SQLITE_PROTOCOL: "Its disk offers no locks: put the run directory on a local disk.",
    sqlite3.SQLITE_IOERR: "The disk reports an error: check it (run directories belong on a local "
    "disk), then resume the run.",
}


def _check_wal(path: Path) -> None:
    """Raise RunCorrupt when the log beside `path` is that of another file, as far as can be told.

    The latest session that the log knows must be in the file itself: it was written there before
    anything else (`sessions.start_session`). A copy of the file that was made during that very
    session cannot be distinguished from the file. Must be called before anything is opened to
    write, which would mix both.
    """
    wal_path = path.with_name(f"{path.name}-wal")
    if not wal_path.exists() or not wal_path.stat().st_size:
        return
    try:
        with closing(_connect(path, "ro")) as with_wal:
            latest_session = with_wal.execute(sql_read.SELECT_LATEST_SESSION).fetchone()
    except sqlite3.Error:  # an older version; or it shows when it is opened
        return
    if latest_session is None or not latest_session[2]:
        return
    try:
        with closing(_connect(path, "ro&immutable=1")) as without_wal:
            session_in_file = without_wal.execute(
                sql_read.SELECT_SESSION_EXISTS, latest_session[:2]
            ).fetchone()
    except sqlite3.OperationalError:
        session_in_file = None
    if session_in_file is None:
        raise RunCorrupt(
            f"{wal_path} does not belong to {path}: it is the log of another state of the run, as "
            f"when a backup is put back beside it. If you want the backup, delete {wal_path.name} "
            f"and {path.name}-shm; else put the file back that was there."
        )


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < _MIN_SQLITE_VERSION:
        raise StoreError(
            f"This Python brings SQLite {sqlite3.sqlite_version}; 3.37 or newer is needed. Use a "
            "newer Python."
        )
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,  # only `transaction` begins and ends transactions
        check_same_thread=False,  # one thread at a time, never the same (`ThreadedConnection`)
        timeout=_BUSY_TIMEOUT_SECONDS,
    )
    with close_on_error(connection):
        if mode.startswith("rw"):
            journal_mode = choose_journal_mode(path.parent)
            connection.executescript(_CONNECTION_PRAGMAS.format(journal_mode=journal_mode))
        return connection


def choose_journal_mode(folder: Path) -> str:
    """SQLite's journal mode for a database in `folder`.

    WAL is memory shared by processes, and machines share none. A rollback journal needs only locks,
    which short commands (retry, describe) may rely on (a run does not).
    """
    return "WAL" if find_network_file_system(folder) is None else "DELETE"


def _split_statements(script: str) -> Iterator[str]:
    """`executescript` would commit the transaction around it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
