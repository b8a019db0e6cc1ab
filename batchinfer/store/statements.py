"""The statements behind the verbs: piles are written in place of `{rows}`, and asked about by `?`.

Such a `?` is a JSON text of the pile; `filled` puts in the rows.

`INDEXED BY` names the small index a statement lives on, so that it stays fast at a million items
and fails loudly without it. `CROSS JOIN` keeps SQLite from walking the big table first.
"""
# ruff: noqa: S608 - put together from the constants of this file only

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from batchinfer.domain import State
from batchinfer.store.schema import INPUTS_SINCE, SESSIONS_SINCE

ITEM = """json_array(items.position, items.key, items.files, items.params, items.attempts,
    items.spared, items.state)"""
LIFE = """json_array(items.position, items.state, items.attempts, items.spared, items.retry_at,
    items.in_bucket, items.submitted_at, items.finished_at)"""
OPEN = """json_array(items.position, items.state, items.in_bucket, items.submitted_at,
    items.spared, json((
        SELECT json_group_object(number, object) FROM submissions
        WHERE submissions.position = items.position
    )))"""


def filled(statement: str, rows: int, cells: int) -> str:
    """The statement for so many rows of so many cells, each a `?`."""
    row = f"({', '.join(['?'] * cells)})"
    return statement.format(rows=", ".join([row] * rows))


# Adding -------------------------------------------------------------------------------------------

KNOWN = f"""
SELECT json_group_array({ITEM}), (SELECT coalesce(max(position), 0) FROM items)
FROM json_each(?) AS asked CROSS JOIN items ON items.key = asked.value
"""
INSERT = "INSERT INTO items (position, key, path, files, params) VALUES {rows}"
RENEW = """
UPDATE items SET path = column3, files = column4, params = column5
FROM (VALUES {rows}) AS asked WHERE items.position = column1
"""
SOURCE_READ = "UPDATE run SET source_read = 1"
KEEP_HELP = "UPDATE run SET help = ?"
NOTE = "INSERT INTO adjustments VALUES {rows}"
ADJUSTMENTS = """
SELECT at, was, value, reason FROM (
    SELECT rowid, * FROM adjustments ORDER BY rowid DESC LIMIT ?
) ORDER BY rowid
"""

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
    retry_after, log, server_seconds, session, params) VALUES {rows}
"""
PREDICTION = """
INSERT INTO predictions (position, attempt, media_type, prediction) VALUES {rows}
"""
SENT = "INSERT OR REPLACE INTO inputs VALUES {rows}"
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

# Sessions -----------------------------------------------------------------------------------------

BEGIN = """
INSERT INTO sessions (version, started_at, active_until, params)
VALUES (:version, :at, :at, :params) RETURNING number
"""
ACTIVE = "UPDATE sessions SET active_until = ? WHERE number = ?"
SESSIONS = "SELECT number, version, started_at, active_until, params FROM sessions ORDER BY number"
RUN_PARAMS = "SELECT json_extract(config, '$.params') FROM run"

# Putting back -------------------------------------------------------------------------------------

FAILED = f"""
SELECT json_group_array({ITEM}) FROM (
    SELECT items.* FROM items INDEXED BY items_failed
    JOIN attempts ON attempts.position = items.position AND attempts.number = items.attempts
    WHERE items.state = 'failed' AND items.position > :after
        AND (:code IS NULL OR attempts.code = :code) AND (:key IS NULL OR items.key = :key)
    ORDER BY items.position LIMIT :limit
) AS items
"""

# Asking -------------------------------------------------------------------------------------------

PENDING = f"""
SELECT json_group_array({ITEM}) FROM (
    SELECT * FROM items INDEXED BY items_pending
    WHERE state = 'pending' AND position > ? AND (retry_at IS NULL OR retry_at <= ?)
    ORDER BY position LIMIT ?
) AS items
"""
NEXT_DUE = "SELECT min(retry_at) FROM items INDEXED BY items_due WHERE retry_at > ?"
UNFINISHED = f"""
SELECT json_group_array({OPEN})
FROM json_each(?) AS asked CROSS JOIN items ON items.position = asked.value
WHERE items.state IN ('pending', 'submitted')
"""
LOWEST_UNFINISHED = """
SELECT min(position) FROM items INDEXED BY items_begun
WHERE state = 'submitted' OR (state = 'pending' AND attempts > 0)
"""
OVERDUE = f"""
SELECT json_group_array({OPEN}) FROM (
    SELECT * FROM items INDEXED BY items_submitted
    WHERE state = 'submitted' AND submitted_at < ?
    ORDER BY submitted_at, position LIMIT ?
) AS items
"""
COUNTS = """
SELECT
    (SELECT count(*) FROM items INDEXED BY items_pending WHERE state = 'pending'),
    (SELECT count(*) FROM items INDEXED BY items_submitted WHERE state = 'submitted'),
    (SELECT count(*) FROM items INDEXED BY items_failed WHERE state = 'failed'),
    (SELECT coalesce(max(position), 0) FROM items)
"""

# Reading ------------------------------------------------------------------------------------------

FAILURES = """
SELECT code, count(*), key, message, min(position) FROM failures
GROUP BY code ORDER BY count(*) DESC, code
"""
_RESULTS = "SELECT * FROM results WHERE position > ? {} ORDER BY position LIMIT ?"
RESULTS: Final[Mapping[State | Literal["finished"] | None, str]] = {
    None: _RESULTS.format(""),
    "finished": _RESULTS.format("AND state IN ('succeeded', 'failed')"),
    **{state: _RESULTS.format(f"AND state = '{state}'") for state in State},
}
_DOSSIERS = """
SELECT results.*, items.files, coalesce(predictions.attempt, items.attempts),
    attempts.log, attempts.server_seconds, (
        SELECT json_group_array(json_array(param, size, sha256)) FROM inputs
        WHERE inputs.position = items.position
            AND number = coalesce(predictions.attempt, items.attempts)
    )
FROM (SELECT * FROM results WHERE position > ? {} ORDER BY position LIMIT ?) AS results
JOIN items ON items.position = results.position
LEFT JOIN predictions ON predictions.position = results.position
LEFT JOIN attempts ON attempts.position = results.position
    AND attempts.number = coalesce(predictions.attempt, items.attempts)
ORDER BY results.position
"""
DOSSIERS: Final[Mapping[State | None, str]] = {
    None: _DOSSIERS.format(""),
    **{state: _DOSSIERS.format(f"AND state = '{state}'") for state in State},
}
RESULTS_AT = "SELECT * FROM results WHERE position IN (SELECT value FROM json_each(?))"
JSON_PREDICTIONS = "SELECT count(*) FROM predictions WHERE media_type = 'application/json'"
SPREAD = """
SELECT position FROM (
    SELECT position, row_number() OVER (ORDER BY position) - 1 AS place
    FROM predictions WHERE media_type = 'application/json'
) WHERE place % ? = 0
"""
FINAL_AT = """
SELECT items.position FROM json_each(?) AS asked CROSS JOIN items ON items.position = asked.value
WHERE items.state IN ('succeeded', 'failed')
"""
ITEM_OF = f"SELECT {ITEM}, retry_at, submitted_at FROM items WHERE key = ?"
ATTEMPTS_OF = """
SELECT number, started_at, seconds, code, message, kind, retry_after, log, server_seconds, params
FROM attempts WHERE position = ? ORDER BY number
"""
INPUTS_OF = """
SELECT param, size, sha256 FROM inputs WHERE position = :position AND number = (
    SELECT coalesce(
        (SELECT attempt FROM predictions WHERE position = :position),
        (SELECT max(number) FROM inputs WHERE position = :position)
    )
)
"""
OLDER: Final[Mapping[str, tuple[int, str]]] = {
    "inputs": (
        INPUTS_SINCE,
        "SELECT 0 AS position, 0 AS number, '' AS param, 0 AS size, '' AS sha256 WHERE 0",
    ),
    "attempts": (
        SESSIONS_SINCE,
        "SELECT *, NULL AS session, NULL AS params, NULL AS checksum FROM main.attempts",
    ),
}
"""What stands in place of tables in a run of a version before this one."""
KEYS_WITH = """
SELECT key FROM items WHERE instr(key, :key) OR instr(:key, key) OR path = :key
ORDER BY path = :key DESC, abs(length(key) - length(:key)), position LIMIT 3
"""
KEYS_ABOUT = "SELECT key FROM items ORDER BY abs(length(key) - ?), position LIMIT ?"
FINISHED_IN = """
SELECT min(CAST((finished_at - :since) / :length AS INTEGER), :slices - 1), count(*)
FROM items INDEXED BY items_finished
WHERE finished_at >= :since AND finished_at <= :since + :length * :slices GROUP BY 1
"""
BEGUN = """
SELECT min(started_at) FROM items INDEXED BY items_finished
CROSS JOIN attempts ON attempts.position = items.position
WHERE items.finished_at >= :since AND attempts.started_at >= :since
"""
SPAN = """
SELECT
    (SELECT min(started_at) FROM (SELECT started_at FROM main.attempts ORDER BY rowid LIMIT 1000)),
    (SELECT max(finished_at) FROM items INDEXED BY items_finished WHERE finished_at IS NOT NULL),
    (SELECT count(*) FROM items INDEXED BY items_finished WHERE finished_at >= ?)
"""
