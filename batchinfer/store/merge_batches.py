"""Items of several runs, some at a time: as many as are looked up, and written, together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from batchinfer.store.merge_input import MergeInput
from batchinfer.store.merge_rows import MergeRow

_BATCH_ROWS: Final = 1_000
_BATCH_BYTES: Final = 4 * 2**20
"""Rows, and about bytes of them, that are written together."""

RowOfRun: TypeAlias = tuple[MergeInput, MergeRow]
"""An item, and the run that has it."""


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A row that is written, and where."""

    position: int
    run: MergeInput
    row: MergeRow
    is_new: bool
    """False: it takes the place of the row that is there."""


def iter_batches(
    rows: Iterable[RowOfRun],
) -> Iterator[list[RowOfRun]]:
    """The rows in batches of bounded size."""
    batch: list[RowOfRun] = []
    size = 0
    for each in rows:
        batch.append(each)
        size += each[1].size
        if len(batch) >= _BATCH_ROWS or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def split_by_first_key(
    batch: Sequence[RowOfRun],
) -> tuple[Sequence[RowOfRun], Sequence[RowOfRun]]:
    """The first row of each key, and all others."""
    first = {row.key: index for index, (_, row) in reversed([*enumerate(batch)])}
    if len(first) == len(batch):
        return batch, ()
    chosen = set(first.values())
    return (
        [each for index, each in enumerate(batch) if index in chosen],
        [each for index, each in enumerate(batch) if index not in chosen],
    )


def read_sent(
    batch: Sequence[RowOfRun],
) -> Mapping[tuple[Path, int], bytes]:
    """What was sent with the attempt that is shown, as `SELECT_KNOWN_VERSIONS` writes it."""
    sent: dict[tuple[Path, int], bytes] = {}
    for run in {run.directory: run for run, _ in batch}.values():
        shown = {row.position: row.cells[17] for other, row in batch if other is run}
        for position, number, param, size, digest, _ in run.iter_inputs(shown):
            if number == shown[position]:
                text = b"%s:%d:%s" % (param, size, digest)
                before = sent.get((run.directory, position))
                sent[run.directory, position] = text if before is None else before + b" " + text
    return sent


def group_by_run(
    placed: Sequence[PlacedRow],
) -> Iterator[tuple[MergeInput, Sequence[PlacedRow]]]:
    """Each run with its rows, in their order."""
    runs = {each.run.directory: each.run for each in placed}
    for run in runs.values():
        yield run, [each for each in placed if each.run is run]
