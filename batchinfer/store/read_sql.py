"""The statements that only read.

A `?` or a name that is asked about in `json_each` is a JSON text of a pile.

`INDEXED BY` names the small index a statement lives on, so that it stays fast at a million items
and fails loudly without it. `CROSS JOIN` keeps SQLite from walking the big table first.
"""
# ruff: noqa: S608 - put together from constants only

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from batchinfer.domain import State
from batchinfer.store.schema import SESSIONS_SINCE
from batchinfer.store.sql_parts import ITEM, OPEN, SOME

# The run and its sessions -------------------------------------------------------------------------

RUN_SEALED = "SELECT id, created_at, mode, config, sources, help, checksum FROM run"
ADJUSTMENTS = """
SELECT at, was, value, reason FROM (
    SELECT rowid, * FROM adjustments ORDER BY rowid DESC LIMIT ?
) ORDER BY rowid
"""
OTHERS = """
SELECT count(*), max(items.key) FROM predictions
JOIN attempts ON attempts.position = predictions.position AND attempts.number = predictions.attempt
JOIN items ON items.position = predictions.position
WHERE coalesce(attempts.session, 0) IN (SELECT value FROM json_each(?))
"""
LATEST = "SELECT number, started_at, sealed FROM sessions ORDER BY number DESC LIMIT 1"
SESSION_AT = "SELECT 1 FROM sessions WHERE number = ? AND started_at = ?"
SESSIONS = """
SELECT number, version, started_at, active_until, params, checksum FROM sessions ORDER BY number
"""
RUN_PARAMS = "SELECT json_extract(config, '$.params') FROM run"

# Unfinished items ---------------------------------------------------------------------------------

PENDING = f"""
SELECT json_group_array({ITEM}) FROM ({
    SOME.format('''
    SELECT * FROM items INDEXED BY items_pending
    WHERE state = 'pending' AND position > ? AND (retry_at IS NULL OR retry_at <= ?)
    ORDER BY position LIMIT ?''')
}
) AS items
"""
WAITED_FOR = """
SELECT
    (SELECT count(*) FROM items INDEXED BY items_due WHERE retry_at > :now),
    (SELECT min(retry_at) FROM items INDEXED BY items_due WHERE retry_at > :now),
    (SELECT min(submitted_at) FROM items INDEXED BY items_submitted WHERE state = 'submitted')
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

# Results and details ------------------------------------------------------------------------------

FAILURES = """
SELECT code, count(*), key, message, min(position) FROM failures
GROUP BY code ORDER BY count(*) DESC, code
"""
_NUMBER = "coalesce(predictions.attempt, items.attempts)"
_SHOWN = f"""
SELECT items.position, items.key, items.state, predictions.prediction, predictions.media_type,
    attempts.code, attempts.message, items.attempts, attempts.seconds,
    strftime('%Y-%m-%dT%H:%M:%fZ', attempts.started_at, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%fZ', items.finished_at, 'unixepoch'),
    items.path, coalesce(attempts.params, items.params),
    items.files, items.params, items.checksum, items.finished_at, {_NUMBER}, attempts.number,
    attempts.started_at, attempts.kind, attempts.retry_after, attempts.server_seconds,
    attempts.session, attempts.params, attempts.checksum, predictions.file_checksum {{}}
FROM items
LEFT JOIN predictions ON predictions.position = items.position
LEFT JOIN attempts ON attempts.position = items.position AND attempts.number = {_NUMBER}
WHERE {{}}
"""
"""The columns of the view `results`, and what shows whether they are what was written."""
_OF_DOSSIER = f""", attempts.log, attempts.log_checksum, (
        SELECT json_group_array(json_array(param, size, sha256, inputs.checksum)) FROM inputs
        WHERE inputs.position = items.position AND inputs.number = {_NUMBER}
    )"""
_CHOSEN: Final[Mapping[State | Literal["finished"] | None, str]] = {
    None: "",
    "finished": "AND items.state IN ('succeeded', 'failed')",
    **{state: f"AND items.state = '{state}'" for state in State},
}
_PAGE = "items.position > ? {} ORDER BY items.position LIMIT ?"
RESULTS: Final[Mapping[State | Literal["finished"] | None, str]] = {
    state: _SHOWN.format("", _PAGE.format(chosen)) for state, chosen in _CHOSEN.items()
}
DOSSIERS: Final[Mapping[State | Literal["finished"] | None, str]] = {
    state: _SHOWN.format(_OF_DOSSIER, _PAGE.format(chosen)) for state, chosen in _CHOSEN.items()
}
RESULTS_AT = _SHOWN.format(
    "", "items.position IN (SELECT value FROM json_each(?)) ORDER BY items.position"
)
DOSSIER_AT = _SHOWN.format(_OF_DOSSIER, "items.position = ?")
KEYS_OF_ITEMS = "SELECT count(*) FROM items INDEXED BY sqlite_autoindex_items_1"
"""As many as there are positions, unless a page of the database is damaged."""
JSON_PREDICTIONS = "SELECT count(*) FROM predictions WHERE media_type = 'application/json'"
SPREAD = """
SELECT position FROM (
    SELECT position, row_number() OVER (ORDER BY position) - 1 AS place
    FROM predictions WHERE media_type = 'application/json'
) WHERE place % ? = 0
"""
SUBMITTED_AT = f"""
SELECT json_group_array({OPEN})
FROM json_each(?) AS asked CROSS JOIN items ON items.position = asked.value
"""
ITEM_OF = f"SELECT {ITEM}, retry_at, submitted_at FROM items WHERE key = ?"
ATTEMPTS_OF = """
SELECT number, started_at, seconds, code, message, kind, retry_after, log, server_seconds,
    attempts.session, attempts.params, attempts.checksum, attempts.log_checksum
FROM attempts WHERE position = ? ORDER BY number
"""
INPUTS_OF = """
SELECT number, param, size, sha256, inputs.checksum FROM inputs
WHERE position = :position AND number = (
    SELECT coalesce(
        (SELECT attempt FROM predictions WHERE position = :position),
        (SELECT max(number) FROM inputs WHERE position = :position)
    )
)
"""
NO_INPUTS = """
CREATE TEMP VIEW inputs AS
SELECT 0 AS position, 0 AS number, '' AS param, 0 AS size, '' AS sha256 WHERE 0
"""
NO_SUBMISSIONS = """
CREATE TEMP VIEW submissions AS
SELECT 0 AS position, 0 AS number, '' AS object, NULL AS session, NULL AS params WHERE 0
"""
"""What runs of older versions keep of them."""
_NEW: Final = re.compile(
    r"\battempts\.(session|params|log_checksum)\b|\w+\.(file_)?checksum\b",
)


def of_version(statement: str, version: int) -> str:
    """The statement for a run of this version: what it does not keep is NULL."""
    return statement if version >= SESSIONS_SINCE else _NEW.sub("NULL", statement)


FILES_SPREAD = """
SELECT files FROM items
JOIN (SELECT coalesce(max(position), 0) AS last FROM items) AS span
WHERE items.position IN (SELECT 1 + value * (last - 1) / :steps FROM json_each(:parts))
"""
PENDING_SPREAD = """
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
ITEMS_WITH_FILES = """
SELECT position, key, path, files, params, checksum FROM items
WHERE position > ? ORDER BY position LIMIT ?
"""
KEYS_WITH = """
SELECT key FROM items WHERE instr(key, :key) OR instr(:key, key) OR path = :key
ORDER BY path = :key DESC, abs(length(key) - length(:key)), position LIMIT 3
"""
KEYS_COMPOSED = "SELECT key FROM items WHERE composed(key) = ? ORDER BY position LIMIT 3"
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
    (SELECT min(started_at) FROM (SELECT started_at FROM attempts ORDER BY rowid LIMIT 1000)),
    (SELECT max(finished_at) FROM items INDEXED BY items_finished WHERE finished_at IS NOT NULL),
    (SELECT count(*) FROM items INDEXED BY items_finished WHERE finished_at >= ?)
"""
