"""Items of the queue: added from the source, pending, without an outcome, failed and put back."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import replace
from typing import Final

from batchinfer.domain import Item, OpenItem, State
from batchinfer.errors import SourceError
from batchinfer.ports import AddResult
from batchinfer.store import sql_read, sql_write, transitions
from batchinfer.store.database import transaction
from batchinfer.store.item_counts import CountChanges, recount_failures
from batchinfer.store.json_codec import encode_json, parse_rows
from batchinfer.store.row_mapping import (
    fetch_json_rows,
    item_to_row,
    read_statuses,
    row_to_item,
    row_to_open_item,
    write_rows,
    write_statuses,
)
from batchinfer.store.sessions import RunSession, record_activity

_REQUEUE_PAGE_ROWS: Final = 1_000
_DOUBLED_BACKSLASHES: Final = re.compile(r"\\{2,}(?=x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2})")
"""Backslashes of a name before what a byte is spelled as; older versions did not double them."""


def add_items(
    db: sqlite3.Connection,
    items: Sequence[Item],
    maybe_in_flight: Container[int] = (),
    session: RunSession | None = None,
) -> AddResult:
    """Add a page, in order. Raises SourceError."""
    try:
        return _add_in_transaction(db, items, maybe_in_flight, session)
    except RecursionError:
        raise SourceError(_nesting_error_message(items)) from None
    except sqlite3.DataError:  # what is known of them is more than one text can hold
        if len(items) == 1:
            raise
    half = len(items) // 2
    first = add_items(db, items[:half], maybe_in_flight, session)
    second = add_items(db, items[half:], maybe_in_flight, session)
    return AddResult(
        first.new_count + second.new_count,
        first.changed_file_keys + second.changed_file_keys,
        first.changed_param_keys + second.changed_param_keys,
        first.known_positions + second.known_positions,
    )


def _nesting_error_message(items: Sequence[Item]) -> str:
    for item in items:
        try:
            encode_json(item.params)
        except RecursionError:
            return (
                f"The parameters of {item.key!r} are nested too deeply to be stored; give them as "
                "a JSON text in one parameter."
            )
    return "Parameters are nested too deeply to be stored."


def _add_in_transaction(
    db: sqlite3.Connection,
    items: Sequence[Item],
    maybe_in_flight: Container[int],
    session: RunSession | None,
) -> AddResult:
    with transaction(db):
        items = _keep_legacy_keys(db, items)
        keys = encode_json([item.key for item in items])
        known_rows, last_position = db.execute(sql_write.SELECT_ITEMS_BY_KEY, (keys,)).fetchone()
        known_items = {row[1]: (row_to_item(row), State(row[6])) for row in parse_rows(known_rows)}
        merged = transitions.merge_page(items, known_items, maybe_in_flight)
        new = (
            item_to_row(item, position)
            for position, item in enumerate(merged.new, last_position + 1)
        )
        write_rows(db, sql_write.INSERT_ITEMS, new, sql_write.ITEM_LONG_CELLS)
        write_rows(
            db,
            sql_write.UPDATE_ITEM_SOURCES,
            (item_to_row(item, item.position) for item in merged.updated),
            sql_write.ITEM_LONG_CELLS,
        )
        counts = CountChanges()
        counts.add(State.PENDING, len(merged.new))
        counts.write(db)
        record_activity(db, session)
    known_positions = tuple(sorted(item.position for item, _ in known_items.values()))
    return AddResult(
        len(merged.new), merged.changed_file_keys, merged.changed_param_keys, known_positions
    )


def _keep_legacy_keys(db: sqlite3.Connection, items: Sequence[Item]) -> Sequence[Item]:
    r"""The items; one that an older version added under a key that spells no backslash keeps it."""
    legacy_keys = {
        item.key: _DOUBLED_BACKSLASHES.sub(_halve_backslashes, item.key)
        for item in items
        if "\\\\" in item.key
    }
    if not legacy_keys:
        return items
    (known_rows, _) = db.execute(
        sql_write.SELECT_ITEMS_BY_KEY, (encode_json(list(legacy_keys.values())),)
    ).fetchone()
    known_files = {found.key: found.files[:1] for found in map(row_to_item, parse_rows(known_rows))}

    def with_legacy_key(item: Item) -> Item:
        key = legacy_keys.get(item.key, item.key)
        known_file = known_files.get(key)
        same_path = known_file and item.files and known_file[0].path == item.files[0].path
        return replace(item, key=key) if same_path else item

    return [with_legacy_key(item) for item in items]


def _halve_backslashes(match: re.Match[str]) -> str:
    return match[0][len(match[0]) // 2 :]


def fetch_pending(db: sqlite3.Connection, after: int, limit: int, due_by: float) -> Sequence[Item]:
    """Pending items that are due, a page of them."""
    page = {"after": after, "due": due_by, "limit": limit}
    (text,) = db.execute(sql_read.SELECT_PENDING, page).fetchone()
    if text is None:
        (text,) = db.execute(sql_read.SELECT_BOUNDED_PENDING, page).fetchone()
    return [row_to_item(row) for row in parse_rows(text)]


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
                break
            refreshed = [
                replace(item, files=transitions.restat_files(item.files)) for item in items
            ]
            write_rows(
                db,
                sql_write.UPDATE_ITEM_SOURCES,
                (item_to_row(item, item.position) for item in refreshed),
                sql_write.ITEM_LONG_CELLS,
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
        counts = CountChanges()
        counts.add(State.PENDING, count)
        counts.write(db)
        recount_failures(db)
    return count


def clamp_future_times(db: sqlite3.Connection, now: float) -> None:
    """Bring submissions and retries that lie in the future back to `now`."""
    with transaction(db):
        db.execute(sql_write.CLAMP_FUTURE_SUBMISSIONS, {"now": now})
        db.execute(sql_write.CLAMP_FUTURE_RETRIES, {"now": now})
