"""Rows of the tables from domain values, and back.

Rules: what is needed is read as one JSON text; a whole pile is written with a few statements a
table (`codec.py` says why).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

from batchinfer.domain import Attempt, Digest, Failure, Item, Open, Reply, State, Submitted
from batchinfer.store import checksums
from batchinfer.store import write_sql as sql
from batchinfer.store.codec import (
    decode,
    decode_files,
    encode,
    encode_files,
    pages,
    printable,
    rows,
)
from batchinfer.store.rules import Life

Sent: TypeAlias = tuple[int | None, str | None]
"""The session and the parameters (JSON) of an attempt."""


def read_page(db: sqlite3.Connection, statement: str, asked: Any) -> list[list[Any]]:
    """The rows that a statement gives as one JSON text."""
    (text,) = db.execute(statement, asked).fetchone()
    return rows(text)


def write_rows(db: sqlite3.Connection, statement: str, new: Iterable[Sequence[Any]]) -> None:
    """Write rows, as many at once as one statement takes."""
    for page in pages(new):
        whole = sql.filled(statement, len(page), len(page[0]))
        db.execute(whole, list(chain.from_iterable(page)))


def read_lives(db: sqlite3.Connection, positions: Iterable[int]) -> dict[int, Life]:
    """The lives of the items at `positions`, as far as there are such."""
    (found,) = db.execute(sql.LIVES, (encode(list(set(positions))),)).fetchone()
    return {row[0]: Life(State(row[1]), *row[2:]) for row in rows(found)}


def write_lives(
    db: sqlite3.Connection, lives: Mapping[int, Life], positions: Iterable[int]
) -> None:
    """Write those of `positions` back."""
    write_rows(db, sql.LIVE_ON, (_life_row(position, lives[position]) for position in positions))


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


def as_item(row: Sequence[Any]) -> Item:
    """A row that `sql_parts.ITEM` made."""
    position, key, files, params, attempts, spared, _ = row
    return Item(key, decode_files(files), decode(params), position, attempts, spared)


def item_row(item: Item, position: int) -> tuple[Any, ...]:
    """A row of `items`, as far as its source says it."""
    path = printable(item.files[0].path) if item.files else None
    row = (position, item.key, path, encode_files(item.files), encode(item.params))
    return (*row, checksums.of_item(*row))


def as_open(row: Sequence[Any]) -> Open:
    """A row that `sql_parts.OPEN` made."""
    position, state, attempt, submitted_at, spared, objects = row
    names = {int(number): name for number, name in objects.items()}
    return Open(position, State(state), attempt, submitted_at, spared, names)


def input_row(position: int, number: int, sent: Digest) -> tuple[Any, ...]:
    """A row of `inputs`."""
    row = (position, number, sent.param, sent.size, sent.sha256)
    return (*row, checksums.of_input(*row))


def attempt_row(
    position: int,
    attempt: Attempt,
    sent: Sent,
    brought: Sequence[Any] | None,
    attempts: int,
) -> tuple[Any, ...]:
    """A row of `attempts`.

    `brought`: what stands in `predictions`; `attempts`: the item's, now that this one counts.
    """
    start = (position, attempt.number, float(attempt.started_at), float(attempt.seconds))
    told: tuple[Any, ...]
    count = attempt.number
    match attempt.outcome:
        case Reply(log=log, server_seconds=seconds):
            told = (None, None, None, None, printable(log), _real(seconds))
            count = attempts
        case Failure(code, message, kind, retry_after, log):
            told = (code, printable(message), kind.value, _real(retry_after), printable(log), None)
        case Submitted():
            raise AssertionError("a submission is no outcome")
    whole = checksums.of_attempt((*start, *told[:4], told[5], *sent), brought, count)
    return (*start, *told, *sent, whole, checksums.of_text(told[4]))


def _real(number: float | None) -> float | None:
    """As SQLite keeps it."""
    return None if number is None else float(number)
