"""Rows as they are read for people: compared with their checksums, made values.

The cells are those of `sql_read.SELECT_RESULTS_BY_STATE` and `SELECT_DETAILS_BY_STATE`, text as the
UTF-8 bytes that are stored: checksums are taken of these, and exports pass most of them on, so that
text is decoded only where it is looked into. A row of a version that kept no checksums is believed.
What does not match is collected and left out; whoever reads reports it at the end
(`DamageCollector.raise_if_any`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from zlib import crc32

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
from batchinfer.store.checksums import ATTEMPT_STRUCT, ITEM_STRUCT
from batchinfer.store.json_codec import (
    decode_files,
    decode_json,
    encode_json,
    parse_row,
    parse_rows,
)
from batchinfer.store.time_text import format_time

MISSING_ROW: Final = ("an item or more", "its row is gone, or has another state than was written")
_CHECKSUM_MISMATCH: Final = "it is not what was written: its checksum does not match"
_STATES: Final = frozenset(state.value.encode() for state in State)
_SUCCEEDED: Final = State.SUCCEEDED.value.encode()
_FINAL_STATES: Final = frozenset({_SUCCEEDED, State.FAILED.value.encode()})
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
    """Whether a row of a result or of its details is what was written; note it if not.

    Raises ValueError or TypeError for what can be no such row.
    """
    is_intact = is_result_intact(row[:RESULT_CELL_COUNT]) and _are_log_and_inputs_intact(row)
    if not is_intact:
        damages.add(f"the item {decode_text(row[1])!r}", _CHECKSUM_MISMATCH)
    return is_intact


def is_result_intact(cells: Sequence[Any]) -> bool:
    """Whether the item, the attempt that is shown, and its prediction are what was written.

    Raises as `check_result_row`.
    """
    (
        position,
        key,
        state,
        prediction,
        media_type,
        code,
        message,
        attempts,
        seconds,
        started_at,
        finished_at,
        path,
        _,  # the parameters that are shown: one of those below
        files,
        item_params,
        item_checksum,
        shown_number,
        number,
        kind,
        retry_after,
        server_seconds,
        session,
        params,
        checksum,
        file_checksum,
        reused,
    ) = cells
    is_final = state in _FINAL_STATES
    is_reply = media_type is not None
    if (
        not (is_final or state in _STATES)
        or (state == _SUCCEEDED) != is_reply
        or is_final != (finished_at is not None)
        or not _is_reused_intact(position, reused)
    ):
        return False
    if item_checksum is not None and item_checksum != checksums.checksum_item(
        position, key, path, files, item_params
    ):
        return False
    if number is None:
        return not is_final and not attempts
    if checksum is None:
        return True
    if number != shown_number or (is_final and finished_at != started_at + seconds):
        return False
    attempt_row = (
        *(position, number, started_at, seconds, code, message, kind),
        *(retry_after, server_seconds, session, params),
    )
    prediction_row = (media_type, prediction, file_checksum) if is_reply else None
    found = checksums.checksum_attempt(attempt_row, prediction_row, attempts, b"")
    return bool(found == checksum)


def is_intact_reply(row: Sequence[Any]) -> bool:
    """Whether the row is the usual one: of a reply, all its text covered by checksums, and intact.

    The same as `is_result_intact` says of it, without a call or a value that can be spared: it is
    asked for every row of an export. False: `check_result_row` decides.
    """
    (
        position,
        key,
        state,
        prediction,
        media_type,
        code,
        message,
        attempts,
        seconds,
        started_at,
        finished_at,
        path,
        _,
        files,
        item_params,
        item_checksum,
        shown_number,
        number,
        kind,
        retry_after,
        server_seconds,
        session,
        params,
        checksum,
        file_checksum,
        reused,
    ) = row
    if state != _SUCCEEDED or media_type is None or number != shown_number:
        return False
    if not (code is message is kind is retry_after is None):
        return False
    if reused is not None and not _is_reused_intact(position, reused):
        return False
    try:
        item_texts = b"\x1f".join((key, path or b"", files, item_params))
        if crc32(item_texts, crc32(ITEM_STRUCT.pack(position))) != item_checksum:
            return False
        numbers = ATTEMPT_STRUCT.pack(
            *(position, number, started_at, seconds, -1.0),
            -1.0 if server_seconds is None else server_seconds,
            session or 0,
            -1 if file_checksum is None else file_checksum,
            attempts,
        )
        texts = b"\x1f".join((b"", b"", b"", params or b"", media_type, prediction or b""))
        is_intact = crc32(texts, crc32(numbers)) == checksum
        return is_intact and bool(finished_at == started_at + seconds)
    except (TypeError, struct.error):
        return False


def has_checksums(row: Sequence[Any]) -> bool:
    """Whether checksums cover all text of a row: it is of no older version."""
    return row[15] is not None and (row[17] is None or row[23] is not None)


def _are_log_and_inputs_intact(row: Sequence[Any]) -> bool:
    """Whether the log and the inputs of a row of details are intact."""
    if len(row) <= RESULT_CELL_COUNT:
        return True
    log, log_checksum, inputs = row[RESULT_CELL_COUNT:]
    if log_checksum is not None and crc32(log) != log_checksum:
        return False
    return all(
        input_checksum is None
        or checksums.checksum_input(row[0], row[16], *cells) == input_checksum
        for *cells, input_checksum in parse_rows(decode_text(inputs))
    )


RESULT_CELL_COUNT: Final = 26
"""Cells of a row of `SELECT_RESULTS_BY_STATE`."""


def check_attempt_row(damages: DamageCollector, key: str, row: Sequence[Any]) -> None:
    """Check a row of `SELECT_ATTEMPTS`, behind a position; a reply with its prediction."""
    *leading_cells, log, server_seconds, session, params, checksum, log_checksum, _ = row
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
        key=decode_text(key),
        state=State(decode_text(state)),
        prediction=None if prediction is None else decode_json(decode_text(prediction)),
        media_type=_decode_optional(media_type),
        code=_decode_optional(code),
        message=_decode_optional(message),
        attempts=attempts,
        seconds=seconds,
        started_at=format_time(started_at),
        finished_at=format_time(finished_at),
        path=_decode_optional(path),
        params=decode_json(decode_text(params)),
        reused=_decode_optional(_get_reused_run(row[25])),
    )


def row_to_result_cells(row: Sequence[Any]) -> Sequence[Any]:
    """The cells of a row in the order of the fields of `Result`: JSON as it is stored, and times.

    What no checksum covers (of older versions) is looked at: it may be neither JSON nor a time.
    Raises ValueError or TypeError if it is not.
    """
    cells = take_result_cells(row)
    if has_checksums(row):
        return cells
    prediction, params = cells[2], cells[11]
    format_time(cells[8]), format_time(cells[9])
    return (
        *cells[:2],
        None if prediction is None else _encode_again(prediction),
        *cells[3:11],
        _encode_again(params),
        cells[12],
    )


def take_result_cells(row: Sequence[Any]) -> Sequence[Any]:
    """The cells of the fields of `Result`, in their order."""
    return (*row[1:13], _get_reused_run(row[25]))


def _get_reused_run(cell: bytes | None) -> bytes | None:
    """The name of the run that a result was taken over from."""
    return None if cell is None else str(parse_row(cell)[1]).encode()


def _is_reused_intact(position: int, cell: bytes | None) -> bool:
    """Whether what is said of where a result was taken over from is what was written."""
    if cell is None:
        return True
    try:
        number, run, run_id, key, checksum = parse_row(cell)
        return bool(checksums.checksum_reused(position, number, run, run_id, key) == checksum)
    except (ValueError, TypeError, AttributeError):
        return False


def _encode_again(text: bytes) -> bytes:
    return encode_json(decode_json(decode_text(text))).encode()


def row_to_result_details(row: Sequence[Any]) -> ResultDetails:
    """The details in a row of `SELECT_DETAILS_BY_STATE`."""
    log, _, inputs = row[RESULT_CELL_COUNT:]
    sent_files = {cells[0]: SentFile(*cells[:3]) for cells in parse_rows(decode_text(inputs))}
    files = decode_files(decode_text(row[13]))
    return ResultDetails(
        position=row[0],
        result=row_to_result(row),
        files=tuple([_with_sent_size(file, sent_files.get(file.param)) for file in files]),
        attempt=row[16],
        log=decode_text(log or b""),
        server_seconds=row[20],
        sha256={param: digest.sha256 for param, digest in sent_files.items()},
        session=row[21],
        file_checksum=row[24],
    )


def decode_text(cell: bytes) -> str:
    """The text of a cell, also when it is no UTF-8 any more: a checksum shows that."""
    return str(cell, "utf-8", "surrogateescape")


def _decode_optional(cell: bytes | None) -> str | None:
    return None if cell is None else str(cell, "utf-8", "surrogateescape")


def row_to_attempt(row: Sequence[Any]) -> Attempt:
    """The attempt in a row of `SELECT_ATTEMPTS`."""
    number, started_at, seconds, code, message, kind, retry_after, log, server_seconds = row[:9]
    outcome: Outcome = Reply(log=log, server_seconds=server_seconds)
    if code is not None:
        outcome = Failure(code, message, FailureKind(kind), retry_after, log)
    params, service = row[10], row[13]
    return Attempt(
        number,
        started_at,
        seconds,
        outcome,
        None if params is None else decode_json(params),
        service,
    )


def _with_sent_size(file: InputFile, sent_file: SentFile | None) -> InputFile:
    """The file with the size that was sent: the source may not have known one."""
    return (
        file
        if sent_file is None or sent_file.size == file.size
        else replace(file, size=sent_file.size)
    )
