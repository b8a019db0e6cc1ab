"""Rows as they are read for people: compared with their checksums, made values.

The cells are those of `sql_read.SELECT_RESULTS_BY_STATE` and `SELECT_DETAILS_BY_STATE`. A row of a
version that kept no checksums is believed. What does not match is collected and left out; whoever
reads reports it at the end (`DamageCollector.raise_if_any`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from batchinfer.domain import (
    Attempt,
    Failure,
    FailureKind,
    InputFile,
    Outcome,
    Reply,
    Result,
    ResultDetails,
    SentFile,
    State,
)
from batchinfer.errors import RunDamaged
from batchinfer.store import checksums
from batchinfer.store.json_codec import decode_files, decode_json, encode_json, parse_rows

MISSING_ROW: Final = ("an item or more", "its row is gone, or has another state than was written")
_CHECKSUM_MISMATCH: Final = "it is not what was written: its checksum does not match"
_STATE_VALUES: Final = frozenset(state.value for state in State)
_SUCCEEDED_VALUE: Final = State.SUCCEEDED.value
_FINAL_STATE_VALUES: Final = frozenset({_SUCCEEDED_VALUE, State.FAILED.value})
_MAX_NAMED_DAMAGES: Final = 5
"""How many are named."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What does not match its checksum."""

    subject: str
    """As "the item 'a.jpg'" or "outputs/3-1.png"."""
    reason: str


class DamageCollector:
    """Collects damages, each once, however often it was read."""

    def __init__(self) -> None:
        self._by_subject: dict[str, Damage] = {}

    def __len__(self) -> int:
        return len(self._by_subject)

    def add(self, subject: str, reason: str) -> None:
        """Add one."""
        self._by_subject.setdefault(subject, Damage(subject, reason))

    def list_damages(self) -> Sequence[Damage]:
        """All of them, in the order they were found."""
        return tuple(self._by_subject.values())

    def raise_if_any(self) -> None:
        """Raises RunDamaged if anything was found."""
        if not self._by_subject:
            return
        named = [
            f"{each.subject}: {each.reason}" for each in self.list_damages()[:_MAX_NAMED_DAMAGES]
        ]
        more = f"; {len(self) - len(named)} more" if len(self) > len(named) else ""
        raise RunDamaged(
            f"The run directory is damaged ({'; '.join(named)}{more}). Damaged rows were skipped; "
            "all others are intact. Check the disk; take the run directory from a backup, or run "
            "these inputs again in a new run directory."
        )


def check_result_row(damages: DamageCollector, row: Sequence[Any]) -> bool:
    """Whether a row of a result or of its details is what was written; note it if not."""
    is_intact = _is_item_intact(row) and _is_attempt_intact(row) and _are_log_and_inputs_intact(row)
    if not is_intact:
        damages.add(f"the item {row[1]!r}", _CHECKSUM_MISMATCH)
    return is_intact


def _is_item_intact(row: Sequence[Any]) -> bool:
    position, key, path, files, params, checksum = (
        row[0],
        row[1],
        row[11],
        row[13],
        row[14],
        row[15],
    )
    return (
        checksum is None or checksums.checksum_item(position, key, path, files, params) == checksum
    )


def _is_attempt_intact(row: Sequence[Any]) -> bool:
    """Whether the attempt that is shown, its prediction, and what follows from both are intact."""
    position, _, state, prediction, media_type, code, message, attempts, seconds = row[:9]
    finished_at, shown_number, number, started_at, kind, retry_after, server_seconds = row[16:23]
    session, params, checksum, file_checksum = row[23:27]
    is_final = state in _FINAL_STATE_VALUES
    if (state == _SUCCEEDED_VALUE) != (media_type is not None) or state not in _STATE_VALUES:
        return False
    if is_final != (finished_at is not None):
        return False
    if number is None:
        return not is_final and not attempts
    if checksum is None:
        return True
    leading_cells = (position, number, started_at, seconds, code, message, kind, retry_after)
    cells = (*leading_cells, server_seconds, session, params)
    prediction_row = None if media_type is None else (media_type, prediction, file_checksum)
    return (
        number == shown_number
        and checksums.checksum_attempt(cells, prediction_row, attempts) == checksum
        and (not is_final or finished_at == started_at + seconds)
    )


def _are_log_and_inputs_intact(row: Sequence[Any]) -> bool:
    """Whether the log and the inputs of a row of details are intact."""
    if len(row) <= _RESULT_CELL_COUNT:
        return True
    log, log_checksum, inputs = row[_RESULT_CELL_COUNT:]
    if log_checksum is not None and checksums.checksum_text(log) != log_checksum:
        return False
    return all(
        input_checksum is None
        or checksums.checksum_input(row[0], row[17], *cells) == input_checksum
        for *cells, input_checksum in parse_rows(inputs)
    )


_RESULT_CELL_COUNT: Final = 27
"""Cells of a row of `SELECT_RESULTS_BY_STATE`."""


def check_attempt_row(damages: DamageCollector, key: str, row: Sequence[Any]) -> None:
    """Check a row of `SELECT_ATTEMPTS`, behind a position; a reply with its prediction."""
    *leading_cells, log, server_seconds, session, params, checksum, log_checksum = row
    is_failure = leading_cells[4] is not None
    cells = (*leading_cells, server_seconds, session, params)
    if (
        is_failure
        and checksum is not None
        and checksums.checksum_attempt(cells, None, leading_cells[1]) != checksum
    ) or (log_checksum is not None and checksums.checksum_text(log) != log_checksum):
        damages.add(f"attempt {leading_cells[1]} of the item {key!r}", _CHECKSUM_MISMATCH)


def check_input_row(damages: DamageCollector, key: str, row: Sequence[Any]) -> None:
    """Check a row of `SELECT_INPUTS`, behind a position."""
    *cells, checksum = row
    if checksum is not None and checksums.checksum_input(*cells) != checksum:
        damages.add(f"what was sent of the item {key!r}", _CHECKSUM_MISMATCH)


def row_to_result(row: Sequence[Any]) -> Result:
    """The result in a row of `SELECT_RESULTS_BY_STATE` or `SELECT_DETAILS_BY_STATE`."""
    _, key, state, prediction, media_type, code, message, attempts, seconds = row[:9]
    started_at, finished_at, path, params = row[9:13]
    return Result(
        key=key,
        state=State(state),
        prediction=None if prediction is None else decode_json(prediction),
        media_type=media_type,
        code=code,
        message=message,
        attempts=attempts,
        seconds=seconds,
        started_at=started_at,
        finished_at=finished_at,
        path=path,
        params=decode_json(params),
    )


def row_to_result_cells(row: Sequence[Any]) -> Sequence[Any]:
    """The cells of a row in the order of the fields of `Result`, JSON as the text that is stored.

    Text that no checksum covers (of older versions) is decoded and encoded: it may not be JSON.
    Raises ValueError if it is not.
    """
    cells = row[1:13]
    if row[15] is not None and (row[18] is None or row[25] is not None):
        return cells
    prediction, params = cells[2], cells[11]
    return (
        *cells[:2],
        None if prediction is None else encode_json(decode_json(prediction)),
        *cells[3:11],
        encode_json(decode_json(params)),
    )


def row_to_result_details(row: Sequence[Any]) -> ResultDetails:
    """The details in a row of `SELECT_DETAILS_BY_STATE`."""
    log, _, inputs = row[_RESULT_CELL_COUNT:]
    sent_files = {cells[0]: SentFile(*cells[:3]) for cells in parse_rows(inputs)}
    return ResultDetails(
        position=row[0],
        result=row_to_result(row),
        files=tuple(
            [_with_sent_size(file, sent_files.get(file.param)) for file in decode_files(row[13])]
        ),
        attempt=row[17],
        log=log or "",
        server_seconds=row[22],
        sha256={param: digest.sha256 for param, digest in sent_files.items()},
        session=row[23],
        file_checksum=row[26],
    )


def row_to_attempt(row: Sequence[Any]) -> Attempt:
    """The attempt in a row of `SELECT_ATTEMPTS`."""
    number, started_at, seconds, code, message, kind, retry_after, log, server_seconds = row[:9]
    outcome: Outcome = Reply(log=log, server_seconds=server_seconds)
    if code is not None:
        outcome = Failure(code, message, FailureKind(kind), retry_after, log)
    params = row[10]
    return Attempt(
        number, started_at, seconds, outcome, None if params is None else decode_json(params)
    )


def _with_sent_size(file: InputFile, sent_file: SentFile | None) -> InputFile:
    """The file with the size that was sent: the source may not have known one."""
    return (
        file
        if sent_file is None or sent_file.size == file.size
        else replace(file, size=sent_file.size)
    )
