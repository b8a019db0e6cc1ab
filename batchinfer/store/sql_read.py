"""The statements that only read, and the fragments that those that write share with them.

A `?` or a name that is used in `json_each` is a JSON array.

`INDEXED BY` names the small index a statement lives on, so that it stays fast at a million items
and fails loudly without it. `CROSS JOIN` keeps SQLite from walking the big table first.
"""
# ruff: noqa: S608 - put together from constants only

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from batchinfer.domain import State
from batchinfer.store.json_codec import MAX_STATEMENT_CHARS
from batchinfer.store.migrations import SERVICE_MIN_VERSION, SESSIONS_MIN_VERSION

ITEM_JSON = """json_array(items.position, items.key, items.files, items.params, items.attempts,
    items.spared, items.state)"""
STATUS_JSON = """json_array(items.position, items.state, items.attempts, items.spared,
    items.retry_at, items.in_bucket, items.submitted_at, items.finished_at)"""
OPEN_ITEM_JSON = """json_array(items.position, items.state, items.in_bucket, items.submitted_at,
    items.spared, json((
        SELECT json_group_object(number, object) FROM submissions
        WHERE submissions.position = items.position
    )), items.key)"""

_ROW_CHARS = "(length(params) + length(files))"
BOUNDED_PAGE_TEMPLATE = f"""
    SELECT * FROM (
        SELECT *, sum({_ROW_CHARS}) OVER (ORDER BY position) - {_ROW_CHARS} AS before FROM ({{}})
    ) WHERE before < {MAX_STATEMENT_CHARS}"""
"""The first rows of a page of items, until they are large together."""

# The run and its sessions -------------------------------------------------------------------------

SELECT_RUN_WITH_CHECKSUM = "SELECT id, created_at, mode, config, sources, help, checksum FROM run"
SELECT_LIMIT_CHANGES = """
SELECT at, was, value, reason FROM (
    SELECT rowid, * FROM adjustments ORDER BY rowid DESC LIMIT ?
) ORDER BY rowid
"""
COUNT_RESULTS_OF_SESSIONS = """
SELECT count(*), max(items.key) FROM predictions
JOIN attempts ON attempts.position = predictions.position AND attempts.number = predictions.attempt
JOIN items ON items.position = predictions.position
WHERE coalesce(attempts.session, 0) IN (SELECT value FROM json_each(?))
"""
SELECT_LATEST_SESSION = (
    "SELECT number, started_at, sealed FROM sessions ORDER BY number DESC LIMIT 1"
)
SELECT_SESSION_EXISTS = "SELECT 1 FROM sessions WHERE number = ? AND started_at = ?"
SELECT_SESSIONS = """
SELECT number, version, started_at, active_until, params, checksum FROM sessions ORDER BY number
"""
SELECT_RUN_PARAMS = "SELECT json_extract(config, '$.params') FROM run"

# Unfinished items ---------------------------------------------------------------------------------

_PENDING_PAGE = """
    SELECT * FROM items INDEXED BY items_pending
    WHERE state = 'pending' AND position > :after AND (retry_at IS NULL OR retry_at <= :due)
    ORDER BY position LIMIT :limit"""
SELECT_PENDING = f"""
SELECT CASE
    WHEN (SELECT coalesce(sum({_ROW_CHARS}), 0) FROM ({_PENDING_PAGE})) <= {MAX_STATEMENT_CHARS}
    THEN (SELECT json_group_array({ITEM_JSON}) FROM ({_PENDING_PAGE}) AS items)
END
"""
"""NULL when they are large together; nearly all pages are small, and then this takes a third of the
time of the next one."""
SELECT_BOUNDED_PENDING = f"""
SELECT json_group_array({ITEM_JSON}) FROM ({BOUNDED_PAGE_TEMPLATE.format(_PENDING_PAGE)}) AS items
"""
SELECT_WAITS = """
SELECT
    (SELECT count(*) FROM items INDEXED BY items_due WHERE retry_at > :now),
    (SELECT min(retry_at) FROM items INDEXED BY items_due WHERE retry_at > :now),
    (SELECT min(submitted_at) FROM items INDEXED BY items_submitted WHERE state = 'submitted')
"""
SELECT_NEXT_DUE = "SELECT min(retry_at) FROM items INDEXED BY items_due WHERE retry_at > ?"
SELECT_UNFINISHED = f"""
SELECT json_group_array({OPEN_ITEM_JSON})
FROM json_each(?) AS asked CROSS JOIN items ON items.position = asked.value
WHERE items.state IN ('pending', 'submitted')
"""
SELECT_LOWEST_UNFINISHED = """
SELECT min(position) FROM items INDEXED BY items_begun
WHERE state = 'submitted' OR (state = 'pending' AND attempts > 0)
"""
SELECT_OVERDUE = f"""
SELECT json_group_array({OPEN_ITEM_JSON}) FROM (
    SELECT * FROM items INDEXED BY items_submitted
    WHERE state = 'submitted' AND submitted_at < ?
    ORDER BY submitted_at, position LIMIT ?
) AS items
"""
COUNT_ITEMS_BY_STATE = "SELECT state, sum(items) FROM item_counts GROUP BY state"
SELECT_KEPT_ITEM_COUNTS = "SELECT state, code, items, first_position FROM item_counts"
SELECT_FAILURE_COUNTS = """
SELECT 'failed' AS state, coalesce(attempts.code, '') AS code, count(*) AS items,
    min(items.position) AS first_position
FROM items INDEXED BY items_failed
LEFT JOIN attempts ON attempts.position = items.position AND attempts.number = items.attempts
WHERE items.state = 'failed' GROUP BY 2
"""
SELECT_ITEM_COUNTS = f"""
SELECT 'pending' AS state, '' AS code, count(*) AS items, NULL AS first_position
FROM items INDEXED BY items_pending WHERE state = 'pending'
UNION ALL
SELECT 'submitted', '', count(*), NULL FROM items INDEXED BY items_submitted
WHERE state = 'submitted'
UNION ALL
SELECT 'succeeded', '', coalesce(max(position), 0)
    - (SELECT count(*) FROM items INDEXED BY items_pending WHERE state = 'pending')
    - (SELECT count(*) FROM items INDEXED BY items_submitted WHERE state = 'submitted')
    - (SELECT count(*) FROM items INDEXED BY items_failed WHERE state = 'failed'),
    NULL FROM items
UNION ALL
SELECT * FROM ({SELECT_FAILURE_COUNTS})
"""
"""What the table `item_counts` must hold: positions have no gaps, so that those that succeeded need
no counting."""

# Results and details ------------------------------------------------------------------------------

COUNT_FAILURES_BY_CODE = """
SELECT item_counts.code, item_counts.items, coalesce(items.key, ''), coalesce(attempts.message, '')
FROM item_counts
LEFT JOIN items ON items.position = item_counts.first_position
LEFT JOIN attempts ON attempts.position = items.position AND attempts.number = items.attempts
WHERE item_counts.state = 'failed' AND item_counts.items > 0
ORDER BY item_counts.items DESC, item_counts.code
"""
COUNT_FAILURE_CODES = """
SELECT CAST(code AS BLOB), items FROM item_counts
WHERE state = 'failed' AND items > 0 ORDER BY items DESC, code
"""
"""As bytes: a code that was damaged on the disk is no reason to fail at the end of a run."""
_SHOWN_ATTEMPT_NUMBER = "coalesce(predictions.attempt, items.attempts)"
_RESULTS_TEMPLATE = f"""
SELECT items.position, items.key, items.state, predictions.prediction, predictions.media_type,
    attempts.code, attempts.message, items.attempts, attempts.seconds,
    attempts.started_at, items.finished_at, items.path, coalesce(attempts.params, items.params),
    items.files, items.params, items.checksum,
    {_SHOWN_ATTEMPT_NUMBER}, attempts.number, attempts.kind,
    attempts.retry_after, attempts.server_seconds,
    attempts.session, attempts.params, attempts.checksum, predictions.file_checksum,
    (
        SELECT json_array(number, run, run_id, reused.key, reused.checksum) FROM reused
        WHERE reused.position = items.position AND reused.number = predictions.attempt
    ) {{}}
FROM items
LEFT JOIN predictions ON predictions.position = items.position
LEFT JOIN attempts
    ON attempts.position = items.position AND attempts.number = {_SHOWN_ATTEMPT_NUMBER}
WHERE {{}}
"""
"""The columns of the view `results`, and what shows whether they are what was written."""
_DETAILS_COLUMNS = f""", attempts.log, attempts.log_checksum, (
        SELECT json_group_array(json_array(param, size, sha256, inputs.checksum)) FROM inputs
        WHERE inputs.position = items.position AND inputs.number = {_SHOWN_ATTEMPT_NUMBER}
    )"""
_STATE_CONDITIONS: Final[Mapping[State | Literal["finished"] | None, str]] = {
    None: "",
    "finished": "AND items.state IN ('succeeded', 'failed')",
    **{state: f"AND items.state = '{state}'" for state in State},
}
_PAGE_CONDITION = "items.position > ? {} ORDER BY items.position LIMIT ?"
SELECT_RESULTS_BY_STATE: Final[Mapping[State | Literal["finished"] | None, str]] = {
    state: _RESULTS_TEMPLATE.format("", _PAGE_CONDITION.format(chosen))
    for state, chosen in _STATE_CONDITIONS.items()
}
SELECT_DETAILS_BY_STATE: Final[Mapping[State | Literal["finished"] | None, str]] = {
    state: _RESULTS_TEMPLATE.format(_DETAILS_COLUMNS, _PAGE_CONDITION.format(chosen))
    for state, chosen in _STATE_CONDITIONS.items()
}
SELECT_RESULTS_AT = _RESULTS_TEMPLATE.format(
    "", "items.position IN (SELECT value FROM json_each(?)) ORDER BY items.position"
)
SELECT_DETAILS_BY_KEY = _RESULTS_TEMPLATE.format(
    _DETAILS_COLUMNS, "items.key > CAST(? AS TEXT) ORDER BY items.key LIMIT ?"
)
"""In the order of the keys, byte by byte; a page begins behind a key, which is given as bytes."""
SELECT_DETAILS_AT = _RESULTS_TEMPLATE.format(_DETAILS_COLUMNS, "items.position = ?")
SELECT_ROWS_TO_MERGE = _RESULTS_TEMPLATE.format(
    """, attempts.log, attempts.log_checksum, items.spared, items.retry_at, items.in_bucket,
    items.submitted_at, attempts.service""",
    "items.position > 0 ORDER BY items.position",
)
"""The cells of a result, and all else of an item but its other attempts and what it sent."""
COUNT_KEYS = "SELECT count(*) FROM items INDEXED BY sqlite_autoindex_items_1"
"""As many as there are positions, unless a page of the database is damaged."""
COUNT_JSON_PREDICTIONS = "SELECT count(*) FROM predictions WHERE media_type = 'application/json'"
SELECT_EVERY_NTH_JSON_PREDICTION = """
SELECT position FROM (
    SELECT position, row_number() OVER (ORDER BY position) - 1 AS place
    FROM predictions WHERE media_type = 'application/json'
) WHERE place % ? = 0
"""
SELECT_SUBMISSIONS = f"""
SELECT json_group_array({OPEN_ITEM_JSON})
FROM json_each(?) AS asked CROSS JOIN items ON items.position = asked.value
"""
SELECT_ITEM_BY_KEY = f"SELECT {ITEM_JSON}, retry_at, submitted_at FROM items WHERE key = ?"
SELECT_ATTEMPTS = """
SELECT number, started_at, seconds, code, message, kind, retry_after, log, server_seconds,
    attempts.session, attempts.params, attempts.checksum, attempts.log_checksum, attempts.service
FROM attempts WHERE position = ? ORDER BY number
"""
COUNT_RESULTS_BY_SERVICE = """
SELECT attempts.service, count(*) FROM predictions
JOIN attempts ON attempts.position = predictions.position AND attempts.number = predictions.attempt
WHERE attempts.service IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1
"""
SELECT_INPUTS = """
SELECT number, param, size, sha256, inputs.checksum FROM inputs
WHERE position = :position AND number = (
    SELECT coalesce(
        (SELECT attempt FROM predictions WHERE position = :position),
        (SELECT max(number) FROM inputs WHERE position = :position)
    )
)
"""
CREATE_EMPTY_INPUTS_VIEW = """
CREATE TEMP VIEW inputs AS
SELECT 0 AS position, 0 AS number, '' AS param, 0 AS size, '' AS sha256 WHERE 0
"""
CREATE_EMPTY_SUBMISSIONS_VIEW = """
CREATE TEMP VIEW submissions AS
SELECT 0 AS position, 0 AS number, '' AS object, NULL AS session, NULL AS params WHERE 0
"""
CREATE_EMPTY_REUSED_VIEW = """
CREATE TEMP VIEW reused AS
SELECT 0 AS position, 0 AS number, '' AS run, '' AS run_id, '' AS key, 0 AS checksum WHERE 0
"""
COUNT_REUSED = """
SELECT count(*) FROM reused CROSS JOIN predictions
    ON predictions.position = reused.position AND predictions.attempt = reused.number
"""
CREATE_ITEM_COUNTS_VIEW = f"CREATE TEMP VIEW item_counts AS {SELECT_ITEM_COUNTS}"
"""What runs of older versions keep of them; counts are counted there."""
_NEW_COLUMNS_PATTERN: Final = re.compile(
    r"\battempts\.(session|params|log_checksum)\b|\w+\.(file_)?checksum\b",
)


def adapt_to_version(statement: str, version: int) -> str:
    """The statement for a run of this version: what it does not keep is NULL."""
    if version < SERVICE_MIN_VERSION:
        statement = statement.replace("attempts.service", "NULL")
    return (
        statement
        if version >= SESSIONS_MIN_VERSION
        else _NEW_COLUMNS_PATTERN.sub("NULL", statement)
    )


SAMPLE_FILES = """
SELECT files FROM items
JOIN (SELECT coalesce(max(position), 0) AS last FROM items) AS span
WHERE items.position IN (SELECT 1 + value * (last - 1) / :steps FROM json_each(:parts))
"""
SAMPLE_PENDING_FILES = """
SELECT (
    SELECT files FROM items INDEXED BY items_pending
    WHERE state = 'pending' AND position >= first + part.value * (last - first) / :steps
    ORDER BY position LIMIT 1
)
FROM json_each(:parts) AS part, (
    SELECT min(position) AS first, max(position) AS last FROM items INDEXED BY items_pending
    WHERE state = 'pending'
)
WHERE first IS NOT NULL
"""
SELECT_ITEM_PAGE = """
SELECT position, key, path, files, params, checksum FROM items
WHERE position > ? ORDER BY position LIMIT ?
"""
SELECT_KEYS_CONTAINING = """
SELECT key FROM items WHERE instr(key, :key) OR instr(:key, key) OR path = :key
ORDER BY path = :key DESC, abs(length(key) - length(:key)), position LIMIT 3
"""
SELECT_KEYS_EQUAL_IN_NFC = "SELECT key FROM items WHERE composed(key) = ? ORDER BY position LIMIT 3"
SELECT_KEYS_BY_LENGTH = "SELECT key FROM items ORDER BY abs(length(key) - ?), position LIMIT ?"
COUNT_FINISHED_PER_SLICE = """
SELECT min(CAST((finished_at - :since) / :length AS INTEGER), :slices - 1), count(*)
FROM items INDEXED BY items_finished
WHERE finished_at >= :since AND finished_at <= :since + :length * :slices GROUP BY 1
"""
SELECT_FIRST_START = """
SELECT min(started_at) FROM items INDEXED BY items_finished
CROSS JOIN attempts ON attempts.position = items.position
WHERE items.finished_at >= :since AND attempts.started_at >= :since
"""
SELECT_ACTIVITY_SPAN = """
SELECT
    (SELECT min(started_at) FROM (SELECT started_at FROM attempts ORDER BY rowid LIMIT 1000)),
    (SELECT max(finished_at) FROM items INDEXED BY items_finished WHERE finished_at IS NOT NULL),
    (SELECT count(*) FROM items INDEXED BY items_finished WHERE finished_at >= ?)
"""
