"""How many items are in each state, and have failed by code: kept, so that nobody counts a million.

Rule: whoever writes an item's state writes the counts in the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from batchinfer.domain import Counts, Failure, Outcome, State, Submitted
from batchinfer.store import sql_read, sql_write
from batchinfer.store.row_mapping import write_rows


class CountChanges:
    """What a transaction changes in the counts."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str], tuple[int, int | None]] = {}
        """Added items, and of failures the lowest position, by state and code."""

    def add(self, state: State, items: int) -> None:
        """So many more items are in `state`, which is not `failed`."""
        if items:
            before, _ = self._changes.get((state.value, ""), (0, None))
            self._changes[state.value, ""] = before + items, None

    def add_outcome(self, position: int, state: State, outcome: Outcome | Submitted) -> None:
        """One more item is in `state`, by this outcome."""
        if state is not State.FAILED:
            self.add(state, 1)
            return
        code = outcome.code if isinstance(outcome, Failure) else ""
        before, first = self._changes.get((state.value, code), (0, None))
        first = position if first is None else min(first, position)
        self._changes[state.value, code] = before + 1, first

    def write(self, db: sqlite3.Connection) -> None:
        """Write it, within the transaction."""
        rows = [(*key, *change) for key, change in self._changes.items() if change[0]]
        write_rows(db, sql_write.ADD_TO_ITEM_COUNTS, rows)


def recount_failures(db: sqlite3.Connection) -> None:
    """Count what has failed anew, within the transaction that put some of it back."""
    db.execute(sql_write.DELETE_FAILURE_COUNTS)
    db.execute(sql_write.INSERT_FAILURE_COUNTS)


def fetch_counts(db: sqlite3.Connection) -> Counts:
    """Items by state."""
    return Counts(**dict(db.execute(sql_read.COUNT_ITEMS_BY_STATE).fetchall()))


def fetch_failure_counts(db: sqlite3.Connection) -> Mapping[str, int]:
    """How many items have failed, by code, most frequent first."""
    rows: Iterable[tuple[bytes, int]] = db.execute(sql_read.COUNT_FAILURE_CODES)
    return {str(code, "utf-8", "surrogateescape"): count for code, count in rows}


def list_wrong_counts(db: sqlite3.Connection) -> list[str]:
    """What is counted wrongly, in words: the counts kept, compared with the items."""
    kept = {row for row in db.execute(sql_read.SELECT_KEPT_ITEM_COUNTS) if row[2]}
    counted = {row for row in db.execute(sql_read.SELECT_ITEM_COUNTS) if row[2]}
    return [
        f"{items} items are counted as {state} {code}".rstrip()
        for state, code, items, _ in sorted(kept - counted, key=repr)
    ]
