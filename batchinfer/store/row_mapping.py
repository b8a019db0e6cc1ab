"""Rows of the tables from domain values, and back.

Rows are read as one JSON text, and a whole batch is written with a few statements a table
(`json_codec` says why).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

from batchinfer.domain import Attempt, Failure, Item, OpenItem, Reply, SentFile, State, Submitted
from batchinfer.store import checksums
from batchinfer.store import sql_write as sql
from batchinfer.store.json_codec import (
    decode_files,
    decode_json,
    encode_files,
    encode_json,
    escape_non_utf8,
    parse_rows,
    split_into_pages,
)
from batchinfer.store.transitions import ItemStatus

SessionParams: TypeAlias = tuple[int | None, str | None]
"""The session and the parameters (JSON) of an attempt."""


def fetch_json_rows(db: sqlite3.Connection, statement: str, parameters: Any) -> list[list[Any]]:
    """The rows that a statement gives as one JSON text."""
    (text,) = db.execute(statement, parameters).fetchone()
    return parse_rows(text)


def write_rows(
    db: sqlite3.Connection,
    statement: str,
    new_rows: Iterable[Sequence[Any]],
    long_cells: Sequence[int] = (),
) -> int:
    """Write rows, as many at once as one statement takes; how many were changed.

    `long_cells`: which cells are text that may be long.
    """
    changed = 0
    for page in split_into_pages(list(new_rows), long_cells):
        filled_statement = sql.fill_rows(statement, len(page), len(page[0]))
        changed += db.execute(filled_statement, list(chain.from_iterable(page))).rowcount
    return changed


def read_statuses(db: sqlite3.Connection, positions: Iterable[int]) -> dict[int, ItemStatus]:
    """The statuses of the items at `positions`, as far as there are such."""
    (text,) = db.execute(sql.SELECT_STATUSES, (encode_json(list(set(positions))),)).fetchone()
    return {row[0]: ItemStatus(State(row[1]), *row[2:]) for row in parse_rows(text)}


def write_statuses(
    db: sqlite3.Connection, statuses: Mapping[int, ItemStatus], positions: Iterable[int]
) -> None:
    """Write those of `positions` back."""
    write_rows(
        db,
        sql.UPDATE_STATUSES,
        (_status_to_row(position, statuses[position]) for position in positions),
    )


def _status_to_row(position: int, status: ItemStatus) -> tuple[Any, ...]:
    return (
        position,
        status.state.value,
        status.attempts,
        status.uncounted_attempts,
        status.retry_at,
        status.submitted_attempt,
        status.submitted_at,
        status.finished_at,
    )


def row_to_item(row: Sequence[Any]) -> Item:
    """A row that `sql_read.ITEM_JSON` made."""
    position, key, files, params, attempts, uncounted_attempts, _ = row
    return Item(
        key, decode_files(files), decode_json(params), position, attempts, uncounted_attempts
    )


def item_to_row(item: Item, position: int) -> tuple[Any, ...]:
    """A row of `items`, as far as its source says it."""
    path = escape_non_utf8(item.files[0].path) if item.files else None
    row = (position, item.key, path, encode_files(item.files), encode_json(item.params))
    return (*row, checksums.checksum_item(*row))


def row_to_open_item(row: Sequence[Any]) -> OpenItem:
    """A row that `sql_read.OPEN_ITEM_JSON` made."""
    position, state, attempt, submitted_at, uncounted_attempts, objects, key = row
    names = {int(number): name for number, name in objects.items()}
    return OpenItem(position, State(state), attempt, submitted_at, uncounted_attempts, names, key)


def sent_file_to_row(position: int, number: int, sent_file: SentFile) -> tuple[Any, ...]:
    """A row of `inputs`."""
    row = (position, number, sent_file.param, sent_file.size, sent_file.sha256)
    return (*row, checksums.checksum_input(*row))


def attempt_to_row(
    position: int,
    attempt: Attempt,
    session_params: SessionParams,
    prediction_row: Sequence[Any] | None,
    attempts: int,
) -> tuple[Any, ...]:
    """A row of `attempts`.

    `prediction_row`: as in `predictions`; `attempts`: the item's, now that this one counts.
    """
    leading_cells = (position, attempt.number, float(attempt.started_at), float(attempt.seconds))
    outcome_cells: tuple[Any, ...]
    count = attempt.number
    match attempt.outcome:
        case Reply(log=log, server_seconds=seconds):
            outcome_cells = (None, None, None, None, escape_non_utf8(log), _to_float(seconds))
            count = attempts
        case Failure(code, message, kind, retry_after, log):
            outcome_cells = (
                code,
                escape_non_utf8(message),
                kind.value,
                _to_float(retry_after),
                escape_non_utf8(log),
                None,
            )
        case Submitted():
            raise AssertionError("a submission is no outcome")
    checksum = checksums.checksum_attempt(
        (*leading_cells, *outcome_cells[:4], outcome_cells[5], *session_params),
        prediction_row,
        count,
    )
    return (
        *leading_cells,
        *outcome_cells,
        *session_params,
        checksum,
        checksums.checksum_text(outcome_cells[4]),
        attempt.service,
    )


def _to_float(number: float | None) -> float | None:
    """As SQLite keeps it."""
    return None if number is None else float(number)
