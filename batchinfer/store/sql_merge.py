"""The statements that copy the rows of one run into another.

Text is read and written as the bytes that are stored: `CAST` makes them text again. A `?` of
`json_each` is a JSON array, `{rows}` a batch (`sql_write.fill_rows`).
"""

from __future__ import annotations

from typing import Final

from batchinfer.store.sql_read import SELECT_ITEM_COUNTS

# The run that is read -----------------------------------------------------------------------------

SELECT_ATTEMPTS_AT: Final = """
SELECT attempts.position, attempts.number, started_at, seconds, code, message, kind, retry_after,
    server_seconds, attempts.session, attempts.params, attempts.checksum, log,
    attempts.log_checksum, attempts.service
FROM json_each(?) AS asked CROSS JOIN attempts ON attempts.position = asked.value
ORDER BY attempts.position, attempts.number
"""
SELECT_INPUTS_AT: Final = """
SELECT inputs.position, number, param, size, sha256, inputs.checksum
FROM json_each(?) AS asked CROSS JOIN inputs ON inputs.position = asked.value
"""
SELECT_SUBMISSIONS_AT: Final = """
SELECT submissions.position, number, object, session, params
FROM json_each(?) AS asked CROSS JOIN submissions ON submissions.position = asked.value
"""

SELECT_REUSED_AT: Final = """
SELECT reused.position, number, run, run_id, reused.key
FROM json_each(?) AS asked CROSS JOIN reused ON reused.position = asked.value
"""

# The run that is written --------------------------------------------------------------------------

SELECT_KNOWN_VERSIONS: Final = """
SELECT items.key, items.position, items.state, items.attempts, items.spared, items.files,
    items.params, predictions.media_type, predictions.prediction, predictions.file_checksum, (
        SELECT group_concat(param || ':' || size || ':' || sha256, ' ') FROM inputs
        WHERE inputs.position = items.position AND inputs.number = predictions.attempt
    )
FROM json_each(?) AS asked CROSS JOIN items ON items.key = asked.value
LEFT JOIN predictions ON predictions.position = items.position
"""
SELECT_INDEXES: Final = """
SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL
"""
SELECT_LAST_POSITION: Final = "SELECT coalesce(max(position), 0) FROM items"
INSERT_MERGED_ITEMS: Final = """
INSERT INTO items (position, key, path, files, params, checksum, state, attempts, spared, retry_at,
    in_bucket, submitted_at, finished_at)
SELECT column1, CAST(column2 AS TEXT), CAST(column3 AS TEXT), CAST(column4 AS TEXT),
    CAST(column5 AS TEXT), column6, CAST(column7 AS TEXT), column8, column9, column10, column11,
    column12, column13
FROM (VALUES {rows})
"""
REPLACE_MERGED_ITEMS: Final = """
UPDATE items SET path = CAST(column3 AS TEXT), files = CAST(column4 AS TEXT),
    params = CAST(column5 AS TEXT), checksum = column6, state = CAST(column7 AS TEXT),
    attempts = column8, spared = column9, retry_at = column10, in_bucket = column11,
    submitted_at = column12, finished_at = column13
FROM (VALUES {rows}) AS asked WHERE items.position = column1
"""
MERGED_ITEM_LONG_CELLS: Final = (1, 2, 3, 4)
MERGED_ATTEMPT_LONG_CELLS: Final = (5, 10, 12)
MERGED_PREDICTION_LONG_CELLS: Final = (3,)
"""Cells of rows to write whose text may be long."""
DELETE_ROWS_OF_ITEM: Final = tuple(
    f"DELETE FROM {table} WHERE position = ?"  # noqa: S608 - names of tables
    for table in ("attempts", "predictions", "inputs", "submissions", "reused")
)
INSERT_MERGED_ATTEMPTS: Final = """
INSERT INTO attempts (position, number, started_at, seconds, code, message, kind, retry_after,
    server_seconds, session, params, checksum, log, log_checksum, service)
SELECT column1, column2, column3, column4, CAST(column5 AS TEXT), CAST(column6 AS TEXT),
    CAST(column7 AS TEXT), column8, column9, column10, CAST(column11 AS TEXT), column12,
    CAST(column13 AS TEXT), column14, CAST(column15 AS TEXT)
FROM (VALUES {rows})
"""
INSERT_MERGED_PREDICTIONS: Final = """
INSERT INTO predictions (position, attempt, media_type, prediction, file_checksum)
SELECT column1, column2, CAST(column3 AS TEXT), CAST(column4 AS TEXT), column5
FROM (VALUES {rows})
"""
INSERT_MERGED_INPUTS: Final = """
INSERT INTO inputs (position, number, param, size, sha256, checksum)
SELECT column1, column2, CAST(column3 AS TEXT), column4, CAST(column5 AS TEXT), column6
FROM (VALUES {rows})
"""
INSERT_MERGED_SUBMISSIONS: Final = """
INSERT INTO submissions (position, number, object, session, params)
SELECT column1, column2, CAST(column3 AS TEXT), column4, CAST(column5 AS TEXT)
FROM (VALUES {rows})
"""
INSERT_MERGED_REUSED: Final = """
INSERT INTO reused (position, number, run, run_id, key, checksum)
SELECT column1, column2, CAST(column3 AS TEXT), CAST(column4 AS TEXT), CAST(column5 AS TEXT),
    column6
FROM (VALUES {rows})
"""
INSERT_MERGED_SESSION: Final = """
INSERT INTO sessions (number, version, started_at, active_until, params, checksum, sealed)
VALUES (?, ?, ?, ?, ?, ?, 0)
"""
MOVE_ATTEMPT_TO_THE_FRONT: Final = """
UPDATE attempts SET rowid = (SELECT min(rowid) - 1 FROM attempts) WHERE position = ? AND number = ?
"""
"""`SELECT_ACTIVITY_SPAN` looks for the first attempt among those that were written first."""
UPDATE_RUN_SOURCES: Final = "UPDATE run SET sources = ?, source_read = ?"
DELETE_ITEM_COUNTS: Final = "DELETE FROM item_counts"
INSERT_ITEM_COUNTS: Final = f"INSERT INTO item_counts {SELECT_ITEM_COUNTS}"
