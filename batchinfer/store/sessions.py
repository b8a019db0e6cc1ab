"""Sessions of a run: which process sent, from when to when, and with which parameters.

A session's parameters are the config's `[params]`. They differ from the run's after `--force`; what
differs is recorded with each attempt, as if it were the item's own.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from batchinfer._version import __version__
from batchinfer.domain import Json
from batchinfer.store import checksums, sql_read, sql_write
from batchinfer.store.database import transaction
from batchinfer.store.json_codec import decode_json, encode_json

_EMPTY_JSON_OBJECT: Final = "{}"
"""What most items have."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One process's work at a run."""

    number: int
    version: str
    """Of batchinfer."""
    started_at: float
    """Seconds since the epoch, as the other."""
    active_until: float
    """Of its latest commit."""
    params: Mapping[str, Json]
    """The config's `[params]`, as it sent them."""
    changed_params: Mapping[str, Json]
    """Those that differ from the run's; None: the run's is not sent any more."""


def sum_active_seconds(sessions: Sequence[SessionRecord], since: float = 0.0) -> float:
    """Seconds in which any of them was at work, since then; hours between them do not count."""
    seconds, counted_until = 0.0, since
    for session in sorted(sessions, key=lambda each: each.started_at):
        seconds += max(0.0, session.active_until - max(session.started_at, counted_until))
        counted_until = max(counted_until, session.active_until)
    return seconds


@dataclass(frozen=True, slots=True)
class RunSession:
    """The session of this process, as the store needs it to record what was sent."""

    number: int
    changed_params: Mapping[str, Json] = field(default_factory=dict)
    """Parameters that differ from the run's; None: the run's is not sent any more."""
    previous: RunSession | None = None
    """The one before: it put into the bucket what is found there and not on record."""
    differing_result_count: int = 0
    """Results of earlier sessions that sent other parameters."""
    differing_result_key: str | None = None
    """Key of one of them."""

    def encode_sent_params(self, item_params: Mapping[str, Json]) -> str:
        """The parameters of an attempt that differ from the run's, as JSON."""
        if self.changed_params:
            item_params = {**self.changed_params, **item_params}
        return encode_json(item_params) if item_params else _EMPTY_JSON_OBJECT


def diff_params(current: Mapping[str, Json], run_params: Mapping[str, Json]) -> Mapping[str, Json]:
    """What differs in `now` from the parameters of the run."""
    removed = {name: None for name in run_params if name not in current}
    differing = {
        name: value
        for name, value in current.items()
        if name not in run_params or encode_json(run_params[name]) != encode_json(value)
    }
    return {**removed, **differing}


def start_session(db: sqlite3.Connection, params: Mapping[str, Json]) -> RunSession:
    """Begin a session that sends these of the config's parameters."""
    with transaction(db):
        (text,) = db.execute(sql_read.SELECT_RUN_PARAMS).fetchone()
        run_params = {} if text is None else decode_json(text)
        earlier_rows = db.execute(sql_read.SELECT_SESSIONS).fetchall()
        number, started_at, params_json = (
            (earlier_rows[-1][0] if earlier_rows else 0) + 1,
            time.time(),
            encode_json(params),
        )
        parameters = {
            "number": number,
            "version": __version__,
            "at": started_at,
            "params": params_json,
        }
        parameters["checksum"] = checksums.checksum_session(
            number, __version__, started_at, params_json
        )
        db.execute(sql_write.INSERT_SESSION, parameters)
    if _checkpoint_wal(db):  # whatever the log will hold belongs to a file that knows this session
        with transaction(db):
            db.execute(sql_write.UPDATE_SESSION_SEALED, (number,))
    previous = (
        RunSession(earlier_rows[-1][0], diff_params(decode_json(earlier_rows[-1][4]), run_params))
        if earlier_rows
        else None
    )
    differing_sessions = [
        row[0] for row in earlier_rows if diff_params(decode_json(row[4]), params)
    ]
    if changed_params := diff_params(params, run_params):
        differing_sessions.append(0)  # results of versions that knew no sessions
    count, example = (
        db.execute(
            sql_read.COUNT_RESULTS_OF_SESSIONS, (encode_json(differing_sessions),)
        ).fetchone()
        if differing_sessions
        else (0, None)
    )
    return RunSession(number, changed_params, previous, count, example)


def _checkpoint_wal(db: sqlite3.Connection) -> bool:
    """Whether all of the log could be moved into the file; readers are not waited for."""
    (busy_timeout,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute("PRAGMA busy_timeout = 100")
    try:
        (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {busy_timeout}")
    return not busy


def record_activity(db: sqlite3.Connection, session: RunSession | None) -> None:
    """Note that this session is at work."""
    if session is not None:
        db.execute(sql_write.UPDATE_SESSION_ACTIVITY, (time.time(), session.number))
