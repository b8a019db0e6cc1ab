"""Writes records: one batch, one transaction. `transitions` decides what changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from batchinfer.domain import Attempt, Failure, Record, Reply, ReusedFrom, State, Submitted
from batchinfer.ports import RecordsTooLarge, SubmittedObject
from batchinfer.store import sql_write as sql
from batchinfer.store import transitions
from batchinfer.store.checksums import checksum_reused
from batchinfer.store.database import transaction
from batchinfer.store.first_replies import (
    UnexpectedStatusError,
    mark_succeeded,
    split_first_replies,
)
from batchinfer.store.item_counts import CountChanges
from batchinfer.store.json_codec import decode_json, encode_json, escape_non_utf8
from batchinfer.store.output_files import is_stored_as_file, make_output, write_outputs
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
    replies, others = split_first_replies(records)
    try:
        return _commit_replies_and_others(db, directory, records, replies, others, session)
    except UnexpectedStatusError:
        return _commit_replies_and_others(db, directory, records, (), records, session)


def _commit_replies_and_others(  # noqa: PLR0917 - a step of the above
    db: sqlite3.Connection,
    directory: Path,
    records: Sequence[Record],
    replies: Sequence[Record],
    others: Sequence[Record],
    session: RunSession | None,
) -> Sequence[State | None]:
    """Commit `records`: first `replies`, and the `others`. Raises UnexpectedStatusError."""
    with transaction(db):
        counts = CountChanges()
        state_before = mark_succeeded(db, replies, counts)
        item_attempts = {one.position: one.attempt.number for one in replies}
        accepted, states_before = _apply_records(db, others, item_attempts, counts)
        _write_records(db, directory, [*replies, *accepted], item_attempts, session)
        counts.write(db)
        record_activity(db, session)
    if not replies:
        return states_before
    remaining = iter(states_before)
    other_ids = set(map(id, others))
    return [next(remaining) if id(one) in other_ids else state_before for one in records]


def _apply_records(
    db: sqlite3.Connection,
    records: Sequence[Record],
    item_attempts: dict[int, int],
    counts: CountChanges,
) -> tuple[Sequence[Record], Sequence[State | None]]:
    """Write what `transitions` decides; the records that count, and the states before, of each.

    The attempts of the items are added to `item_attempts`, what changes in the counts to `counts`.
    """
    accepted: list[Record] = []
    states_before: list[State | None] = []
    if not records:
        return accepted, states_before
    statuses = read_statuses(db, [one.position for one in records])
    for one in records:
        before = statuses[one.position]
        after = transitions.apply_record(before, one)
        states_before.append(before.state if after else None)
        if after:
            statuses[one.position] = after
            accepted.append(one)
            if after.state is not before.state:
                counts.add(before.state, -1)
                counts.add_outcome(one.position, after.state, one.attempt.outcome)
    item_attempts.update((position, status.attempts) for position, status in statuses.items())
    write_statuses(db, statuses, {one.position for one in accepted})
    return accepted, states_before


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
        counts = CountChanges()
        counts.add(State.PENDING, -len(marked))
        counts.add(State.SUBMITTED, len(marked))
        counts.write(db)
        write_rows(
            db,
            sql.INSERT_SUBMISSIONS,
            _make_submission_rows(db, marked, session and session.previous),
            sql.SUBMISSION_LONG_CELLS,
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
    item_attempts: Mapping[int, int],
    session: RunSession | None,
) -> None:
    """Write attempts, predictions, submissions and inputs; bytes become files first.

    `item_attempts`: by position, `attempts` of the item, now that these records count.
    """
    attempts = {}
    submissions = []
    predictions: dict[tuple[int, int], tuple[str, str, int | None]] = {}
    outputs = []
    input_rows = []
    reused_rows = []
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
                output = make_output(record.position, number, reply)
                if output is not None:
                    name, data = output
                    outputs.append(output)
                    file_checksum = crc32(data)
                    if is_stored_as_file(reply):
                        stored_prediction = name
                if reply.reused is not None:
                    reused_rows.append(_make_reused_row(record.position, number, reply.reused))
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
    write_rows(db, sql.INSERT_SUBMISSIONS, submissions, sql.SUBMISSION_LONG_CELLS)
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
                item_attempts[key[0]],
            )
            for key, made in attempts.items()
        ),
        sql.ATTEMPT_LONG_CELLS,
    )
    write_rows(
        db,
        sql.INSERT_PREDICTIONS,
        ((*key, *prediction_cells) for key, prediction_cells in predictions.items()),
        sql.PREDICTION_LONG_CELLS,
    )
    write_rows(db, sql.INSERT_INPUTS, input_rows)
    write_rows(db, sql.INSERT_REUSED, reused_rows)


def _make_reused_row(position: int, number: int, reused: ReusedFrom) -> tuple[Any, ...]:
    row = (position, number, escape_non_utf8(reused.run), reused.run_id, reused.key)
    return (*row, checksum_reused(*row))


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
