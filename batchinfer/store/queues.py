"""What is yet to be done: pending items, items without an outcome; and failed ones put back."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from batchinfer.domain import Counts, Item, Open
from batchinfer.store import read_sql, rules, write_sql
from batchinfer.store.codec import encode
from batchinfer.store.database import transaction
from batchinfer.store.table_rows import (
    as_item,
    as_open,
    item_row,
    read_lives,
    read_page,
    write_lives,
    write_rows,
)

_PAGE: Final = 1_000


def pending(db: sqlite3.Connection, after: int, limit: int, due: float) -> Sequence[Item]:
    """Pending items that are due, a page of them."""
    return [as_item(row) for row in read_page(db, read_sql.PENDING, (after, due, limit))]


def next_due(db: sqlite3.Connection, after: float) -> float | None:
    """When the next item is due that backs off beyond `after`."""
    due: float | None = db.execute(read_sql.NEXT_DUE, (after,)).fetchone()[0]
    return due


def unfinished(db: sqlite3.Connection, positions: Collection[int]) -> Mapping[int, Open]:
    """Those of `positions` without a final outcome."""
    found = read_page(db, read_sql.UNFINISHED, (encode(list(set(positions))),))
    return {row[0]: as_open(row) for row in found}


def submissions(db: sqlite3.Connection, positions: Collection[int]) -> Mapping[int, Open]:
    """The same of all of `positions`, whatever their state."""
    found = read_page(db, read_sql.SUBMITTED_AT, (encode(list(set(positions))),))
    return {row[0]: as_open(row) for row in found}


def lowest_unfinished(db: sqlite3.Connection) -> int | None:
    """Where outputs may still turn up, at the lowest."""
    position: int | None = db.execute(read_sql.LOWEST_UNFINISHED).fetchone()[0]
    return position


def overdue(db: sqlite3.Connection, submitted_before: float, limit: int) -> Sequence[Open]:
    """Items submitted too long ago, oldest first."""
    return [as_open(row) for row in read_page(db, read_sql.OVERDUE, (submitted_before, limit))]


def counts(db: sqlite3.Connection) -> Counts:
    """Items by state: positions have no gaps, so that those that succeeded need no counting."""
    waiting, submitted, failed, total = db.execute(read_sql.COUNTS).fetchone()
    return Counts(waiting, submitted, total - waiting - submitted - failed, failed)


def requeue(db: sqlite3.Connection, code: str | None, key: str | None) -> int:
    """Put failed items back to pending; how many."""
    count = after = 0
    with transaction(db):
        while True:
            asked = {"after": after, "code": code, "key": key, "limit": _PAGE}
            found = [as_item(row) for row in read_page(db, write_sql.FAILED, asked)]
            if not found:
                return count
            now = [replace(item, files=rules.as_now(item.files)) for item in found]
            write_rows(db, write_sql.RENEW, (item_row(item, item.position) for item in now))
            positions = [item.position for item in found]
            lives = read_lives(db, positions)
            write_lives(db, {place: rules.revive(life) for place, life in lives.items()}, positions)
            count += len(found)
            after = positions[-1]


def forget_future(db: sqlite3.Connection, now: float) -> None:
    """Bring submissions and retries that lie in the future back to `now`."""
    with transaction(db):
        db.execute(write_sql.SUBMITTED_BY_NOW, {"now": now})
        db.execute(write_sql.DUE_BY_NOW, {"now": now})
