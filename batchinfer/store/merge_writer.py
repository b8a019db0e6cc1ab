"""Writes the items of several runs into one, in the order in which they are handed over.

Rules: an item gets the next position, and its rows new checksums with that; nothing else of it
changes. What the run has already stays where it is (`item_versions` says what happens to an item
that comes again). Everything is written within the caller's transaction: contradictions and damages
are collected, and the caller undoes it all. Memory does not know how many items there are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from batchinfer.store import sql_merge
from batchinfer.store.checksums import checksum_file
from batchinfer.store.item_versions import ItemVersion, VersionChoice, choose_version
from batchinfer.store.json_codec import decode_json, encode_json
from batchinfer.store.merge_batches import (
    PlacedRow,
    RowOfRun,
    group_by_run,
    iter_batches,
    read_sent,
    split_by_first_key,
)
from batchinfer.store.merge_input import MergeInput
from batchinfer.store.merge_outputs import locate_output, transfer_output
from batchinfer.store.merge_rows import (
    MergeRow,
    is_file_type,
    make_attempt_cells,
    make_item_cells,
    make_prediction_cells,
    move_attempt,
    move_input,
    move_reused,
)
from batchinfer.store.merge_sessions import SessionNumbers
from batchinfer.store.output_files import OUTPUTS_DIR, make_archive_name, make_output_name
from batchinfer.store.row_checks import DamageCollector, decode_text
from batchinfer.store.row_mapping import write_rows

_MAX_KEPT_CONFLICTS: Final = 5
"""Contradictions that are kept to be named."""


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """An item of which two runs say different things."""

    key: str
    run: Path
    """The run that was met second."""
    choice: VersionChoice
    is_with_target: bool
    """Whether the run that is written to said otherwise before; else another one that is merged."""


@dataclass(slots=True)
class MergeCounts:
    """What became of the items that were handed over."""

    added: int = 0
    updated: int = 0
    """Items that had come further than the run had them."""
    known: int = 0
    """Items that the run had already."""
    conflicts: int = 0
    named_conflicts: list[MergeConflict] = field(default_factory=list)
    """The first few of them."""


class MergeWriter:
    """Writes into an open database. `directory`: where its `outputs/` are."""

    def __init__(
        self,
        db: sqlite3.Connection,
        directory: Path,
        runs: Sequence[MergeInput],
        damages: DamageCollector,
    ) -> None:
        """`runs`: all that will be handed over. `damages`: where files are noted that are bad."""
        self.counts = MergeCounts()
        self._db, self._directory, self._damages = db, directory, damages
        (self._last_position,) = db.execute(sql_merge.SELECT_LAST_POSITION).fetchone()
        self._last_old_position, self._has_begun = self._last_position, False
        self._sessions = SessionNumbers(db, runs, damages)
        self._index_statements: Sequence[str] = ()
        self._earliest: tuple[float, int, int] | None = None
        """Start, position and number of the first of the attempts that were written."""

    @property
    def has_changed(self) -> bool:
        """Whether anything was written."""
        return self.counts.added + self.counts.updated > 0

    def write(self, rows: Iterable[RowOfRun]) -> None:
        """Write these items, if they are new or have come further."""
        text_factory = self._db.text_factory
        for batch in iter_batches(rows):
            again: Sequence[RowOfRun] = batch
            while again:
                distinct, again = split_by_first_key(again)
                self._db.text_factory = bytes
                try:
                    placed = [*self._iter_placed(distinct)]
                finally:
                    self._db.text_factory = text_factory
                if placed:
                    self._write_placed(placed)

    def finish(self) -> None:
        """Bring up to date what the run keeps of all its items, if anything was written."""
        for statement in self._index_statements:
            self._db.execute(statement)
        if not self.has_changed:
            return
        if self._earliest is not None:
            self._db.execute(sql_merge.MOVE_ATTEMPT_TO_THE_FRONT, self._earliest[1:])
        self._db.execute(sql_merge.DELETE_ITEM_COUNTS)
        self._db.execute(sql_merge.INSERT_ITEM_COUNTS)

    # Which rows are written -----------------------------------------------------------------------

    def _iter_placed(self, batch: Sequence[RowOfRun]) -> Iterator[PlacedRow]:
        known = self._find_known(batch)
        sent = read_sent([each for each in batch if each[1].key in known])
        for run, row in batch:
            if row.key not in known:
                self._last_position += 1
                self.counts.added += 1
                yield PlacedRow(self._last_position, run, row, is_new=True)
                continue
            position, version = known[row.key]
            digest = sent.get((run.directory, row.position))
            match choose_version(version, self._make_version(run.directory, row, digest)):
                case VersionChoice.EQUAL:
                    self.counts.known += 1
                case VersionChoice.FURTHER:
                    self.counts.updated += 1
                    yield PlacedRow(position, run, row, is_new=False)
                case choice:
                    is_with_target = position <= self._last_old_position
                    self._add_conflict(
                        MergeConflict(row.key.decode(), run.directory, choice, is_with_target)
                    )

    def _find_known(self, batch: Sequence[RowOfRun]) -> Mapping[bytes, tuple[int, ItemVersion]]:
        """Of these items those that the run has: where, and as what."""
        keys = encode_json([row.key.decode() for _, row in batch])
        known = {}
        for cells in self._db.execute(sql_merge.SELECT_KNOWN_VERSIONS, (keys,)):
            key, position, state, attempts, spared, files, params = cells[:7]
            result = self._digest_result(self._directory, *cells[7:10])
            known[key] = (
                position,
                ItemVersion(state, attempts, spared, files, params, result, cells[10]),
            )
        return known

    def _make_version(self, directory: Path, row: MergeRow, sent: bytes | None) -> ItemVersion:
        cells = row.cells
        result = self._digest_result(directory, cells[4], cells[3], cells[24])
        return ItemVersion(
            cells[2], cells[7], cells[28], cells[13], cells[14], result, sent if result else None
        )

    def _digest_result(
        self,
        directory: Path,
        media_type: bytes | None,
        prediction: bytes | None,
        file_checksum: int | None,
    ) -> tuple[bytes, bytes] | None:
        if media_type is None or prediction is None:
            return None
        if file_checksum is None and is_file_type(media_type):  # of an older version
            try:
                path = locate_output(directory, decode_json(decode_text(prediction)))
                file_checksum = checksum_file(path)
            except (OSError, ValueError, TypeError) as error:
                self._damages.add(f"{decode_text(prediction)} of {directory}", str(error))
        checksum = b"" if file_checksum is None else b"%d" % file_checksum
        if file_checksum is not None and is_file_type(media_type):
            return media_type, checksum
        return media_type, sha256(prediction, usedforsecurity=False).digest() + checksum

    def _add_conflict(self, conflict: MergeConflict) -> None:
        self.counts.conflicts += 1
        if len(self.counts.named_conflicts) < _MAX_KEPT_CONFLICTS:
            self.counts.named_conflicts.append(conflict)

    # Writing them ---------------------------------------------------------------------------------

    def _write_placed(self, placed: Sequence[PlacedRow]) -> None:
        """Write rows, new ones and such that take the place of others."""
        if not self._has_begun and not self._last_old_position:
            self._index_statements = _drop_indexes(self._db)
        self._has_begun = True
        self._sessions.add_all()
        files = [self._transfer_file(each) if each.row.has_file else None for each in placed]
        self._write_items(placed)
        attempts, predictions = [], []
        for each, file in zip(placed, files, strict=True):
            row = each.row
            prediction = make_prediction_cells(each.position, row, file)
            if row.has_attempt:
                session = self._sessions.find(each.run, row.cells[21])
                attempts.append(make_attempt_cells(each.position, row, session, prediction))
            if prediction is not None:
                predictions.append(prediction)
        self._write_attempts(attempts)
        write_rows(
            self._db,
            sql_merge.INSERT_MERGED_PREDICTIONS,
            predictions,
            sql_merge.MERGED_PREDICTION_LONG_CELLS,
        )
        for run, rows in group_by_run(placed):
            self._write_further_rows(run, rows)

    def _write_items(self, placed: Sequence[PlacedRow]) -> None:
        new = [make_item_cells(each.position, each.row) for each in placed if each.is_new]
        replaced = [make_item_cells(each.position, each.row) for each in placed if not each.is_new]
        for statement in sql_merge.DELETE_ROWS_OF_ITEM if replaced else ():
            self._db.executemany(statement, [each[:1] for each in replaced])
        long_cells = sql_merge.MERGED_ITEM_LONG_CELLS
        write_rows(self._db, sql_merge.REPLACE_MERGED_ITEMS, replaced, long_cells)
        write_rows(self._db, sql_merge.INSERT_MERGED_ITEMS, new, long_cells)

    def _write_further_rows(self, run: MergeInput, placed: Sequence[PlacedRow]) -> None:
        """What is not in the rows themselves: earlier attempts, sent files, objects."""
        positions = {each.row.position: each.position for each in placed}
        shown = {each.row.position: each.row.cells[17] for each in placed}
        tried = [each.row.position for each in placed if each.row.cells[7] or each.row.cells[30]]
        tried_again = [each.row.position for each in placed if each.row.cells[7] > 1]
        attempts = [
            move_attempt(positions[cells[0]], cells, self._sessions.find(run, cells[9]))
            for cells in run.iter_attempts(tried_again)
            if cells[1] != shown[cells[0]]
        ]
        self._write_attempts(attempts)
        write_rows(
            self._db,
            sql_merge.INSERT_MERGED_INPUTS,
            (move_input(positions[cells[0]], cells) for cells in run.iter_inputs(tried)),
        )
        reused = [each.row.position for each in placed if each.row.cells[25] is not None]
        write_rows(
            self._db,
            sql_merge.INSERT_MERGED_REUSED,
            (move_reused(positions[cells[0]], cells) for cells in run.iter_reused(reused)),
        )
        if run.info.mode.uses_bucket:
            write_rows(
                self._db,
                sql_merge.INSERT_MERGED_SUBMISSIONS,
                (
                    (positions[cells[0]], *cells[1:3], self._sessions.find(run, cells[3]), cells[4])
                    for cells in run.iter_submissions(tried)
                ),
            )

    def _transfer_file(self, placed: PlacedRow) -> str | None:
        """Bring the file that a prediction names, or has beside it; its name in this run."""
        row, cells = placed.row, placed.row.cells
        if row.has_archive:
            name = make_archive_name(row.position, cells[16])
            target = make_archive_name(placed.position, cells[16])
        else:
            name = decode_text(cells[3])
            target = make_output_name(placed.position, cells[16], cells[4].decode())
        try:
            name = name if row.has_archive else decode_json(name)
            (self._directory / OUTPUTS_DIR).mkdir(exist_ok=True)
            transfer_output(
                locate_output(placed.run.directory, name), self._directory / target, cells[24]
            )
        except FileNotFoundError:
            self._damages.add(f"{name} of {placed.run.directory}", "it is not there")
        except (ValueError, TypeError) as error:
            self._damages.add(f"{name} of {placed.run.directory}", str(error))
        return target

    def _write_attempts(self, attempts: Sequence[Sequence[Any]]) -> None:
        write_rows(
            self._db,
            sql_merge.INSERT_MERGED_ATTEMPTS,
            attempts,
            sql_merge.MERGED_ATTEMPT_LONG_CELLS,
        )
        for position, number, started_at, *_ in attempts:
            if self._earliest is None or started_at < self._earliest[0]:
                self._earliest = started_at, position, number


def _drop_indexes(db: sqlite3.Connection) -> Sequence[str]:
    """Drop the indexes that are no constraints; the statements that make them again.

    To sort all entries once is far faster than to put each one where it belongs.
    """
    rows = db.execute(sql_merge.SELECT_INDEXES).fetchall()
    for name, _ in rows:
        db.execute(f"DROP INDEX {name}")
    return [statement for _, statement in rows]
