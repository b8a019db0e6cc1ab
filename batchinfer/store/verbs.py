"""The verbs of `ports.Store` on an open database: each one transaction, run in a worker thread.

Rules: a verb reads what it needs as one JSON text, lets `rules.py` decide, and writes a whole pile
with a few statements a table (`codec.py` says why).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

from batchinfer.domain import Attempt, Counts, Failure, Item, Open, Record, Reply, State, Submitted
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

_PAGE: Final = 1_000


# Adding -------------------------------------------------------------------------------------------


def add(db: sqlite3.Connection, items: Sequence[Item]) -> Added:
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
    return Added(len(settled.new), settled.changed)


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
    db: sqlite3.Connection, directory: Path, records: Sequence[Record]
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
        _keep(db, directory, counted)
        _live_on(db, lives, {one.position for one in counted})
    return told


def adopt(db: sqlite3.Connection, placed: Sequence[Placed], at: float) -> int:
    """Mark as submitted what was found in the bucket; how many items."""
    with transaction(db):
        lives = _lives(db, [one.position for one in placed])
        adopted = set()
        for one in placed:
            if one.position in lives:
                life = rules.adopt(lives[one.position], one.attempt, at)
                if life:
                    lives[one.position] = life
                    adopted.add(one.position)
        _live_on(db, lives, adopted)
    return len(adopted)


def _lives(db: sqlite3.Connection, positions: Iterable[int]) -> dict[int, Life]:
    (found,) = db.execute(sql.LIVES, (encode(list(set(positions))),)).fetchone()
    return {row[0]: Life(State(row[1]), *row[2:]) for row in rows(found)}


def _live_on(db: sqlite3.Connection, lives: Mapping[int, Life], positions: Iterable[int]) -> None:
    _write(db, sql.LIVE_ON, (_life_row(position, lives[position]) for position in positions))


def _keep(db: sqlite3.Connection, directory: Path, records: Sequence[Record]) -> None:
    """Write what attempts brought; bytes become files first."""
    attempts = {}
    predictions = []
    outputs = []
    sent = []
    for one in records:
        number, files = one.attempt.number, one.attempt.outcome.inputs
        sent += [(one.position, number, file.param, file.size, file.sha256) for file in files]
        match one.attempt.outcome:
            case Submitted():
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
        attempts[one.position, one.attempt.number] = _attempt_row(one.position, one.attempt)
    write_outputs(directory, outputs)
    _write(db, sql.ATTEMPT, attempts.values())
    _write(db, sql.PREDICTION, predictions)
    _write(db, sql.SENT, sent)


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
    position, state, attempt, submitted_at, spared = row
    return Open(position, State(state), attempt, submitted_at, spared)


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


def _attempt_row(position: int, attempt: Attempt) -> tuple[Any, ...]:
    start = (position, attempt.number, attempt.started_at, attempt.seconds)
    match attempt.outcome:
        case Reply(log=log, server_seconds=server_seconds):
            return (*start, None, None, None, None, printable(log), server_seconds)
        case Failure(code, message, kind, retry_after, log):
            return (*start, code, printable(message), kind.value, retry_after, printable(log), None)
        case Submitted():
            raise AssertionError("a submission is no outcome")
