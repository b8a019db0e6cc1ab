"""SQL queries that people send to a run: they can read, and nothing else.

Rules: one statement; the database is opened to read, and an authorizer lets nothing through but
reading, so that a line copied from somewhere can neither write, nor attach a file, nor load code.
Views for people take the place of tables of the same name (`main.items` is the table itself). What
predictions mean is computed while rows are read, by functions that are handed in. Rows come as they
are asked for; Ctrl-C ends also what is still being computed.
"""
# ruff: noqa: S608 - put together from the constants of this file only

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, TypeAlias

from batchinfer.errors import QueryError
from batchinfer.store.database import (
    DATABASE_NAME,
    close_on_error,
    get_format_version,
    open_readonly,
    translate_errors,
)
from batchinfer.store.migrations import INPUTS_MIN_VERSION, REUSED_MIN_VERSION
from batchinfer.suggestions import suggest

FindingsExtractor: TypeAlias = Callable[[str, str], str]
"""From a prediction (JSON) and its media type to a JSON list of lists: what was found in it."""
QueryRow: TypeAlias = tuple[Any, ...]

_PROGRESS_HANDLER_STEPS: Final = 20_000
"""Of SQLite's machine, after which Python may heed a signal: about a millisecond."""
_SQLITE_LIMITS: Final = (
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 1_000_000),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 500),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)
_MAX_VALUE_BYTES: Final = 2**29
"""Bytes of a value or row."""
_ALLOWED_ACTIONS: Final = frozenset(
    (
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    )
)
_FORBIDDEN_FUNCTIONS: Final = frozenset(("load_extension", "fts3_tokenizer"))
_STORAGE_ERROR_CODES: Final = frozenset(
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
_FUNCTION_RAISED_MESSAGE: Final = "user-defined function raised exception"
_UNKNOWN_NAME_PATTERN: Final = re.compile(r"no such (table|column): (?:\w+\.)?(.+)")


def _iso_time_sql(column: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', {column}, 'unixepoch')"


def _json_cell_sql(index: int) -> str:
    return f"json_extract(found.value, '$[{index}]')"


_FINDING_COLUMNS = """items.position, items.key, items.path, found."key" + 1 AS number"""
_FINDINGS_FROM = """main.predictions AS predictions
JOIN main.items AS items ON items.position = predictions.position
JOIN json_each({}(predictions.prediction, predictions.media_type)) AS found"""
_TEMP_VIEWS: Final = MappingProxyType(
    {
        "items": f"""
SELECT items.position, items.key, items.state, items.path, items.params, attempts.code,
    attempts.message, items.attempts, attempts.seconds,
    {_iso_time_sql("attempts.started_at")} AS started_at,
    {_iso_time_sql("items.submitted_at")} AS submitted_at,
    {_iso_time_sql("items.retry_at")} AS retry_at,
    {_iso_time_sql("items.finished_at")} AS finished_at
FROM main.items AS items
LEFT JOIN main.predictions AS predictions ON predictions.position = items.position
LEFT JOIN main.attempts AS attempts ON attempts.position = items.position
    AND attempts.number = coalesce(predictions.attempt, items.attempts)
""",
        "attempts": f"""
SELECT attempts.position, items.key, attempts.number, attempts.code, attempts.message,
    attempts.kind, {_iso_time_sql("attempts.started_at")} AS started_at, attempts.seconds,
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
SELECT {_FINDING_COLUMNS},
    {_json_cell_sql(0)} AS label,
    {_json_cell_sql(1)} AS score,
    {_json_cell_sql(2)} AS "left",     {_json_cell_sql(3)} AS top,
    {_json_cell_sql(4)} AS "right",
    {_json_cell_sql(5)} AS bottom,
    {_json_cell_sql(6)} AS unit,     {_json_cell_sql(7)} AS outline,
    {_json_cell_sql(8)} AS outlines,
    {_json_cell_sql(9)} AS mask,
    {_json_cell_sql(10)} AS keypoints,     {_json_cell_sql(11)} AS "start",
    {_json_cell_sql(12)} AS "end"
FROM {_FINDINGS_FROM.format("found_detections")}
""",
        "classes": f"""
SELECT {_FINDING_COLUMNS}, {_json_cell_sql(0)} AS label, {_json_cell_sql(1)} AS score
FROM {_FINDINGS_FROM.format("found_classes")}
""",
    }
)
_STORED_VIEWS: Final = ("results", "failures", "submitted")
"""Views of the database itself."""
_EMPTY_INPUTS_SELECT: Final = """
SELECT 0 AS position, '' AS key, 0 AS number, '' AS param, 0 AS size, '' AS sha256 WHERE 0
"""
"""The view of a run that does not keep them."""
_RESULTS_WITHOUT_REUSED_SELECT: Final = (
    "SELECT stored.*, NULL AS reused FROM main.results AS stored"
)
"""That of a run of a version that took nothing over."""


class QueryConnection:
    """Queries the run in `directory`. A context manager; one query at a time.

    Raises RunCorrupt when there is no run that this version can read, StoreError when the disk
    fails.
    """

    def __init__(
        self, directory: Path, *, detections: FindingsExtractor, classes: FindingsExtractor
    ) -> None:
        self._path = directory / DATABASE_NAME
        self._db = open_readonly(directory)
        self._extractor_error: Exception | None = None
        with close_on_error(self._db), translate_errors(self._path):
            self._create_views(detections, classes)
            self._restrict()

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

    def execute(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> tuple[tuple[str, ...], Iterator[QueryRow]]:
        """The names of the answer's columns, each unlike the others, and its rows.

        Raises QueryError, with SQLite's words, for what is no question; also while rows are read.
        """
        self._extractor_error = None
        with self._translate_query_errors():
            try:
                cursor = self._db.execute(sql, parameters)
            except (ValueError, OverflowError) as error:  # half a character, 70 bits
                raise QueryError(f"Invalid query value: {error}.") from error
        if cursor.description is None:
            raise QueryError("The query is empty. Example: select * from items")
        return _make_unique([column[0] for column in cursor.description]), self._fetch_rows(cursor)

    def list_views(self) -> Mapping[str, Sequence[str]]:
        """What can be queried: the columns of each view."""
        return {name: self._list_columns(name) for name in (*_TEMP_VIEWS, *_STORED_VIEWS)}

    def _fetch_rows(self, cursor: sqlite3.Cursor) -> Iterator[QueryRow]:
        while True:
            with self._translate_query_errors():
                row = cursor.fetchone()
            if row is None:
                return
            yield row

    def _list_columns(self, view: str) -> Sequence[str]:
        with translate_errors(self._path):
            description = self._db.execute(f'SELECT * FROM "{view}" LIMIT 0').description
        return [column[0] for column in description]

    def _create_views(self, detections: FindingsExtractor, classes: FindingsExtractor) -> None:
        for name, extractor in (("found_detections", detections), ("found_classes", classes)):
            self._db.create_function(name, 2, self._remember_errors(extractor), deterministic=True)
        for name, select in self._get_view_definitions().items():
            self._db.execute(f"CREATE TEMP VIEW {name} AS {select}")
        self._db.execute("PRAGMA query_only = ON")
        self._db.execute("PRAGMA trusted_schema = OFF")
        # Text that another program cut in the middle of a sign is no reason to fail.
        self._db.text_factory = lambda data: str(data, "utf-8", "backslashreplace")

    def _restrict(self) -> None:
        for limit, value in _SQLITE_LIMITS:
            self._db.setlimit(limit, value)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        self._db.set_authorizer(_authorize)
        # Python heeds a signal when it has the word; what that raises ends the statement.
        self._db.set_progress_handler(lambda: 0, _PROGRESS_HANDLER_STEPS)

    def _get_view_definitions(self) -> Mapping[str, str]:
        version = get_format_version(self._db)
        views = dict(_TEMP_VIEWS)
        if version < REUSED_MIN_VERSION:
            views["results"] = _RESULTS_WITHOUT_REUSED_SELECT
        if version < INPUTS_MIN_VERSION:
            self._db.execute("DROP VIEW temp.inputs")  # of `open_readonly`: it has no keys
            views["inputs"] = _EMPTY_INPUTS_SELECT
        return views

    def _remember_errors(self, extractor: FindingsExtractor) -> FindingsExtractor:
        def call(prediction: str, media_type: str) -> str:
            try:
                return extractor(prediction, media_type)
            except Exception as error:
                self._extractor_error = error
                raise

        return call

    @contextmanager
    def _translate_query_errors(self) -> Iterator[None]:
        with translate_errors(self._path):
            try:
                yield
            except (sqlite3.Error, sqlite3.Warning) as error:
                code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
                message = str(error).rstrip(".")
                if _FUNCTION_RAISED_MESSAGE in message:
                    message = f"a prediction cannot be read: {self._extractor_error}"
                    if self._extractor_error is None:  # it came before `noting` could begin: Ctrl-C
                        code = sqlite3.SQLITE_INTERRUPT
                if code == sqlite3.SQLITE_INTERRUPT:
                    raise KeyboardInterrupt from error
                if code in _STORAGE_ERROR_CODES:
                    raise
                raise QueryError(self._explain_error(message, code)) from error

    def _explain_error(self, message: str, code: int) -> str:
        if code == sqlite3.SQLITE_AUTH or "not authorized" in message:
            return f"{message}: a query only reads (one select), and only this run."
        unknown = _UNKNOWN_NAME_PATTERN.fullmatch(message)
        if unknown is None:
            return f"{message}."
        kind, name = unknown.groups()
        views = self.list_views()
        columns = {column for each in views.values() for column in each}
        choices = sorted(columns) if kind == "column" else views
        hint = suggest(name, choices, quote=str, limit=3)
        columns_by_view = "; ".join(f"{view}: {', '.join(each)}" for view, each in views.items())
        return (
            f"{message}.{hint} There are "
            f"{', '.join(views) if kind == 'table' else columns_by_view}."
        )


def _authorize(action: int, _: str | None, name: str | None, *__: str | None) -> int:
    if action not in _ALLOWED_ACTIONS:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (name or "").lower() in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _make_unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names, a number behind those that were there before."""
    unique: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in unique:
            number += 1
            candidate = f"{name}_{number}"
        unique.append(candidate)
    return tuple(unique)
