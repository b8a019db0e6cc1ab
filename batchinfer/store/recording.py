"""What attempts brought: one pile, one transaction. What it changes is decided by `rules.py`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from batchinfer.domain import Attempt, Failure, Record, Reply, State, Submitted
from batchinfer.ports import Placed, TooLarge
from batchinfer.store import rules
from batchinfer.store import write_sql as sql
from batchinfer.store.codec import decode, encode, printable
from batchinfer.store.database import transaction
from batchinfer.store.outputs import output_name, write_outputs
from batchinfer.store.rules import Life
from batchinfer.store.sessions import Session, note_activity
from batchinfer.store.table_rows import (
    Sent,
    attempt_row,
    input_row,
    read_lives,
    read_page,
    write_lives,
    write_rows,
)

_BESIDE: Final = 1_000
"""Bytes that stand in a row beside its large text."""


def record(
    db: sqlite3.Connection,
    directory: Path,
    records: Sequence[Record],
    session: Session | None = None,
) -> Sequence[State | None]:
    """Commit a pile, in order; for each record the state before, None if it came too late.

    Raises TooLarge.
    """
    try:
        return _record(db, directory, records, session)
    except (sqlite3.DataError, OverflowError, MemoryError, RecursionError):
        most = db.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)
        if large := [one.position for one in records if not _fits(one, most)]:
            raise TooLarge(large) from None
        raise


def _fits(record: Record, most: int) -> bool:
    """Whether the row of its attempt and that of its prediction can be held."""
    outcome = record.attempt.outcome
    try:
        prediction = encode(outcome.prediction) if isinstance(outcome, Reply) else ""
        log = "" if isinstance(outcome, Submitted) else printable(outcome.log)
        return max(_bytes(prediction), _bytes(log)) < most - _BESIDE
    except (MemoryError, RecursionError, OverflowError):
        return False


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _record(
    db: sqlite3.Connection,
    directory: Path,
    records: Sequence[Record],
    session: Session | None,
) -> Sequence[State | None]:
    with transaction(db):
        lives = read_lives(db, [one.position for one in records])
        counted: list[Record] = []
        told: list[State | None] = []
        for one in records:
            before = lives[one.position]
            after = rules.follow(before, one)
            told.append(before.state if after else None)
            if after:
                lives[one.position] = after
                counted.append(one)
        _keep(db, directory, counted, lives, session)
        write_lives(db, lives, {one.position for one in counted})
        note_activity(db, session)
    return told


def adopt(
    db: sqlite3.Connection, placed: Sequence[Placed], at: float, session: Session | None = None
) -> int:
    """Mark as submitted what was found in the bucket; how many items."""
    with transaction(db):
        lives = read_lives(db, [one.position for one in placed])
        adopted: dict[int, Placed] = {}
        for one in placed:
            if one.position in lives:
                life = rules.adopt(lives[one.position], one.attempt, at)
                if life:
                    lives[one.position] = life
                    adopted[one.position] = one
        write_lives(db, lives, adopted)
        write_rows(db, sql.SUBMISSION, _adopted(db, adopted, session and session.earlier))
        note_activity(db, session)
    return len(adopted)


def _adopted(
    db: sqlite3.Connection, placed: Mapping[int, Placed], session: Session | None
) -> Iterator[tuple[Any, ...]]:
    """The rows of submissions that an earlier session made and was killed before recording."""
    if not placed:
        return
    for position, params in read_page(db, sql.PARAMS_OF, (encode(list(placed)),)):
        one = placed[position]
        sent = session.sent(decode(params)) if session else None
        yield (position, one.attempt, one.name, session and session.number, sent)


def _keep(
    db: sqlite3.Connection,
    directory: Path,
    records: Sequence[Record],
    lives: Mapping[int, Life],
    session: Session | None,
) -> None:
    """Write what attempts brought; bytes become files first."""
    attempts = {}
    submissions = []
    predictions: dict[tuple[int, int], tuple[str, str, int | None]] = {}
    outputs = []
    sent = []
    for one in records:
        number, files = one.attempt.number, one.attempt.outcome.inputs
        sent += [input_row(one.position, number, file) for file in files]
        match one.attempt.outcome:
            case Submitted(name):
                submissions.append((one.position, number, name, *_sent(one.attempt, session)))
                continue
            case Reply() as reply:
                kept, of_file = reply.prediction, None
                if reply.data is not None:
                    kept = output_name(one.position, number, reply.media_type)
                    outputs.append((kept, reply.data))
                    of_file = crc32(reply.data)
                predictions[one.position, number] = (reply.media_type, encode(kept), of_file)
            case Failure():
                pass
        # A reply may follow the failure of the same attempt within one pile.
        attempts[one.position, number] = one.attempt
    write_outputs(directory, outputs)
    write_rows(db, sql.SUBMISSION, submissions)
    sent_before = _sent_before(db, [key for key, made in attempts.items() if made.params is None])
    write_rows(
        db,
        sql.ATTEMPT,
        (
            attempt_row(
                key[0],
                made,
                sent_before.get(key) or _sent(made, session),
                predictions.get(key),
                lives[key[0]].attempts,
            )
            for key, made in attempts.items()
        ),
    )
    write_rows(db, sql.PREDICTION, ((*key, *brought) for key, brought in predictions.items()))
    write_rows(db, sql.SENT, sent)


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
    found = read_page(db, sql.SUBMITTED_WITH, (encode(attempts),))
    return {(position, number): (session, params) for position, number, session, params in found}
