"""Runs of older formats: made of a new one, by taking away what came later."""

import re
import sqlite3

from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.migrations import MIGRATIONS

_VIEWS = "".join(
    re.search(rf"CREATE VIEW {name} AS.*?;", MIGRATIONS[0], re.DOTALL)[0]
    for name in ("results", "submitted")
)
_NEWER_RESULTS = re.search(r"CREATE VIEW results AS.*?;", MIGRATIONS[4], re.DOTALL)[0]
_BACK = {
    7: f"DROP VIEW results; DROP TABLE reused; {_NEWER_RESULTS}",
    8: "ALTER TABLE attempts DROP COLUMN service;",
    6: "DROP TABLE item_counts;",
    5: f"""
DROP VIEW results; DROP VIEW submitted;
DROP TABLE submissions;
ALTER TABLE run DROP COLUMN reading;
ALTER TABLE run DROP COLUMN checksum;
ALTER TABLE items DROP COLUMN checksum;
ALTER TABLE attempts DROP COLUMN session;
ALTER TABLE attempts DROP COLUMN params;
ALTER TABLE attempts DROP COLUMN checksum;
ALTER TABLE attempts DROP COLUMN log_checksum;
ALTER TABLE inputs DROP COLUMN checksum;
ALTER TABLE predictions DROP COLUMN file_checksum;
DROP TABLE sessions; {_VIEWS}
""",
    4: "DROP TABLE inputs;",
    3: "DROP TABLE adjustments;",
    2: "ALTER TABLE run DROP COLUMN help;",
}
"""By version: what undoes it."""


def become(directory, version):
    """Make the run in `directory` one of an older version."""
    script = "".join(undo for since, undo in _BACK.items() if since > version)
    connection = sqlite3.connect(directory / DATABASE_NAME)
    connection.executescript(f"{script} PRAGMA user_version = {version}")
    connection.close()
