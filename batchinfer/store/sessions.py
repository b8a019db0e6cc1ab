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
from batchinfer.store import checksums, read_sql, write_sql
from batchinfer.store.codec import decode, encode
from batchinfer.store.database import transaction

_NONE: Final = "{}"
"""What most items have."""


@dataclass(frozen=True, slots=True)
class RecordedSession:
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
    changed: Mapping[str, Json]
    """Those that differ from the run's; None: the run's is not sent any more."""


def time_at_work(goes: Sequence[RecordedSession], since: float = 0.0) -> float:
    """Seconds in which any of them was at work, since then; hours between them do not count."""
    seconds, until = 0.0, since
    for go in sorted(goes, key=lambda each: each.started_at):
        seconds += max(0.0, go.active_until - max(go.started_at, until))
        until = max(until, go.active_until)
    return seconds


@dataclass(frozen=True, slots=True)
class Session:
    """The session of this process, as the store needs it to record what was sent."""

    number: int
    changed: Mapping[str, Json] = field(default_factory=dict)
    """Parameters that differ from the run's; None: the run's is not sent any more."""
    earlier: Session | None = None
    """The one before: it put into the bucket what is found there and not on record."""
    others: int = 0
    """Results of earlier sessions that sent other parameters."""
    example: str | None = None
    """Key of one of them."""

    def sent(self, own: Mapping[str, Json]) -> str:
        """The parameters of an attempt that differ from the run's, as JSON."""
        if self.changed:
            own = {**self.changed, **own}
        return encode(own) if own else _NONE


def changed(now: Mapping[str, Json], run: Mapping[str, Json]) -> Mapping[str, Json]:
    """What differs in `now` from the parameters of the run."""
    gone = {name: None for name in run if name not in now}
    differing = {
        name: value
        for name, value in now.items()
        if name not in run or encode(run[name]) != encode(value)
    }
    return {**gone, **differing}


def begin(db: sqlite3.Connection, params: Mapping[str, Json]) -> Session:
    """Begin a session that sends these of the config's parameters."""
    with transaction(db):
        (text,) = db.execute(read_sql.RUN_PARAMS).fetchone()
        run = {} if text is None else decode(text)
        before = db.execute(read_sql.SESSIONS).fetchall()
        number, at, sent = (before[-1][0] if before else 0) + 1, time.time(), encode(params)
        asked = {"number": number, "version": __version__, "at": at, "params": sent}
        asked["checksum"] = checksums.of_session(number, __version__, at, sent)
        db.execute(write_sql.BEGIN, asked)
    if _emptied(db):  # whatever the log will hold belongs to a file that knows this session
        with transaction(db):
            db.execute(write_sql.SEAL, (number,))
    earlier = Session(before[-1][0], changed(decode(before[-1][4]), run)) if before else None
    others = [row[0] for row in before if changed(decode(row[4]), params)]
    if now := changed(params, run):
        others.append(0)  # results of versions that knew no sessions
    count, example = (
        db.execute(read_sql.OTHERS, (encode(others),)).fetchone() if others else (0, None)
    )
    return Session(number, now, earlier, count, example)


def _emptied(db: sqlite3.Connection) -> bool:
    """Whether all of the log could be moved into the file; readers are not waited for."""
    (patience,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute("PRAGMA busy_timeout = 100")
    try:
        (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {patience}")
    return not busy


def note_activity(db: sqlite3.Connection, session: Session | None) -> None:
    """Note that this session is at work."""
    if session is not None:
        db.execute(write_sql.ACTIVE, (time.time(), session.number))
