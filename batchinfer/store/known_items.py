"""Items of a run whose input has come again: looked up, and put back to be sent anew."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from batchinfer.domain import Item, State
from batchinfer.ports import KnownItem, PutBack
from batchinfer.store import checksums, sql_write, transitions
from batchinfer.store.database import transaction
from batchinfer.store.item_counts import CountChanges, recount_failures
from batchinfer.store.json_codec import decode_files, encode_json, escape_non_utf8
from batchinfer.store.row_mapping import (
    fetch_json_rows,
    item_to_row,
    read_statuses,
    row_to_item,
    write_rows,
    write_statuses,
)
from batchinfer.store.sql_read import COUNT_REUSED, ITEM_JSON

SELECT_KNOWN_ITEMS: Final = """
SELECT json_group_array(json_array(
    items.key, items.position, items.state, items.attempts, items.files, attempts.code
))
FROM json_each(?) AS asked CROSS JOIN items ON items.key = asked.value
LEFT JOIN attempts ON attempts.position = items.position AND attempts.number = items.attempts
"""
SELECT_REPLY_ATTEMPTS: Final = """
SELECT attempts.position, attempts.number, started_at, seconds, code, message, kind, retry_after,
    server_seconds, session, attempts.params
FROM json_each(?) AS asked CROSS JOIN predictions ON predictions.position = asked.value
CROSS JOIN attempts
    ON attempts.position = predictions.position AND attempts.number = predictions.attempt
WHERE attempts.checksum IS NOT NULL
"""
SELECT_REUSED_PAGE: Final = f"""
SELECT json_group_array({ITEM_JSON}) FROM (
    SELECT items.* FROM reused CROSS JOIN items ON items.position = reused.position
    CROSS JOIN predictions
        ON predictions.position = reused.position AND predictions.attempt = reused.number
    WHERE :key IS NULL OR items.key = :key
    ORDER BY reused.position LIMIT :limit
) AS items
"""  # noqa: S608 - put together from constants
UPDATE_ATTEMPT_CHECKSUM: Final = """
UPDATE attempts SET checksum = ? WHERE position = ? AND number = ?
"""
DELETE_RESULT_ROWS: Final = tuple(
    f"DELETE FROM {table} WHERE position IN (SELECT value FROM json_each(?))"  # noqa: S608 - names
    for table in ("predictions", "submissions")
)
"""A submission of before must not bring its output now: that is of the earlier content."""
_REUSED_PAGE_ROWS: Final = 1_000


def find_known(db: sqlite3.Connection, keys: Sequence[str]) -> Mapping[str, KnownItem]:
    """Those of these keys that are in the run."""
    if not keys:
        return {}
    rows = fetch_json_rows(
        db, SELECT_KNOWN_ITEMS, (encode_json([escape_non_utf8(key) for key in keys]),)
    )
    return {
        key: KnownItem(position, State(state), attempts, decode_files(files), code)
        for key, position, state, attempts, files, code in rows
    }


def put_back_items(db: sqlite3.Connection, items: Sequence[Item]) -> PutBack:
    """Put finished items back to pending, with these files. See `ports.WorkQueue.put_back`."""
    with transaction(db):
        known = find_known(db, [item.key for item in items])
        placed = [
            replace(item, position=known[item.key].position)
            for item in items
            if item.key in known and known[item.key].state in transitions.FINAL_STATES
        ]
        _write_files(db, placed)
        return _reset(db, [(item.position, known[item.key]) for item in placed])


def put_back_reused(db: sqlite3.Connection, key: str | None = None) -> int:
    """Put back all items whose result was taken over from an earlier run, or one; how many.

    Size and time of their files are taken as they are now.
    """
    count = 0
    with transaction(db):
        while rows := fetch_json_rows(
            db, SELECT_REUSED_PAGE, {"key": key, "limit": _REUSED_PAGE_ROWS}
        ):
            items = [row_to_item(row) for row in rows]
            current = [replace(item, files=transitions.restat_files(item.files)) for item in items]
            _write_files(db, current)
            known = find_known(db, [item.key for item in items])
            _reset(db, [(item.position, known[item.key]) for item in items])
            count += len(items)
    return count


def count_reused(db: sqlite3.Connection) -> int:
    """How many results were taken over from earlier runs."""
    (count,) = db.execute(COUNT_REUSED).fetchone()
    return int(count)


def _write_files(db: sqlite3.Connection, items: Sequence[Item]) -> None:
    write_rows(
        db,
        sql_write.UPDATE_ITEM_SOURCES,
        (item_to_row(item, item.position) for item in items),
        sql_write.ITEM_LONG_CELLS,
    )


def _reset(db: sqlite3.Connection, finished: Iterable[tuple[int, KnownItem]]) -> PutBack:
    """Make these items pending, and their results none, within a transaction."""
    known = dict(finished)
    positions = list(known)
    statuses = read_statuses(db, positions)
    write_statuses(
        db,
        {
            position: replace(transitions.reset_for_retry(status), submitted_attempt=0)
            for position, status in statuses.items()
        },
        positions,
    )
    asked = encode_json(positions)
    _forget_predictions(db, asked, {place: status.attempts for place, status in statuses.items()})
    failed = Counter(item.code or "" for item in known.values() if item.state is State.FAILED)
    succeeded = len(positions) - failed.total()
    counts = CountChanges()
    counts.add(State.PENDING, len(positions))
    counts.add(State.SUCCEEDED, -succeeded)
    counts.write(db)
    if failed:
        recount_failures(db)
    return PutBack(succeeded, failed)


def _forget_predictions(db: sqlite3.Connection, asked: str, attempts: Mapping[int, int]) -> None:
    """Delete the predictions; the attempts that brought them stay, and are intact without them."""
    rows: list[tuple[Any, ...]] = db.execute(SELECT_REPLY_ATTEMPTS, (asked,)).fetchall()
    db.executemany(
        UPDATE_ATTEMPT_CHECKSUM,
        [(checksums.checksum_attempt(row, None, attempts[row[0]]), *row[:2]) for row in rows],
    )
    for statement in DELETE_RESULT_ROWS:
        db.execute(statement, (asked,))
