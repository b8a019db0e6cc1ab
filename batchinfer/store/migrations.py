"""The tables of `run.db`, as `docs/reference/run-format.md` describes them for people.

Rules: a script, once released, is never changed; a new version is one more script at the end.
States, modes and kinds are checked by SQLite too, so that no other program can write a wrong one.
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x62696E66
"""In the file's header: "binf"."""

_CREATE_FIRST_TABLES = """
CREATE TABLE run (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    id TEXT NOT NULL,
    created_at REAL NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('sync', 'async')),
    config TEXT NOT NULL,
    sources TEXT NOT NULL,
    source_read INTEGER NOT NULL DEFAULT 0 CHECK (source_read IN (0, 1))
) STRICT;

CREATE TABLE items (
    position INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    path TEXT,
    files TEXT NOT NULL,
    params TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'submitted', 'succeeded', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    spared INTEGER NOT NULL DEFAULT 0 CHECK (spared <= attempts),
    retry_at REAL CHECK (retry_at IS NULL OR state = 'pending'),
    in_bucket INTEGER NOT NULL DEFAULT 0,
    submitted_at REAL CHECK (submitted_at IS NOT NULL OR state <> 'submitted'),
    finished_at REAL
        CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'failed')))
) STRICT;

CREATE INDEX items_pending ON items (position, retry_at) WHERE state = 'pending';
CREATE INDEX items_due ON items (retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX items_submitted ON items (submitted_at, position) WHERE state = 'submitted';
CREATE INDEX items_begun ON items (position)
    WHERE state = 'submitted' OR (state = 'pending' AND attempts > 0);
CREATE INDEX items_failed ON items (position) WHERE state = 'failed';
CREATE INDEX items_finished ON items (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE attempts (
    position INTEGER NOT NULL REFERENCES items,
    number INTEGER NOT NULL CHECK (number > 0),
    started_at REAL NOT NULL,
    seconds REAL NOT NULL,
    code TEXT,
    message TEXT,
    kind TEXT CHECK (kind IN ('transient', 'permanent', 'unavailable')),
    retry_after REAL,
    log TEXT NOT NULL,
    server_seconds REAL,
    PRIMARY KEY (position, number),
    CHECK ((code IS NULL) = (kind IS NULL))
) STRICT;

CREATE TABLE predictions (
    position INTEGER PRIMARY KEY REFERENCES items,
    attempt INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    prediction TEXT NOT NULL
) STRICT;

CREATE VIEW results AS
SELECT
    items.position,
    items.key,
    items.state,
    predictions.prediction,
    predictions.media_type,
    attempts.code,
    attempts.message,
    items.attempts,
    attempts.seconds,
    strftime('%Y-%m-%dT%H:%M:%fZ', attempts.started_at, 'unixepoch') AS started_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', items.finished_at, 'unixepoch') AS finished_at,
    items.path,
    items.params
FROM items
LEFT JOIN predictions ON predictions.position = items.position
LEFT JOIN attempts
    ON attempts.position = items.position
    AND attempts.number = coalesce(predictions.attempt, items.attempts);

CREATE VIEW failures AS
SELECT
    items.position,
    items.key,
    attempts.code,
    attempts.message,
    items.attempts,
    strftime('%Y-%m-%dT%H:%M:%fZ', items.finished_at, 'unixepoch') AS finished_at,
    items.path,
    attempts.log
FROM items
JOIN attempts ON attempts.position = items.position AND attempts.number = items.attempts
WHERE items.state = 'failed';

CREATE VIEW submitted AS
SELECT
    items.position,
    items.key,
    run.id || '-' || items.position || '-' || items.in_bucket AS object,
    strftime('%Y-%m-%dT%H:%M:%fZ', items.submitted_at, 'unixepoch') AS submitted_at
FROM items, run
WHERE items.state = 'submitted';
"""

_ADD_HELP_COLUMN = "ALTER TABLE run ADD COLUMN help TEXT;"

_CREATE_ADJUSTMENTS_TABLE = """
CREATE TABLE adjustments (
    at REAL NOT NULL,
    was INTEGER NOT NULL,
    value INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
"""

_CREATE_INPUTS_TABLE = """
CREATE TABLE inputs (
    position INTEGER NOT NULL REFERENCES items,
    number INTEGER NOT NULL CHECK (number > 0),
    param TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
    PRIMARY KEY (position, number, param)
) STRICT, WITHOUT ROWID;
"""

_CREATE_SESSIONS_AND_CHECKSUMS = """
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY,
    version TEXT NOT NULL,
    started_at REAL NOT NULL,
    active_until REAL NOT NULL,
    params TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    sealed INTEGER NOT NULL DEFAULT 0 CHECK (sealed IN (0, 1))
) STRICT;

CREATE TABLE submissions (
    position INTEGER NOT NULL REFERENCES items,
    number INTEGER NOT NULL CHECK (number > 0),
    object TEXT NOT NULL,
    session INTEGER REFERENCES sessions,
    params TEXT,
    PRIMARY KEY (position, number)
) STRICT, WITHOUT ROWID;

ALTER TABLE run ADD COLUMN reading TEXT;
ALTER TABLE run ADD COLUMN checksum INTEGER;
ALTER TABLE items ADD COLUMN checksum INTEGER;
ALTER TABLE attempts ADD COLUMN session INTEGER;
ALTER TABLE attempts ADD COLUMN params TEXT;
ALTER TABLE attempts ADD COLUMN checksum INTEGER;
ALTER TABLE attempts ADD COLUMN log_checksum INTEGER;
ALTER TABLE inputs ADD COLUMN checksum INTEGER;
ALTER TABLE predictions ADD COLUMN file_checksum INTEGER;

DROP VIEW results;
CREATE VIEW results AS
SELECT
    items.position,
    items.key,
    items.state,
    predictions.prediction,
    predictions.media_type,
    attempts.code,
    attempts.message,
    items.attempts,
    attempts.seconds,
    strftime('%Y-%m-%dT%H:%M:%fZ', attempts.started_at, 'unixepoch') AS started_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', items.finished_at, 'unixepoch') AS finished_at,
    items.path,
    coalesce(attempts.params, items.params) AS params
FROM items
LEFT JOIN predictions ON predictions.position = items.position
LEFT JOIN attempts
    ON attempts.position = items.position
    AND attempts.number = coalesce(predictions.attempt, items.attempts);

DROP VIEW submitted;
CREATE VIEW submitted AS
SELECT
    items.position,
    items.key,
    coalesce(
        submissions.object, printf('%s-%09d-%d', run.id, items.position, items.in_bucket)
    ) AS object,
    strftime('%Y-%m-%dT%H:%M:%fZ', items.submitted_at, 'unixepoch') AS submitted_at
FROM run CROSS JOIN items
LEFT JOIN submissions
    ON submissions.position = items.position AND submissions.number = items.in_bucket
WHERE items.state = 'submitted';
"""

_CREATE_ITEM_COUNTS = """
CREATE TABLE item_counts (
    state TEXT NOT NULL CHECK (state IN ('pending', 'submitted', 'succeeded', 'failed')),
    code TEXT NOT NULL,
    items INTEGER NOT NULL,
    first_position INTEGER,
    PRIMARY KEY (state, code)
) STRICT, WITHOUT ROWID;

INSERT INTO item_counts
SELECT 'pending', '', count(*), NULL FROM items INDEXED BY items_pending WHERE state = 'pending';
INSERT INTO item_counts
SELECT 'submitted', '', count(*), NULL FROM items INDEXED BY items_submitted
WHERE state = 'submitted';
INSERT INTO item_counts
SELECT 'failed', coalesce(attempts.code, ''), count(*), min(items.position)
FROM items INDEXED BY items_failed
LEFT JOIN attempts ON attempts.position = items.position AND attempts.number = items.attempts
WHERE items.state = 'failed' GROUP BY 2;
INSERT INTO item_counts
SELECT 'succeeded', '', coalesce(max(position), 0) - (SELECT sum(items) FROM item_counts), NULL
FROM items;
"""

_CREATE_REUSED_TABLE = """
CREATE TABLE reused (
    position INTEGER PRIMARY KEY REFERENCES items,
    number INTEGER NOT NULL CHECK (number > 0),
    run TEXT NOT NULL,
    run_id TEXT NOT NULL,
    key TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

DROP VIEW results;
CREATE VIEW results AS
SELECT
    items.position,
    items.key,
    items.state,
    predictions.prediction,
    predictions.media_type,
    attempts.code,
    attempts.message,
    items.attempts,
    attempts.seconds,
    strftime('%Y-%m-%dT%H:%M:%fZ', attempts.started_at, 'unixepoch') AS started_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', items.finished_at, 'unixepoch') AS finished_at,
    items.path,
    coalesce(attempts.params, items.params) AS params,
    reused.run AS reused
FROM items
LEFT JOIN predictions ON predictions.position = items.position
LEFT JOIN attempts
    ON attempts.position = items.position
    AND attempts.number = coalesce(predictions.attempt, items.attempts)
LEFT JOIN reused
    ON reused.position = items.position AND reused.number = predictions.attempt;
"""

_ADD_SERVICE_COLUMN = "ALTER TABLE attempts ADD COLUMN service TEXT;"

MIGRATIONS: Final = (
    _CREATE_FIRST_TABLES,
    _ADD_HELP_COLUMN,
    _CREATE_ADJUSTMENTS_TABLE,
    _CREATE_INPUTS_TABLE,
    _CREATE_SESSIONS_AND_CHECKSUMS,
    _CREATE_ITEM_COUNTS,
    _CREATE_REUSED_TABLE,
    _ADD_SERVICE_COLUMN,
)
"""Script n brings a database of version n (`PRAGMA user_version`) to version n + 1."""

FORMAT_VERSION: Final = len(MIGRATIONS)
MIN_READABLE_VERSION: Final = 1
"""Oldest version that can be read as it is."""
HELP_MIN_VERSION: Final = 2
"""First version whose run keeps the model's help."""
ADJUSTMENTS_MIN_VERSION: Final = 3
"""First version whose run keeps how its limit moved."""
INPUTS_MIN_VERSION: Final = 4
"""First version whose run keeps the sha256 of what was sent."""
SESSIONS_MIN_VERSION: Final = 5
"""First version whose run keeps its sessions, with each attempt what it sent, and checksums."""
ITEM_COUNTS_MIN_VERSION: Final = 6
"""First version whose run keeps how many items are in each state."""
REUSED_MIN_VERSION: Final = 7
"""First version whose run keeps which results were taken over from another run."""
SERVICE_MIN_VERSION: Final = 8
"""First version whose run keeps which of several services answered."""
