"""The statements that copy the rows of one run into another.

Text is read and written as the bytes that are stored: `CAST` makes them text again. A `?` of
`json_each` is a JSON array.
"""

from __future__ import annotations

from typing import Final

from batchinfer.store.sql_read import SELECT_ITEM_COUNTS

# The run that is read -----------------------------------------------------------------------------

SELECT_ATTEMPTS_AT: Final = """
SELECT attempts.position, attempts.number, started_at, seconds, code, message, kind, retry_after,
    server_seconds, attempts.session, attempts.params, attempts.checksum, log, attempts.log_checksum
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
_MERGED_ITEM_VALUES: Final = """
VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), ?, CAST(? AS TEXT),
    ?, ?, ?, ?, ?, ?)
"""
INSERT_MERGED_ITEM: Final = f"""
INSERT INTO items (position, key, path, files, params, checksum, state, attempts, spared, retry_at,
    in_bucket, submitted_at, finished_at) {_MERGED_ITEM_VALUES}
"""
REPLACE_MERGED_ITEM: Final = f"""
UPDATE items SET path = column3, files = column4, params = column5, checksum = column6,
    state = column7, attempts = column8, spared = column9, retry_at = column10,
    in_bucket = column11, submitted_at = column12, finished_at = column13
FROM ({_MERGED_ITEM_VALUES}) AS asked WHERE items.position = column1
"""  # noqa: S608 - put together from constants only
DELETE_ROWS_OF_ITEM: Final = tuple(
    f"DELETE FROM {table} WHERE position = ?"  # noqa: S608 - names of tables
    for table in ("attempts", "predictions", "inputs", "submissions")
)
INSERT_MERGED_ATTEMPT: Final = """
INSERT INTO attempts (position, number, started_at, seconds, code, message, kind, retry_after,
    server_seconds, session, params, checksum, log, log_checksum)
VALUES (?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, ?, CAST(? AS TEXT), ?,
    CAST(? AS TEXT), ?)
"""
INSERT_MERGED_PREDICTION: Final = """
INSERT INTO predictions (position, attempt, media_type, prediction, file_checksum)
VALUES (?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?)
"""
INSERT_MERGED_INPUT: Final = """
INSERT INTO inputs (position, number, param, size, sha256, checksum)
VALUES (?, ?, CAST(? AS TEXT), ?, CAST(? AS TEXT), ?)
"""
INSERT_MERGED_SUBMISSION: Final = """
INSERT INTO submissions (position, number, object, session, params)
VALUES (?, ?, CAST(? AS TEXT), ?, CAST(? AS TEXT))
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
