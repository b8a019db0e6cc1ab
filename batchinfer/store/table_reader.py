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
from batchinfer.store import checksums, queues
from batchinfer.store import read_sql as sql
from batchinfer.store.checking import MISSING, Damages, check_row
from batchinfer.store.database import DATABASE, open_to_read, translated, version_of
from batchinfer.store.run_metadata import read_info
from batchinfer.store.schema import SESSIONS_SINCE

_T = TypeVar("_T")

_PAGE: Final = 500
_PAGE_SIZE: Final = 16 * 2**20
"""Characters after which a page ends early."""


class TableReader:
    """An open database that is only read. One thread at a time.

    Raises RunCorrupt when there is no run that this version can read, StoreError when the disk
    fails.
    """

    def __init__(self, directory: Path, damages: Damages) -> None:
        """`damages`: where what does not match its checksum is noted."""
        self._damages = damages
        self.path = directory / DATABASE
        self.connection = open_to_read(directory)
        with self._translated_or_closed():
            self.info, self.source_is_read = read_info(self.connection)
            self.version = version_of(self.connection)
            if self.version >= SESSIONS_SINCE:
                self._check_run()

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def rows(self, statement: str, asked: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """All rows of a statement at once."""
        with translated(self.path):
            fitting = sql.of_version(statement, self.version)
            return self._tolerantly(lambda: self.connection.execute(fitting, asked).fetchall())

    def all_rows(
        self, statement: str, state: State | Literal["finished"] | None
    ) -> Iterator[Sequence[Any]]:
        """All rows, read page by page; that none is missing in the middle is counted."""
        statement = sql.of_version(statement, self.version)
        before, seen, after = self._countable(state), 0, 0
        while page := self._page(statement, after):
            seen += len(page)
            after = page[-1][0]
            yield from page
        if before is not None and seen < min(before, self._countable(state) or 0):
            self._damages.add(*MISSING)

    def value_of(self, row: Sequence[Any], made: Callable[[Sequence[Any]], _T]) -> _T | None:
        """What the row says; None when it is not what was written, which is noted."""
        try:
            if check_row(self._damages, row):
                return made(row)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self._damages.add(f"the item {row[1]!r}", f"it cannot be read ({error})")
        return None

    def _countable(self, state: State | Literal["finished"] | None) -> int | None:
        """How many rows there must be at least, as the indexes know; None: that may fall."""
        with translated(self.path):
            counts = queues.counts(self.connection)
        match state:
            case None:
                ((count,),) = self.rows(sql.KEYS_OF_ITEMS)
                return max(int(count), counts.total)
            case "finished":
                return counts.finished
            case State.SUCCEEDED:
                return counts.succeeded
            case State.FAILED:
                return counts.failed
            case _:
                return None

    def _page(self, statement: str, after: int) -> list[Any]:
        """A page of rows: few, if they are large."""

        def read() -> list[Any]:
            page: list[Any] = []
            size = 0
            with closing(self.connection.execute(statement, (after, _PAGE))) as cursor:
                for row in cursor:
                    page.append(row)
                    size += sum([len(cell) for cell in row if isinstance(cell, str)])
                    if size > _PAGE_SIZE:
                        break
            return page

        with translated(self.path):
            return self._tolerantly(read)

    def _tolerantly(self, read: Callable[[], list[Any]]) -> list[Any]:
        """The rows, also when a text in them is no UTF-8 any more: a checksum tells."""
        try:
            return read()
        except sqlite3.OperationalError as error:
            if "UTF-8" not in str(error):
                raise
            self.connection.text_factory = lambda data: str(data, "utf-8", "surrogateescape")
            return read()

    def _check_run(self) -> None:
        """Raises RunCorrupt when what the run says of itself is not what was written."""
        *cells, kept = self.connection.execute(sql.RUN_SEALED).fetchone()
        if kept is not None and checksums.of_run(*cells) != kept:
            raise RunCorrupt(
                f"{self.path} is damaged: what the run says of itself does not match its "
                "checksum. Take it from a backup, or start a new run in another directory."
            )

    @contextmanager
    def _translated_or_closed(self) -> Iterator[None]:
        try:
            with translated(self.path):
                yield
        except BaseException:
            self.connection.close()
            raise
