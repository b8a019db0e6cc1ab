"""SQL that people ask a run: it can read, and nothing else.

Rules: one statement; the database is opened to read, and an authorizer lets nothing through but
reading, so that a line copied from somewhere can neither write, nor attach a file, nor load code.
Views for people take the place of tables of the same name (`main.items` is the table itself). What
predictions mean is computed while rows are read, by functions that are handed in. Rows come as they
are asked for; Ctrl-C ends also what is still being computed.
"""
# ruff: noqa: S608 - put together from the constants of this file only

from __future__ import annotations

import difflib
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, TypeAlias

from batchinfer.errors import ConfigError
from batchinfer.store.database import DATABASE, closed_on_error, older, open_to_read, translated

Spread: TypeAlias = Callable[[str, str], str]
"""From a prediction (JSON) and its media type to a JSON list of lists: what was found in it."""
Row: TypeAlias = tuple[Any, ...]

_STEPS: Final = 20_000
"""Of SQLite's machine, after which Python may heed a signal: about a millisecond."""
_LIMITS: Final = (
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 1_000_000),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 500),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)
_LENGTH: Final = 2**29
"""Bytes of a value or row."""
_READING: Final = frozenset(
    (
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    )
)
_FORBIDDEN: Final = frozenset(("load_extension", "fts3_tokenizer"))
_OF_THE_DISK: Final = frozenset(
    (
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    )
)
"""Errors that no other question would mend."""
_RAISED: Final = "user-defined function raised exception"
_UNKNOWN: Final = re.compile(r"no such (table|column): (?:\w+\.)?(.+)")


def _moment(column: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', {column}, 'unixepoch')"


def _cell(index: int) -> str:
    return f"json_extract(found.value, '$[{index}]')"


_NUMBERED = """items.position, items.key, items.path, found."key" + 1 AS number"""
_FROM = """main.predictions AS predictions
JOIN main.items AS items ON items.position = predictions.position
JOIN json_each({}(predictions.prediction, predictions.media_type)) AS found"""
_VIEWS: Final = MappingProxyType(
    {
        "items": f"""
SELECT items.position, items.key, items.state, items.path, items.params, attempts.code,
    attempts.message, items.attempts, attempts.seconds,
    {_moment("attempts.started_at")} AS started_at,
    {_moment("items.submitted_at")} AS submitted_at,
    {_moment("items.retry_at")} AS retry_at,
    {_moment("items.finished_at")} AS finished_at
FROM main.items AS items
LEFT JOIN main.predictions AS predictions ON predictions.position = items.position
LEFT JOIN main.attempts AS attempts ON attempts.position = items.position
    AND attempts.number = coalesce(predictions.attempt, items.attempts)
""",
        "attempts": f"""
SELECT attempts.position, items.key, attempts.number, attempts.code, attempts.message,
    attempts.kind, {_moment("attempts.started_at")} AS started_at, attempts.seconds,
    attempts.server_seconds, attempts.retry_after, attempts.log
FROM main.attempts AS attempts JOIN main.items AS items ON items.position = attempts.position
""",
        "predictions": """
SELECT predictions.position, items.key, items.path, predictions.attempt, predictions.media_type,
    predictions.prediction
FROM main.predictions AS predictions
JOIN main.items AS items ON items.position = predictions.position
""",
        "inputs": """
SELECT inputs.position, items.key, inputs.number, inputs.param, inputs.size, inputs.sha256
FROM main.inputs AS inputs JOIN main.items AS items ON items.position = inputs.position
""",
        "detections": f"""
SELECT {_NUMBERED}, {_cell(0)} AS label, {_cell(1)} AS score, {_cell(2)} AS "left",
    {_cell(3)} AS top, {_cell(4)} AS "right", {_cell(5)} AS bottom, {_cell(6)} AS unit,
    {_cell(7)} AS outline, {_cell(8)} AS outlines, {_cell(9)} AS mask, {_cell(10)} AS keypoints,
    {_cell(11)} AS "start", {_cell(12)} AS "end"
FROM {_FROM.format("found_detections")}
""",
        "classes": f"""
SELECT {_NUMBERED}, {_cell(0)} AS label, {_cell(1)} AS score
FROM {_FROM.format("found_classes")}
""",
    }
)
_KEPT: Final = ("results", "failures", "submitted")
"""Views that stand in the database itself."""
_NO_INPUTS: Final = """
SELECT 0 AS position, '' AS key, 0 AS number, '' AS param, 0 AS size, '' AS sha256 WHERE 0
"""
"""The view of a run that does not keep them."""


class Inquiry:
    """Asks the run in `directory`. A context manager; one answer at a time.

    Raises RunCorrupt when there is no run that this version can read, StoreError when the disk
    fails.
    """

    def __init__(self, directory: Path, *, detections: Spread, classes: Spread) -> None:
        self._path = directory / DATABASE
        self._db = open_to_read(directory)
        self._failed: Exception | None = None
        with closed_on_error(self._db), translated(self._path):
            self._prepare(detections, classes)
            self._confine()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """No more rows."""
        self._db.close()

    def ask(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> tuple[tuple[str, ...], Iterator[Row]]:
        """The names of the answer's columns, each unlike the others, and its rows.

        Raises ConfigError, with SQLite's words, for what is no question; also while rows are read.
        """
        self._failed = None
        with self._told():
            try:
                cursor = self._db.execute(sql, parameters)
            except (ValueError, OverflowError) as error:  # half a character, 70 bits
                raise ConfigError(f"This cannot be asked: {error}.") from error
        if cursor.description is None:
            raise ConfigError("There is nothing to do: say what to read, as 'select * from items'.")
        return _distinct([column[0] for column in cursor.description]), self._rows(cursor)

    def views(self) -> Mapping[str, Sequence[str]]:
        """What can be asked for: the columns of each view."""
        return {name: self._columns(name) for name in (*_VIEWS, *_KEPT)}

    def _rows(self, cursor: sqlite3.Cursor) -> Iterator[Row]:
        while True:
            with self._told():
                row = cursor.fetchone()
            if row is None:
                return
            yield row

    def _columns(self, view: str) -> Sequence[str]:
        with translated(self._path):
            described = self._db.execute(f'SELECT * FROM "{view}" LIMIT 0').description
        return [column[0] for column in described]

    def _prepare(self, detections: Spread, classes: Spread) -> None:
        for name, spread in (("found_detections", detections), ("found_classes", classes)):
            self._db.create_function(name, 2, self._noting(spread), deterministic=True)
        for name, select in self._definitions().items():
            self._db.execute(f"CREATE TEMP VIEW {name} AS {select}")
        self._db.execute("PRAGMA query_only = ON")
        self._db.execute("PRAGMA trusted_schema = OFF")
        # Text that another program cut in the middle of a sign is no reason to fail.
        self._db.text_factory = lambda data: str(data, "utf-8", "backslashreplace")

    def _confine(self) -> None:
        for limit, value in _LIMITS:
            self._db.setlimit(limit, value)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LENGTH)
        self._db.set_authorizer(_authorized)
        # Python heeds a signal when it has the word; what that raises ends the statement.
        self._db.set_progress_handler(lambda: 0, _STEPS)

    def _definitions(self) -> Mapping[str, str]:
        missing = older(self._db)
        for name in missing:
            self._db.execute(f"DROP VIEW temp.{name}")  # of `open_to_read`: it has no keys
        return {**_VIEWS, "inputs": _NO_INPUTS} if "inputs" in missing else _VIEWS

    def _noting(self, spread: Spread) -> Spread:
        def noting(prediction: str, media_type: str) -> str:
            try:
                return spread(prediction, media_type)
            except Exception as error:
                self._failed = error
                raise

        return noting

    @contextmanager
    def _told(self) -> Iterator[None]:
        with translated(self._path):
            try:
                yield
            except (sqlite3.Error, sqlite3.Warning) as error:
                code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
                message = str(error).rstrip(".")
                if _RAISED in message:
                    message = f"a prediction cannot be read: {self._failed}"
                    if self._failed is None:  # it came before `noting` could begin: Ctrl-C
                        code = sqlite3.SQLITE_INTERRUPT
                if code == sqlite3.SQLITE_INTERRUPT:
                    raise KeyboardInterrupt from error
                if code in _OF_THE_DISK:
                    raise
                raise ConfigError(self._advice(message, code)) from error

    def _advice(self, message: str, code: int) -> str:
        if code == sqlite3.SQLITE_AUTH or "not authorized" in message:
            return f"{message}: a query only reads (one select), and only this run."
        unknown = _UNKNOWN.fullmatch(message)
        if unknown is None:
            return f"{message}."
        kind, name = unknown.groups()
        views = self.views()
        columns = {column for each in views.values() for column in each}
        near = difflib.get_close_matches(name, sorted(columns) if kind == "column" else views, 3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        told = "; ".join(f"{view}: {', '.join(each)}" for view, each in views.items())
        return f"{message}.{hint} There are {', '.join(views) if kind == 'table' else told}."


def _authorized(action: int, _: str | None, name: str | None, *__: str | None) -> int:
    if action not in _READING:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (name or "").lower() in _FORBIDDEN:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, a number behind those that were there before."""
    found: list[str] = []
    for name in names:
        number, unlike = 1, name
        while unlike in found:
            number += 1
            unlike = f"{name}_{number}"
        found.append(unlike)
    return tuple(found)
