"""The verbs of `ports.Store` on an open database: each one transaction, run in a worker thread.

Rules: a verb reads what it needs as one JSON text, lets `rules.py` decide, and writes a whole pile
with a few statements a table (`codec.py` says why).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeAlias

from batchinfer._version import __version__
from batchinfer.domain import (
    Attempt,
    Counts,
    Failure,
    Item,
    Json,
    Open,
    Record,
    Reply,
    State,
    Submitted,
)
from batchinfer.ports import Added, Adjusted, Placed
from batchinfer.store import rules
from batchinfer.store import statements as sql
from batchinfer.store.codec import (
    decode,
    decode_files,
    encode,
    encode_files,
    pages,
    printable,
    rows,
)
from batchinfer.store.database import transaction
from batchinfer.store.outputs import output_name, write_outputs
from batchinfer.store.rules import Life
from batchinfer.store.sessions import Session, changed

Sent: TypeAlias = tuple[int | None, str | None]
"""The session and the parameters (JSON) of an attempt."""

_PAGE: Final = 1_000


# Adding -------------------------------------------------------------------------------------------


def add(db: sqlite3.Connection, items: Sequence[Item], session: Session | None = None) -> Added:
    """Add a page, in order."""
    keys = encode([item.key for item in items])
    with transaction(db):
        known, last = db.execute(sql.KNOWN, (keys,)).fetchone()
        settled = rules.settle(
            items, {row[1]: (as_item(row), State(row[6])) for row in rows(known)}
        )
        new = ((place, *_item_row(item)[1:]) for place, item in enumerate(settled.new, last + 1))
        _write(db, sql.INSERT, new)
        _write(db, sql.RENEW, map(_item_row, settled.renewed))
        _note_activity(db, session)
    return Added(len(settled.new), settled.changed)


def forget_future(db: sqlite3.Connection, now: float) -> None:
    """Bring submissions and retries that lie in the future back to `now`."""
    with transaction(db):
        db.execute(sql.SUBMITTED_BY_NOW, {"now": now})
        db.execute(sql.DUE_BY_NOW, {"now": now})


def source_read(db: sqlite3.Connection) -> None:
    """Note that the source has been read to its end."""
    with transaction(db):
        db.execute(sql.SOURCE_READ)


def keep_help(db: sqlite3.Connection, text: str) -> None:
    """Keep the model's help with the run."""
    with transaction(db):
        db.execute(sql.KEEP_HELP, (text,))


def note(db: sqlite3.Connection, adjusted: Sequence[Adjusted]) -> None:
    """Keep how the limit moved."""
    with transaction(db):
        _write(db, sql.NOTE, [(a.at, a.was, a.value, a.reason) for a in adjusted])


# Recording ----------------------------------------------------------------------------------------


def record(
    db: sqlite3.Connection,
    directory: Path,
    records: Sequence[Record],
    session: Session | None = None,
) -> Sequence[State | None]:
    """Commit a pile, in order; for each record the state before, None if it came too late."""
    with transaction(db):
        lives = _lives(db, [one.position for one in records])
        counted: list[Record] = []
        told: list[State | None] = []
        for one in records:
            before = lives[one.position]
            after = rules.follow(before, one)
            told.append(before.state if after else None)
            if after:
                lives[one.position] = after
                counted.append(one)
        _keep(db, directory, counted, session)
        _live_on(db, lives, {one.position for one in counted})
        _note_activity(db, session)
    return told


def adopt(
    db: sqlite3.Connection, placed: Sequence[Placed], at: float, session: Session | None = None
) -> int:
    """Mark as submitted what was found in the bucket; how many items."""
    with transaction(db):
        lives = _lives(db, [one.position for one in placed])
        adopted: dict[int, Placed] = {}
        for one in placed:
            if one.position in lives:
                life = rules.adopt(lives[one.position], one.attempt, at)
                if life:
                    lives[one.position] = life
                    adopted[one.position] = one
        _live_on(db, lives, adopted)
        _write(db, sql.SUBMISSION, _adopted(db, adopted, session and session.earlier))
        _note_activity(db, session)
    return len(adopted)


def _lives(db: sqlite3.Connection, positions: Iterable[int]) -> dict[int, Life]:
    (found,) = db.execute(sql.LIVES, (encode(list(set(positions))),)).fetchone()
    return {row[0]: Life(State(row[1]), *row[2:]) for row in rows(found)}


def _live_on(db: sqlite3.Connection, lives: Mapping[int, Life], positions: Iterable[int]) -> None:
    _write(db, sql.LIVE_ON, (_life_row(position, lives[position]) for position in positions))


def _adopted(
    db: sqlite3.Connection, placed: Mapping[int, Placed], session: Session | None
) -> Iterator[tuple[Any, ...]]:
    """The rows of submissions that an earlier session made and was killed before recording."""
    if not placed:
        return
    for position, params in _page(db, sql.PARAMS_OF, (encode(list(placed)),)):
        one = placed[position]
        sent = session.sent(decode(params)) if session else None
        yield (position, one.attempt, one.name, session and session.number, sent)


def _keep(
    db: sqlite3.Connection, directory: Path, records: Sequence[Record], session: Session | None
) -> None:
    """Write what attempts brought; bytes become files first."""
    attempts = {}
    submissions = []
    predictions = []
    outputs = []
    sent = []
    for one in records:
        number, files = one.attempt.number, one.attempt.outcome.inputs
        sent += [(one.position, number, file.param, file.size, file.sha256) for file in files]
        match one.attempt.outcome:
            case Submitted(name):
                submissions.append((one.position, number, name, *_sent(one.attempt, session)))
                continue
            case Reply() as reply:
                kept = reply.prediction
                if reply.data is not None:
                    kept = output_name(one.position, one.attempt.number, reply.media_type)
                    outputs.append((kept, reply.data))
                predictions.append(
                    (one.position, one.attempt.number, reply.media_type, encode(kept))
                )
            case Failure():
                pass
        # A reply may follow the failure of the same attempt within one pile.
        attempts[one.position, number] = one.attempt
    write_outputs(directory, outputs)
    _write(db, sql.SUBMISSION, submissions)
    sent_before = _sent_before(db, [key for key, made in attempts.items() if made.params is None])
    _write(
        db,
        sql.ATTEMPT,
        (
            _attempt_row(key[0], made, sent_before.get(key) or _sent(made, session))
            for key, made in attempts.items()
        ),
    )
    _write(db, sql.PREDICTION, predictions)
    _write(db, sql.SENT, sent)


def _sent(attempt: Attempt, session: Session | None) -> Sent:
    """Session and parameters of an attempt that this process made."""
    if attempt.params is None:
        return None, None
    if session is None:
        return None, encode(attempt.params)
    return session.number, session.sent(attempt.params)


def _sent_before(
    db: sqlite3.Connection, attempts: Sequence[tuple[int, int]]
) -> Mapping[tuple[int, int], Sent]:
    """The same of attempts that were submitted, by position and number."""
    if not attempts:
        return {}
    found = _page(db, sql.SUBMITTED_WITH, (encode(attempts),))
    return {(position, number): (session, params) for position, number, session, params in found}


def _note_activity(db: sqlite3.Connection, session: Session | None) -> None:
    """Note that this session is at work."""
    if session is not None:
        db.execute(sql.ACTIVE, (time.time(), session.number))


# Sessions -----------------------------------------------------------------------------------------


def begin(db: sqlite3.Connection, params: Mapping[str, Json]) -> Session:
    """Begin a session that sends these of the config's parameters."""
    with transaction(db):
        (text,) = db.execute(sql.RUN_PARAMS).fetchone()
        run = {} if text is None else decode(text)
        rows_before = db.execute(sql.SESSIONS).fetchall()
        asked = {"version": __version__, "at": time.time(), "params": encode(params)}
        (number,) = db.execute(sql.BEGIN, asked).fetchone()
    earlier = None
    if rows_before:
        earlier = Session(rows_before[-1][0], changed(decode(rows_before[-1][4]), run))
    return Session(number, changed(params, run), earlier)


# Putting back -------------------------------------------------------------------------------------


def requeue(db: sqlite3.Connection, code: str | None, key: str | None) -> int:
    """Put failed items back to pending; how many."""
    count = after = 0
    with transaction(db):
        while True:
            asked = {"after": after, "code": code, "key": key, "limit": _PAGE}
            found = [as_item(row) for row in _page(db, sql.FAILED, asked)]
            if not found:
                return count
            now = [replace(item, files=rules.as_now(item.files)) for item in found]
            _write(db, sql.RENEW, map(_item_row, now))
            positions = [item.position for item in found]
            lives = _lives(db, positions)
            _live_on(db, {place: rules.revive(life) for place, life in lives.items()}, positions)
            count += len(found)
            after = positions[-1]


# Asking -------------------------------------------------------------------------------------------


def pending(db: sqlite3.Connection, after: int, limit: int, due: float) -> Sequence[Item]:
    """Pending items that are due, a page of them."""
    return [as_item(row) for row in _page(db, sql.PENDING, (after, due, limit))]


def next_due(db: sqlite3.Connection, after: float) -> float | None:
    """When the next item is due that backs off beyond `after`."""
    due: float | None = db.execute(sql.NEXT_DUE, (after,)).fetchone()[0]
    return due


def unfinished(db: sqlite3.Connection, positions: Collection[int]) -> Mapping[int, Open]:
    """Those of `positions` without a final outcome."""
    found = _page(db, sql.UNFINISHED, (encode(list(set(positions))),))
    return {row[0]: _open(row) for row in found}


def submissions(db: sqlite3.Connection, positions: Collection[int]) -> Mapping[int, Open]:
    """The same of all of `positions`, whatever their state."""
    found = _page(db, sql.SUBMITTED_AT, (encode(list(set(positions))),))
    return {row[0]: _open(row) for row in found}


def lowest_unfinished(db: sqlite3.Connection) -> int | None:
    """Where outputs may still turn up, at the lowest."""
    position: int | None = db.execute(sql.LOWEST_UNFINISHED).fetchone()[0]
    return position


def overdue(db: sqlite3.Connection, submitted_before: float, limit: int) -> Sequence[Open]:
    """Items submitted too long ago, oldest first."""
    return [_open(row) for row in _page(db, sql.OVERDUE, (submitted_before, limit))]


def counts(db: sqlite3.Connection) -> Counts:
    """Items by state: positions have no gaps, so that those that succeeded need no counting."""
    waiting, submitted, failed, total = db.execute(sql.COUNTS).fetchone()
    return Counts(waiting, submitted, total - waiting - submitted - failed, failed)


# Rows ---------------------------------------------------------------------------------------------


def _page(db: sqlite3.Connection, statement: str, asked: Any) -> list[list[Any]]:
    (text,) = db.execute(statement, asked).fetchone()
    return rows(text)


def _write(db: sqlite3.Connection, statement: str, new: Iterable[Sequence[Any]]) -> None:
    for page in pages(new):
        whole = sql.filled(statement, len(page), len(page[0]))
        db.execute(whole, list(chain.from_iterable(page)))


def as_item(row: Sequence[Any]) -> Item:
    """A row that `statements.ITEM` made."""
    position, key, files, params, attempts, spared, _ = row
    return Item(key, decode_files(files), decode(params), position, attempts, spared)


def _item_row(item: Item) -> tuple[Any, ...]:
    path = printable(item.files[0].path) if item.files else None
    return (item.position, item.key, path, encode_files(item.files), encode(item.params))


def _open(row: Sequence[Any]) -> Open:
    position, state, attempt, submitted_at, spared, objects = row
    names = {int(number): name for number, name in objects.items()}
    return Open(position, State(state), attempt, submitted_at, spared, names)


def _life_row(position: int, life: Life) -> tuple[Any, ...]:
    return (
        position,
        life.state.value,
        life.attempts,
        life.spared,
        life.retry_at,
        life.in_bucket,
        life.submitted_at,
        life.finished_at,
    )


def _attempt_row(position: int, attempt: Attempt, sent: Sent) -> tuple[Any, ...]:
    start = (position, attempt.number, attempt.started_at, attempt.seconds)
    match attempt.outcome:
        case Reply(log=log, server_seconds=server_seconds):
            return (*start, None, None, None, None, printable(log), server_seconds, *sent)
        case Failure(code, message, kind, retry_after, log):
            told = (code, printable(message), kind.value, retry_after, printable(log), None)
            return (*start, *told, *sent)
        case Submitted():
            raise AssertionError("a submission is no outcome")
