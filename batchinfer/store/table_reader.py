"""Rows of a run's database as `reader.py` asks for them: whole pages, compared with checksums.

Rules: nothing is written; each page is a short look of its own, so that a slow export never keeps
the database's log from being emptied. What is damaged is noted and left out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from batchinfer.domain import State
from batchinfer.errors import RunCorrupt
from batchinfer.store import checksums, item_counts
from batchinfer.store import sql_read as sql
from batchinfer.store.database import (
    DATABASE_NAME,
    get_format_version,
    open_readonly,
    translate_errors,
)
from batchinfer.store.migrations import SESSIONS_MIN_VERSION
from batchinfer.store.row_checks import (
    MISSING_ROW,
    RESULT_CELL_COUNT,
    DamageCollector,
    check_result_row,
    decode_text,
)
from batchinfer.store.run_metadata import read_run_info

_T = TypeVar("_T")

_READ_PAGE_ROWS: Final = 500
_READ_PAGE_BYTES: Final = 16 * 2**20
"""Bytes of text after which a page ends early."""


class TableReader:
    """An open database that is only read. One thread at a time.

    Raises RunCorrupt when there is no run that this version can read, StoreError when the disk
    fails.
    """

    def __init__(self, directory: Path, damages: DamageCollector) -> None:
        """`damages`: where what does not match its checksum is noted."""
        self._damages = damages
        self.path = directory / DATABASE_NAME
        self.connection = open_readonly(directory)
        with self._translate_errors_and_close():
            self.info, self.is_source_complete = read_run_info(self.connection)
            self.version = get_format_version(self.connection)
            if self.version >= SESSIONS_MIN_VERSION:
                self._check_run_row()

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def fetch_all(
        self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> list[Any]:
        """All rows of a statement at once."""
        with translate_errors(self.path):
            adapted = sql.adapt_to_version(statement, self.version)
            return self._read_tolerating_bad_utf8(
                lambda: self.connection.execute(adapted, parameters).fetchall()
            )

    def fetch_result_rows(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        """The rows of a statement that reads results or details, text as bytes."""
        with translate_errors(self.path), self._text_as_bytes():
            adapted = sql.adapt_to_version(statement, self.version)
            return self.connection.execute(adapted, parameters).fetchall()

    def iter_rows(
        self, statement: str, state: State | Literal["finished"] | None
    ) -> Iterator[Sequence[Any]]:
        """All rows, read page by page, text as bytes; that none is missing is counted."""
        for page in self.iter_pages(statement, state):
            yield from page

    def iter_pages(
        self, statement: str, state: State | Literal["finished"] | None
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """The same, a page at a time."""
        return self._iter_pages(statement, state, 0, 0)

    def iter_rows_by_key(self, statement: str) -> Iterator[Sequence[Any]]:
        """All rows of a statement that reads in the order of the keys, as `iter_rows`."""
        for page in self._iter_pages(statement, None, 1, b""):
            yield from page

    def _iter_pages(
        self,
        statement: str,
        state: State | Literal["finished"] | None,
        order_cell: int,
        after: int | bytes,
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """Pages of rows in the order of one of their cells, of those behind `after`."""
        statement = sql.adapt_to_version(statement, self.version)
        expected, row_count = self._get_min_row_count(state), 0
        while page := self._fetch_page(statement, after):
            row_count += len(page)
            after = page[-1][order_cell]
            yield page
        if expected is not None and row_count < min(expected, self._get_min_row_count(state) or 0):
            self._damages.add(*MISSING_ROW)

    def convert_row(self, row: Sequence[Any], convert: Callable[[Sequence[Any]], _T]) -> _T | None:
        """What the row says; None when it is not what was written, which is noted.

        `row`: of results or details, text as bytes.
        """
        try:
            if check_result_row(self._damages, row):
                return convert(row)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            key = decode_text(row[1]) if isinstance(row[1], bytes) else row[1]
            self._damages.add(f"the item {key!r}", f"it cannot be read ({error})")
        return None

    def _get_min_row_count(self, state: State | Literal["finished"] | None) -> int | None:
        """How many rows there must be at least, as the indexes know; None: that may fall."""
        with translate_errors(self.path):
            counts = item_counts.fetch_counts(self.connection)
        match state:
            case None:
                ((count,),) = self.fetch_all(sql.COUNT_KEYS)
                return max(int(count), counts.total)
            case "finished":
                return counts.finished
            case State.SUCCEEDED:
                return counts.succeeded
            case State.FAILED:
                return counts.failed
            case _:
                return None

    def _fetch_page(self, statement: str, after: int | bytes) -> list[Any]:
        """A page of rows: few, if they are large."""
        page: list[Any] = []
        size = 0
        with (
            translate_errors(self.path),
            self._text_as_bytes(),
            closing(self.connection.execute(statement, (after, _READ_PAGE_ROWS))) as cursor,
        ):
            for row in cursor:
                page.append(row)
                try:  # prediction, message, files and parameters may be long
                    size += len(row[3] or b"") + len(row[6] or b"") + len(row[13]) + len(row[14])
                    if len(row) != RESULT_CELL_COUNT:
                        size += len(row[RESULT_CELL_COUNT] or b"")
                except TypeError:  # the row is damaged
                    size += sum([len(cell) for cell in row if isinstance(cell, bytes)])
                if size > _READ_PAGE_BYTES:
                    break
        return page

    @contextmanager
    def _text_as_bytes(self) -> Iterator[None]:
        previous = self.connection.text_factory
        self.connection.text_factory = bytes
        try:
            yield
        finally:
            self.connection.text_factory = previous

    def _read_tolerating_bad_utf8(self, read: Callable[[], list[Any]]) -> list[Any]:
        """The rows, also when a text in them is no UTF-8 any more: a checksum shows it."""
        try:
            return read()
        except sqlite3.OperationalError as error:
            if "UTF-8" not in str(error):
                raise
            self.connection.text_factory = lambda data: str(data, "utf-8", "surrogateescape")
            return read()

    def _check_run_row(self) -> None:
        """Raises RunCorrupt when what the run says of itself is not what was written."""
        *cells, checksum = self.connection.execute(sql.SELECT_RUN_WITH_CHECKSUM).fetchone()
        if checksum is not None and checksums.checksum_run(*cells) != checksum:
            raise RunCorrupt(
                f"{self.path} is damaged: what the run says of itself does not match its checksum. "
                "Take it from a backup, or start a new run in another directory."
            )

    @contextmanager
    def _translate_errors_and_close(self) -> Iterator[None]:
        try:
            with translate_errors(self.path):
                yield
        except BaseException:
            self.connection.close()
            raise
