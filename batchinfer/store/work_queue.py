"""What is yet to be done: pending items, items without an outcome; and failed ones put back."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from batchinfer.domain import Counts, Item, OpenItem
from batchinfer.store import sql_read, sql_write, transitions
from batchinfer.store.database import transaction
from batchinfer.store.json_codec import encode_json
from batchinfer.store.row_mapping import (
    fetch_json_rows,
    item_to_row,
    read_statuses,
    row_to_item,
    row_to_open_item,
    write_rows,
    write_statuses,
)

_REQUEUE_PAGE_ROWS: Final = 1_000


def fetch_pending(db: sqlite3.Connection, after: int, limit: int, due_by: float) -> Sequence[Item]:
    """Pending items that are due, a page of them."""
    return [
        row_to_item(row)
        for row in fetch_json_rows(db, sql_read.SELECT_PENDING, (after, due_by, limit))
    ]


def fetch_next_retry_at(db: sqlite3.Connection, after: float) -> float | None:
    """When the next item is due that backs off beyond `after`."""
    due: float | None = db.execute(sql_read.SELECT_NEXT_DUE, (after,)).fetchone()[0]
    return due


def fetch_open(db: sqlite3.Connection, positions: Collection[int]) -> Mapping[int, OpenItem]:
    """Those of `positions` without a final outcome."""
    open_rows = fetch_json_rows(
        db, sql_read.SELECT_UNFINISHED, (encode_json(list(set(positions))),)
    )
    return {row[0]: row_to_open_item(row) for row in open_rows}


def fetch_submissions(db: sqlite3.Connection, positions: Collection[int]) -> Mapping[int, OpenItem]:
    """The same of all of `positions`, whatever their state."""
    open_rows = fetch_json_rows(
        db, sql_read.SELECT_SUBMISSIONS, (encode_json(list(set(positions))),)
    )
    return {row[0]: row_to_open_item(row) for row in open_rows}


def fetch_lowest_open_position(db: sqlite3.Connection) -> int | None:
    """Where outputs may still turn up, at the lowest."""
    position: int | None = db.execute(sql_read.SELECT_LOWEST_UNFINISHED).fetchone()[0]
    return position


def fetch_overdue(
    db: sqlite3.Connection, submitted_before: float, limit: int
) -> Sequence[OpenItem]:
    """Items submitted too long ago, oldest first."""
    return [
        row_to_open_item(row)
        for row in fetch_json_rows(db, sql_read.SELECT_OVERDUE, (submitted_before, limit))
    ]


def fetch_counts(db: sqlite3.Connection) -> Counts:
    """Items by state: positions have no gaps, so that those that succeeded need no counting."""
    pending, submitted, failed, total = db.execute(sql_read.COUNT_ITEMS_BY_STATE).fetchone()
    return Counts(pending, submitted, total - pending - submitted - failed, failed)


def fetch_failure_counts(db: sqlite3.Connection) -> Mapping[str, int]:
    """How many items have failed, by code, most frequent first."""
    rows = db.execute(sql_read.COUNT_FAILURE_CODES)
    return {str(code or b"", "utf-8", "surrogateescape"): count for code, count in rows}


def requeue_failed(db: sqlite3.Connection, code: str | None, key: str | None) -> int:
    """Put failed items back to pending; how many."""
    count = after = 0
    with transaction(db):
        while True:
            parameters = {"after": after, "code": code, "key": key, "limit": _REQUEUE_PAGE_ROWS}
            items = [
                row_to_item(row)
                for row in fetch_json_rows(db, sql_write.SELECT_FAILED_PAGE, parameters)
            ]
            if not items:
                return count
            refreshed = [
                replace(item, files=transitions.restat_files(item.files)) for item in items
            ]
            write_rows(
                db,
                sql_write.UPDATE_ITEM_SOURCES,
                (item_to_row(item, item.position) for item in refreshed),
            )
            positions = [item.position for item in items]
            statuses = read_statuses(db, positions)
            write_statuses(
                db,
                {place: transitions.reset_for_retry(status) for place, status in statuses.items()},
                positions,
            )
            count += len(items)
            after = positions[-1]


def clamp_future_times(db: sqlite3.Connection, now: float) -> None:
    """Bring submissions and retries that lie in the future back to `now`."""
    with transaction(db):
        db.execute(sql_write.CLAMP_FUTURE_SUBMISSIONS, {"now": now})
        db.execute(sql_write.CLAMP_FUTURE_RETRIES, {"now": now})
