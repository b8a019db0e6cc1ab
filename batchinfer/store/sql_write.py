"""The statements that write, and those that read what is about to be changed.

A batch is written in place of `{rows}` (see `fill_rows`), and read by a `?` that is a JSON array.
`sql_read.py` says what `INDEXED BY` and `CROSS JOIN` are for.
"""
# ruff: noqa: S608 - put together from constants only

from __future__ import annotations

from functools import cache
from typing import Final

from batchinfer.store.sql_read import (
    BOUNDED_PAGE_TEMPLATE,
    ITEM_JSON,
    SELECT_FAILURE_COUNTS,
    STATUS_JSON,
)


@cache
def fill_rows(statement: str, rows: int, cells: int) -> str:
    """The statement for so many rows of so many cells, each a `?`."""
    row = f"({', '.join(['?'] * cells)})"
    return statement.format(rows=", ".join([row] * rows))


ITEM_LONG_CELLS: Final = (1, 2, 3, 4)
ATTEMPT_LONG_CELLS: Final = (5, 8, 11)
PREDICTION_LONG_CELLS: Final = (3,)
SUBMISSION_LONG_CELLS: Final = (4,)
"""Cells of rows to write whose text may be long."""

# Adding -------------------------------------------------------------------------------------------

SELECT_ITEMS_BY_KEY = f"""
SELECT json_group_array({ITEM_JSON}), (SELECT coalesce(max(position), 0) FROM items)
FROM json_each(?) AS asked CROSS JOIN items ON items.key = asked.value
"""
INSERT_ITEMS = "INSERT INTO items (position, key, path, files, params, checksum) VALUES {rows}"
UPDATE_ITEM_SOURCES = """
UPDATE items SET path = column3, files = column4, params = column5, checksum = column6
FROM (VALUES {rows}) AS asked WHERE items.position = column1
"""

# The run ------------------------------------------------------------------------------------------

UPDATE_SOURCE_READ = "UPDATE run SET source_read = 1"
UPDATE_MODEL_HELP = "UPDATE run SET help = ?"
SELECT_RUN = "SELECT id, created_at, mode, config, sources, help FROM run"
UPDATE_RUN_CHECKSUM = "UPDATE run SET checksum = ?"
UPDATE_ITEM_FILES = "UPDATE items SET path = ?, files = ?, checksum = ? WHERE position = ?"
INSERT_LIMIT_CHANGES = "INSERT INTO adjustments VALUES {rows}"

# Recording ----------------------------------------------------------------------------------------

SELECT_STATUSES = f"""
SELECT json_group_array({STATUS_JSON})
FROM json_each(?) AS asked CROSS JOIN items ON items.position = asked.value
"""
UPDATE_STATUSES = """
UPDATE items SET state = column2, attempts = column3, spared = column4, retry_at = column5,
    in_bucket = column6, submitted_at = column7, finished_at = column8
FROM (VALUES {rows}) AS asked WHERE items.position = column1
"""
MARK_SUCCEEDED = """
UPDATE items SET state = 'succeeded', attempts = column2, retry_at = NULL, finished_at = column3
FROM (VALUES {rows}) AS asked
WHERE items.position = column1 AND items.attempts < column2 AND items.state = column4
"""
INSERT_ATTEMPTS = """
INSERT OR REPLACE INTO attempts (position, number, started_at, seconds, code, message, kind,
    retry_after, log, server_seconds, session, params, checksum, log_checksum, service)
VALUES {rows}
"""
INSERT_PREDICTIONS = """
INSERT INTO predictions (position, attempt, media_type, prediction, file_checksum) VALUES {rows}
"""
INSERT_INPUTS = """
INSERT OR REPLACE INTO inputs (position, number, param, size, sha256, checksum) VALUES {rows}
"""
INSERT_REUSED = """
INSERT OR REPLACE INTO reused (position, number, run, run_id, key, checksum) VALUES {rows}
"""
INSERT_SUBMISSIONS = """
INSERT OR REPLACE INTO submissions (position, number, object, session, params) VALUES {rows}
"""
SELECT_SUBMISSION_PARAMS = """
SELECT json_group_array(json_array(position, number, session, params))
FROM json_each(?) AS asked CROSS JOIN submissions
    ON position = json_extract(asked.value, '$[0]') AND number = json_extract(asked.value, '$[1]')
"""
SELECT_ITEM_PARAMS = """
SELECT json_group_array(json_array(items.position, items.params))
FROM json_each(?) AS asked CROSS JOIN items ON items.position = asked.value
"""

ADD_TO_ITEM_COUNTS = """
INSERT INTO item_counts VALUES {rows} ON CONFLICT (state, code) DO UPDATE SET
    items = items + excluded.items, first_position = min(first_position, excluded.first_position)
"""
DELETE_FAILURE_COUNTS = "DELETE FROM item_counts WHERE state = 'failed'"
INSERT_FAILURE_COUNTS = f"INSERT INTO item_counts {SELECT_FAILURE_COUNTS}"

CLAMP_FUTURE_SUBMISSIONS = """
UPDATE items INDEXED BY items_submitted SET submitted_at = :now
WHERE state = 'submitted' AND submitted_at > :now
"""
CLAMP_FUTURE_RETRIES = """
UPDATE items SET retry_at = :now WHERE position IN (
    SELECT items.position FROM items INDEXED BY items_due
    CROSS JOIN attempts ON attempts.position = items.position AND attempts.number = items.attempts
    WHERE items.retry_at > :now AND attempts.started_at > :now
)
"""

# Sessions -----------------------------------------------------------------------------------------

INSERT_SESSION = """
INSERT INTO sessions (number, version, started_at, active_until, params, checksum)
VALUES (:number, :version, :at, :at, :params, :checksum)
"""
UPDATE_SESSION_SEALED = "UPDATE sessions SET sealed = 1 WHERE number = ?"
UPDATE_SESSION_ACTIVITY = "UPDATE sessions SET active_until = ? WHERE number = ?"

# Putting back -------------------------------------------------------------------------------------

SELECT_FAILED_PAGE = f"""
SELECT json_group_array({ITEM_JSON}) FROM ({
    BOUNDED_PAGE_TEMPLATE.format('''
    SELECT items.* FROM items INDEXED BY items_failed
    JOIN attempts ON attempts.position = items.position AND attempts.number = items.attempts
    WHERE items.state = 'failed' AND items.position > :after
        AND (:code IS NULL OR attempts.code = :code) AND (:key IS NULL OR items.key = :key)
    ORDER BY items.position LIMIT :limit''')
}
) AS items
"""
