"""A run as a merge reads it: one moment of it, row by row, each compared with its checksums.

Rules: nothing is written. Everything is read in one transaction, so that all tables are of one
moment. Text is the bytes that are stored. Memory does not know how long the run is. A damaged row
is noted and not handed on: its new checksum would make it look intact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from zlib import crc32

from batchinfer.store import checksums, item_counts, sql_merge
from batchinfer.store import sql_read as sql
from batchinfer.store.database import translate_errors
from batchinfer.store.json_codec import encode_json
from batchinfer.store.merge_rows import MergeRow
from batchinfer.store.migrations import SESSIONS_MIN_VERSION
from batchinfer.store.row_checks import (
    MISSING_ROW,
    RESULT_CELL_COUNT,
    DamageCollector,
    decode_text,
    is_result_intact,
)
from batchinfer.store.run_metadata import read_model_help
from batchinfer.store.table_reader import TableReader

_MISMATCH: Final = "its checksum does not match"


class MergeInput:
    """A run that is merged into another. A context manager; one thread at a time.

    Raises RunCorrupt when there is no run that this version can read, StoreError when the disk
    fails.
    """

    def __init__(self, directory: Path, damages: DamageCollector) -> None:
        """`damages`: where what does not match its checksum is noted."""
        self.directory = directory
        self._damages = damages
        self._tables = TableReader(directory, damages)
        self._connection = self._tables.connection
        self.info, self.is_source_complete = self._tables.info, self._tables.is_source_complete
        try:
            with translate_errors(self._tables.path):
                self._connection.execute("BEGIN")
                self.counts = item_counts.fetch_counts(self._connection)
                """Items by state."""
                self.model_help = read_model_help(self._connection)
                """The model's help, as the service answered; None: not kept."""
                self.sessions = self._read_sessions()
                """Rows of `sessions`: number, version, started_at, active_until, params."""
                ((self._key_count,),) = self._tables.fetch_all(sql.COUNT_KEYS)
                self._connection.text_factory = bytes
        except BaseException:
            self._tables.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tables.close()

    def has_key(self, key: str) -> bool:
        """Whether the run has an item of this key."""
        return bool(self._tables.fetch_all(sql.SELECT_ITEM_BY_KEY, (key,)))

    def iter_rows(self) -> Iterator[MergeRow]:
        """All items in input order; that none is missing is counted."""
        row_count = 0
        for cells in self._iter_cells(sql.SELECT_ROWS_TO_MERGE):
            row_count += 1
            if _is_row_intact(cells):
                yield MergeRow(cells)
            else:
                self._note_damage(f"the item {_show_text(cells[1])!r}")
        if row_count < max(self.counts.total, self._key_count):
            self._damages.add(f"{MISSING_ROW[0]} of {self.directory}", MISSING_ROW[1])

    def iter_attempts(self, positions: Iterable[int]) -> Iterator[Sequence[Any]]:
        """The attempts of these items that failed.

        Cells: position, number, started_at, seconds, code, message, kind, retry_after,
        server_seconds, session, params, checksum, log, log_checksum, service.
        """
        for cells in self._iter_cells(sql_merge.SELECT_ATTEMPTS_AT, positions):
            number, code, checksum, log, log_checksum = cells[1], cells[4], *cells[11:14]
            if code is None:
                continue
            if _matches(
                checksum, checksums.checksum_attempt, cells[:11], None, number, b""
            ) and _matches(log_checksum, crc32, log):
                yield cells
            else:
                self._note_damage(f"attempt {number} of item number {cells[0]}")

    def iter_inputs(self, positions: Iterable[int]) -> Iterator[Sequence[Any]]:
        """What was sent of these items: position, number, param, size, sha256, checksum."""
        for cells in self._iter_cells(sql_merge.SELECT_INPUTS_AT, positions):
            if _matches(cells[5], checksums.checksum_input, *cells[:5]):
                yield cells
            else:
                self._note_damage(f"what was sent of item number {cells[0]}")

    def iter_reused(self, positions: Iterable[int]) -> Iterator[Sequence[Any]]:
        """Where results of these items were taken over from.

        Cells: position, number, run, run_id, key. They were compared with their checksum before.
        """
        return self._iter_cells(sql_merge.SELECT_REUSED_AT, positions)

    def iter_submissions(self, positions: Iterable[int]) -> Iterator[Sequence[Any]]:
        """Objects of these items: position, number, object, session, params."""
        return self._iter_cells(sql_merge.SELECT_SUBMISSIONS_AT, positions)

    def _iter_cells(
        self, statement: str, positions: Iterable[int] | None = None
    ) -> Iterator[Sequence[Any]]:
        parameters = () if positions is None else (encode_json(list(positions)),)
        with translate_errors(self._tables.path):
            yield from self._connection.execute(
                sql.adapt_to_version(statement, self._tables.version), parameters
            )

    def _read_sessions(self) -> Sequence[Sequence[Any]]:
        if self._tables.version < SESSIONS_MIN_VERSION:
            return ()
        rows = []
        for *cells, checksum in self._tables.fetch_all(sql.SELECT_SESSIONS):
            number, version, started_at, _, params = cells
            if not _matches(
                checksum, checksums.checksum_session, number, version, started_at, params
            ):
                self._note_damage(f"session {number}")
            rows.append(cells)
        return rows

    def _note_damage(self, subject: str) -> None:
        self._damages.add(f"{subject} of {self.directory}", _MISMATCH)


def _is_row_intact(cells: Sequence[Any]) -> bool:
    log, log_checksum = cells[RESULT_CELL_COUNT : RESULT_CELL_COUNT + 2]
    try:
        cells[1].decode()  # which no checksum covers in a run of an older version
        return is_result_intact(cells[:RESULT_CELL_COUNT]) and _matches(log_checksum, crc32, log)
    except (ValueError, TypeError, AttributeError):
        return False


def _matches(checksum: int | None, compute: Callable[..., int], *cells: Any) -> bool:
    """Whether the checksum of these cells is `checksum`; what has none is believed."""
    try:
        return checksum is None or compute(*cells) == checksum
    except (ValueError, TypeError):
        return False


def _show_text(cell: Any) -> str:
    return decode_text(cell) if isinstance(cell, bytes) else str(cell)
