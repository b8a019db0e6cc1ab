"""Finds the replies of earlier runs by what was sent: the files' sha256 and the parameters.

Each run is read once, page by page, into a table of digests on the disk; memory does not know how
many there are. Nothing is written to the runs.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from batchinfer.domain import Json
from batchinfer.store.json_codec import decode_json, parse_rows
from batchinfer.store.migrations import SESSIONS_MIN_VERSION
from batchinfer.store.run_reader import RunReader

INDEX_MIN_VERSION: Final = SESSIONS_MIN_VERSION
"""First version whose run keeps with each attempt all that it sent."""

SELECT_SENT_PAGE: Final = """
SELECT predictions.position, attempts.session, attempts.params, items.files, (
    SELECT json_group_array(json_array(inputs.param, inputs.sha256)) FROM inputs
    WHERE inputs.position = predictions.position AND inputs.number = predictions.attempt
)
FROM predictions
CROSS JOIN items ON items.position = predictions.position
CROSS JOIN attempts
    ON attempts.position = predictions.position AND attempts.number = predictions.attempt
WHERE predictions.position > ? AND items.state = 'succeeded'
ORDER BY predictions.position LIMIT ?
"""
_INDEX_PAGE_ROWS: Final = 1_000
_PREPARE_INDEX: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -8192;
CREATE TABLE replies (digest BLOB NOT NULL, run INTEGER NOT NULL, position INTEGER NOT NULL);
"""


def digest_sent(params: Mapping[str, Json], files: Sequence[tuple[str, str]]) -> bytes:
    """What tells one request from another: its parameters, and of each file parameter and sha256.

    Raises RecursionError for parameters that are nested too deeply.
    """
    text = json.dumps([params, sorted(files)], sort_keys=True, separators=(",", ":"))
    return sha256(text.encode(), usedforsecurity=False).digest()


class ReplyIndex:
    """The digests of what was answered. One thread at a time. `path`: a file of its own."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript(_PREPARE_INDEX)

    def close(self) -> None:
        """Close it; the file is the caller's."""
        self._db.close()

    def add_run(self, number: int, reader: RunReader) -> int:
        """Add the replies of a run, under this number; how many. Of two the later run's wins."""
        count = 0
        self._db.execute("BEGIN")
        for position, digest in _iter_digests(reader):
            self._db.execute("INSERT INTO replies VALUES (?, ?, ?)", (digest, number, position))
            count += 1
        self._db.execute("COMMIT")
        return count

    def sort(self) -> None:
        """All runs are added: they can be looked up from now on."""
        self._db.execute("CREATE INDEX replies_by_digest ON replies (digest, run)")

    def find(self, digest: bytes) -> Sequence[tuple[int, int]]:
        """Run and position of what was answered to this, the latest run first; a few at most."""
        return self._db.execute(
            "SELECT run, position FROM replies WHERE digest = ? ORDER BY run DESC LIMIT 3",
            (digest,),
        ).fetchall()


def _iter_digests(reader: RunReader) -> Iterator[tuple[int, bytes]]:
    """Positions, and digests of what was sent. What is not wholly known is left out."""
    config_params = reader.info.config.get("params")
    run_params = config_params if isinstance(config_params, Mapping) else {}
    unclear_sessions = {
        session.number
        for session in reader.read_sessions()
        if None in session.changed_params.values()  # some of the run's were not sent then
    }
    for position, session, params, files, inputs in _iter_rows(reader):
        sent = [(str(param), str(digest)) for param, digest in parse_rows(inputs)]
        if session is None or session in unclear_sessions or not sent:
            continue
        if len(sent) != len(json.loads(files)):
            continue
        item_params = decode_json(params) if params else {}
        yield position, digest_sent({**run_params, **item_params}, sent)


def _iter_rows(reader: RunReader) -> Iterator[Sequence[Any]]:
    after = 0
    while page := reader.fetch_page(SELECT_SENT_PAGE, after, _INDEX_PAGE_ROWS):
        yield from page
        after = page[-1][0]
