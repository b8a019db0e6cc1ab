"""The items of two runs, joined by their keys: two ordered cursors, one item of each in memory."""

from __future__ import annotations

from collections.abc import Iterator

from batchinfer.comparison.item_differences import ItemPair
from batchinfer.domain import ResultDetails
from batchinfer.store.run_reader import RunReader


def iter_item_pairs(first: RunReader, second: RunReader) -> Iterator[ItemPair]:
    """Every key of either run, in the order of the keys, byte by byte.

    An item that is damaged in one of them is known by its key; what is missing is noted by the
    readers.
    """
    rows, other_rows = first.iter_details_by_key(), second.iter_details_by_key()
    row, other = next(rows, None), next(other_rows, None)
    while row is not None or other is not None:
        if other is None or (row is not None and row[0] < other[0]):
            yield _make_pair(row, None)
            row = next(rows, None)
        elif row is None or other[0] < row[0]:
            yield _make_pair(None, other)
            other = next(other_rows, None)
        else:
            yield _make_pair(row, other)
            row, other = next(rows, None), next(other_rows, None)


_KeyedRow = tuple[bytes, ResultDetails | None]


def _make_pair(row: _KeyedRow | None, other: _KeyedRow | None) -> ItemPair:
    key = next(each[0] for each in (row, other) if each is not None)
    return ItemPair(
        key.decode("utf-8", "surrogateescape"),
        None if row is None else row[1],
        None if other is None else other[1],
        is_damaged=any(each is not None and each[1] is None for each in (row, other)),
    )
