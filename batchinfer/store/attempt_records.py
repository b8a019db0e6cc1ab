"""Writes records: one batch, one transaction. `transitions` decides what changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from batchinfer.domain import Attempt, Failure, Record, Reply, State, Submitted
from batchinfer.ports import RecordsTooLarge, SubmittedObject
from batchinfer.store import sql_write as sql
from batchinfer.store import transitions
from batchinfer.store.database import transaction
from batchinfer.store.json_codec import decode_json, encode_json, escape_non_utf8
from batchinfer.store.output_files import make_output_name, write_outputs
from batchinfer.store.row_mapping import (
    SessionParams,
    attempt_to_row,
    fetch_json_rows,
    read_statuses,
    sent_file_to_row,
    write_rows,
    write_statuses,
)
from batchinfer.store.sessions import RunSession, record_activity
from batchinfer.store.transitions import ItemStatus

_ROW_OVERHEAD_BYTES: Final = 1_000
"""Bytes of a row beside its large text."""


def commit_records(
    db: sqlite3.Connection,
    directory: Path,
    records: Sequence[Record],
    session: RunSession | None = None,
) -> Sequence[State | None]:
    """Commit a batch, in order; for each record the state before, None if it came too late.

    Raises RecordsTooLarge.
    """
    try:
        return _commit_in_transaction(db, directory, records, session)
    except (sqlite3.DataError, OverflowError, MemoryError, RecursionError):
        max_bytes = db.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)
        if too_large := [one.position for one in records if not _fits_into_rows(one, max_bytes)]:
            raise RecordsTooLarge(too_large) from None
        raise


def _fits_into_rows(record: Record, max_bytes: int) -> bool:
    """Whether the row of its attempt and that of its prediction can be held."""
    outcome = record.attempt.outcome
    try:
        prediction = encode_json(outcome.prediction) if isinstance(outcome, Reply) else ""
        log = "" if isinstance(outcome, Submitted) else escape_non_utf8(outcome.log)
        return max(_utf8_length(prediction), _utf8_length(log)) < max_bytes - _ROW_OVERHEAD_BYTES
    except (MemoryError, RecursionError, OverflowError):
        return False


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _commit_in_transaction(
    db: sqlite3.Connection,
    directory: Path,
    records: Sequence[Record],
    session: RunSession | None,
) -> Sequence[State | None]:
    with transaction(db):
        statuses = read_statuses(db, [one.position for one in records])
        accepted: list[Record] = []
        states_before: list[State | None] = []
        for one in records:
            before = statuses[one.position]
            after = transitions.apply_record(before, one)
            states_before.append(before.state if after else None)
            if after:
                statuses[one.position] = after
                accepted.append(one)
        _write_records(db, directory, accepted, statuses, session)
        write_statuses(db, statuses, {one.position for one in accepted})
        record_activity(db, session)
    return states_before


def mark_submitted(
    db: sqlite3.Connection,
    objects: Sequence[SubmittedObject],
    submitted_at: float,
    session: RunSession | None = None,
) -> int:
    """Mark as submitted what was found in the bucket; how many items."""
    with transaction(db):
        statuses = read_statuses(db, [one.position for one in objects])
        marked: dict[int, SubmittedObject] = {}
        for one in objects:
            if one.position in statuses:
                status = transitions.apply_found_object(
                    statuses[one.position], one.attempt, submitted_at
                )
                if status:
                    statuses[one.position] = status
                    marked[one.position] = one
        write_statuses(db, statuses, marked)
        write_rows(
            db,
            sql.INSERT_SUBMISSIONS,
            _make_submission_rows(db, marked, session and session.previous),
        )
        record_activity(db, session)
    return len(marked)


def _make_submission_rows(
    db: sqlite3.Connection, objects: Mapping[int, SubmittedObject], session: RunSession | None
) -> Iterator[tuple[Any, ...]]:
    """The rows of submissions that an earlier session made and was killed before recording."""
    if not objects:
        return
    for position, params in fetch_json_rows(
        db, sql.SELECT_ITEM_PARAMS, (encode_json(list(objects)),)
    ):
        found_object = objects[position]
        session_params = session.encode_sent_params(decode_json(params)) if session else None
        yield (
            position,
            found_object.attempt,
            found_object.name,
            session and session.number,
            session_params,
        )


def _write_records(
    db: sqlite3.Connection,
    directory: Path,
    records: Sequence[Record],
    statuses: Mapping[int, ItemStatus],
    session: RunSession | None,
) -> None:
    """Write attempts, predictions, submissions and inputs; bytes become files first."""
    attempts = {}
    submissions = []
    predictions: dict[tuple[int, int], tuple[str, str, int | None]] = {}
    outputs = []
    input_rows = []
    for record in records:
        number, files = record.attempt.number, record.attempt.outcome.inputs
        input_rows += [sent_file_to_row(record.position, number, file) for file in files]
        match record.attempt.outcome:
            case Submitted(name):
                submissions.append(
                    (record.position, number, name, *_get_session_params(record.attempt, session))
                )
                continue
            case Reply() as reply:
                stored_prediction, file_checksum = reply.prediction, None
                if reply.data is not None:
                    stored_prediction = make_output_name(record.position, number, reply.media_type)
                    outputs.append((stored_prediction, reply.data))
                    file_checksum = crc32(reply.data)
                predictions[record.position, number] = (
                    reply.media_type,
                    encode_json(stored_prediction),
                    file_checksum,
                )
            case Failure():
                pass
        # A reply may follow the failure of the same attempt within one batch.
        attempts[record.position, number] = record.attempt
    write_outputs(directory, outputs)
    write_rows(db, sql.INSERT_SUBMISSIONS, submissions)
    submitted_params = _read_submitted_params(
        db, [key for key, made in attempts.items() if made.params is None]
    )
    write_rows(
        db,
        sql.INSERT_ATTEMPTS,
        (
            attempt_to_row(
                key[0],
                made,
                submitted_params.get(key) or _get_session_params(made, session),
                predictions.get(key),
                statuses[key[0]].attempts,
            )
            for key, made in attempts.items()
        ),
    )
    write_rows(
        db,
        sql.INSERT_PREDICTIONS,
        ((*key, *prediction_cells) for key, prediction_cells in predictions.items()),
    )
    write_rows(db, sql.INSERT_INPUTS, input_rows)


def _get_session_params(attempt: Attempt, session: RunSession | None) -> SessionParams:
    """Session and parameters of an attempt that this process made."""
    if attempt.params is None:
        return None, None
    if session is None:
        return None, encode_json(attempt.params)
    return session.number, session.encode_sent_params(attempt.params)


def _read_submitted_params(
    db: sqlite3.Connection, attempts: Sequence[tuple[int, int]]
) -> Mapping[tuple[int, int], SessionParams]:
    """The same of attempts that were submitted, by position and number."""
    if not attempts:
        return {}
    submission_rows = fetch_json_rows(db, sql.SELECT_SUBMISSION_PARAMS, (encode_json(attempts),))
    return {
        (position, number): (session, params)
        for position, number, session, params in submission_rows
    }
