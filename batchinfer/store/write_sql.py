"""The statements that write, and those that ask for what is about to be changed.

Piles are written in place of `{rows}`, and asked about by `?`. Such a `?` is a JSON text of the
pile; `filled` puts in the rows. `read_sql.py` says what `INDEXED BY` and `CROSS JOIN` are for.
"""
# ruff: noqa: S608 - put together from constants only

from __future__ import annotations

from batchinfer.store.sql_parts import ITEM, LIFE, SOME


def filled(statement: str, rows: int, cells: int) -> str:
    """The statement for so many rows of so many cells, each a `?`."""
    row = f"({', '.join(['?'] * cells)})"
    return statement.format(rows=", ".join([row] * rows))


# Adding -------------------------------------------------------------------------------------------

KNOWN = f"""
SELECT json_group_array({ITEM}), (SELECT coalesce(max(position), 0) FROM items)
FROM json_each(?) AS asked CROSS JOIN items ON items.key = asked.value
"""
INSERT = "INSERT INTO items (position, key, path, files, params, checksum) VALUES {rows}"
RENEW = """
UPDATE items SET path = column3, files = column4, params = column5, checksum = column6
FROM (VALUES {rows}) AS asked WHERE items.position = column1
"""

# The run ------------------------------------------------------------------------------------------

SOURCE_READ = "UPDATE run SET source_read = 1"
KEEP_HELP = "UPDATE run SET help = ?"
RUN = "SELECT id, created_at, mode, config, sources, help FROM run"
SEAL_RUN = "UPDATE run SET checksum = ?"
MOVE_ITEM = "UPDATE items SET path = ?, files = ?, checksum = ? WHERE position = ?"
NOTE = "INSERT INTO adjustments VALUES {rows}"

# Recording ----------------------------------------------------------------------------------------

LIVES = f"""
SELECT json_group_array({LIFE})
FROM json_each(?) AS asked CROSS JOIN items ON items.position = asked.value
"""
LIVE_ON = """
UPDATE items SET state = column2, attempts = column3, spared = column4, retry_at = column5,
    in_bucket = column6, submitted_at = column7, finished_at = column8
FROM (VALUES {rows}) AS asked WHERE items.position = column1
"""
ATTEMPT = """
INSERT OR REPLACE INTO attempts (position, number, started_at, seconds, code, message, kind,
    retry_after, log, server_seconds, session, params, checksum, log_checksum) VALUES {rows}
"""
PREDICTION = """
INSERT INTO predictions (position, attempt, media_type, prediction, file_checksum) VALUES {rows}
"""
SENT = """
INSERT OR REPLACE INTO inputs (position, number, param, size, sha256, checksum) VALUES {rows}
"""
SUBMISSION = """
INSERT OR REPLACE INTO submissions (position, number, object, session, params) VALUES {rows}
"""
SUBMITTED_WITH = """
SELECT json_group_array(json_array(position, number, session, params))
FROM json_each(?) AS asked CROSS JOIN submissions
    ON position = json_extract(asked.value, '$[0]') AND number = json_extract(asked.value, '$[1]')
"""
PARAMS_OF = """
SELECT json_group_array(json_array(items.position, items.params))
FROM json_each(?) AS asked CROSS JOIN items ON items.position = asked.value
"""

SUBMITTED_BY_NOW = """
UPDATE items INDEXED BY items_submitted SET submitted_at = :now
WHERE state = 'submitted' AND submitted_at > :now
"""
DUE_BY_NOW = """
UPDATE items SET retry_at = :now WHERE position IN (
    SELECT items.position FROM items INDEXED BY items_due
    CROSS JOIN attempts ON attempts.position = items.position AND attempts.number = items.attempts
    WHERE items.retry_at > :now AND attempts.started_at > :now
)
"""

# Sessions -----------------------------------------------------------------------------------------

BEGIN = """
INSERT INTO sessions (number, version, started_at, active_until, params, checksum)
VALUES (:number, :version, :at, :at, :params, :checksum)
"""
SEAL = "UPDATE sessions SET sealed = 1 WHERE number = ?"
ACTIVE = "UPDATE sessions SET active_until = ? WHERE number = ?"

# Putting back -------------------------------------------------------------------------------------

FAILED = f"""
SELECT json_group_array({ITEM}) FROM ({
    SOME.format('''
    SELECT items.* FROM items INDEXED BY items_failed
    JOIN attempts ON attempts.position = items.position AND attempts.number = items.attempts
    WHERE items.state = 'failed' AND items.position > :after
        AND (:code IS NULL OR attempts.code = :code) AND (:key IS NULL OR items.key = :key)
    ORDER BY items.position LIMIT :limit''')
}
) AS items
"""
