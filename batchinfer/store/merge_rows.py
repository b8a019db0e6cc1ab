"""Rows of one run as they stand in another: another position, and checksums with that. Pure.

A row that had no checksum, of an older version, gets none: nobody knows that it is intact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchinfer.domain import JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE
from batchinfer.store import checksums
from batchinfer.store.json_codec import encode_json

_TEXT_MEDIA_TYPES: Final = {JSON_MEDIA_TYPE.encode(), TEXT_MEDIA_TYPE.encode()}


@dataclass(frozen=True, slots=True)
class MergeRow:
    """An item with its status, the attempt that is shown, and its prediction."""

    cells: Sequence[Any]
    """Of `SELECT_ROWS_TO_MERGE`."""

    @property
    def position(self) -> int:
        """In its own run."""
        return int(self.cells[0])

    @property
    def key(self) -> bytes:
        """The item's key."""
        key: bytes = self.cells[1]
        return key

    @property
    def path(self) -> bytes | None:
        """Of its first file."""
        path: bytes | None = self.cells[11]
        return path

    @property
    def size(self) -> int:
        """Bytes of the cells that may be long: prediction, message, files, parameters, log."""
        cells = self.cells
        return (
            len(cells[13])
            + len(cells[14])
            + len(cells[3] or b"")
            + len(cells[6] or b"")
            + len(cells[26] or b"")
        )

    @property
    def has_attempt(self) -> bool:
        """Whether there is an attempt with an outcome."""
        return self.cells[17] is not None

    @property
    def has_file(self) -> bool:
        """Whether there is a file in `outputs/`: its prediction, or an archive beside it."""
        return is_file_type(self.cells[4]) or self.has_archive

    @property
    def has_archive(self) -> bool:
        """Whether its prediction is data, and there is an archive beside it."""
        return (
            self.cells[24] is not None
            and self.cells[4] is not None
            and not is_file_type(self.cells[4])
        )


def is_file_type(media_type: bytes | None) -> bool:
    """Whether a prediction of this type names a file in `outputs/`."""
    return media_type is not None and media_type not in _TEXT_MEDIA_TYPES


def make_item_cells(position: int, row: MergeRow) -> Sequence[Any]:
    """What `INSERT_MERGED_ITEMS` and `REPLACE_MERGED_ITEMS` write."""
    cells = row.cells
    key, path, files, params, checksum = cells[1], cells[11], cells[13], cells[14], cells[15]
    if checksum is not None:
        checksum = checksums.checksum_item(position, key, path, files, params)
    state, attempts, finished_at = cells[2], cells[7], cells[10]
    spared, retry_at, in_bucket, submitted_at = cells[28:32]
    return (
        *(position, key, path, files, params, checksum, state, attempts, spared, retry_at),
        *(in_bucket, submitted_at, finished_at),
    )


def make_prediction_cells(position: int, row: MergeRow, file: str | None) -> Sequence[Any] | None:
    """What `INSERT_MERGED_PREDICTIONS` writes; None: there is no prediction.

    `file`: the name of its file in the run that is written, if it has one.
    """
    prediction, media_type = row.cells[3:5]
    number, file_checksum = row.cells[16], row.cells[24]
    if media_type is None:
        return None
    if file is not None and not row.has_archive:
        prediction = encode_json(file).encode()
    return position, number, media_type, prediction, file_checksum


def make_attempt_cells(
    position: int, row: MergeRow, session: int | None, prediction: Sequence[Any] | None
) -> Sequence[Any]:
    """What `INSERT_MERGED_ATTEMPTS` writes of the attempt that is shown.

    `session`: its number in the run that is written. `prediction`: what `make_prediction_cells`
    made.
    """
    cells = row.cells
    code, message, attempts, seconds, started_at = cells[5:10]
    number, kind, retry_after, server_seconds, _, params, checksum = cells[17:24]
    leading = (position, number, started_at, seconds, code, message, kind, retry_after)
    covered = (*leading, server_seconds, session, params)
    if checksum is not None:
        checksum = checksums.checksum_attempt(
            covered, None if prediction is None else prediction[2:5], attempts, b""
        )
    return (*covered, checksum, *cells[26:28], cells[32])


def move_attempt(position: int, cells: Sequence[Any], session: int | None) -> Sequence[Any]:
    """The same of an attempt that `MergeInput.iter_attempts` read, which is not shown."""
    _, number, started_at, seconds, code, message, kind, retry_after, server_seconds = cells[:9]
    params, checksum, log, log_checksum, service = cells[10:15]
    leading = (position, number, started_at, seconds, code, message, kind, retry_after)
    covered = (*leading, server_seconds, session, params)
    if checksum is not None:
        checksum = checksums.checksum_attempt(covered, None, number, b"")
    return (*covered, checksum, log, log_checksum, service)


def move_input(position: int, cells: Sequence[Any]) -> Sequence[Any]:
    """What `INSERT_MERGED_INPUTS` writes of a row that `MergeInput.iter_inputs` read."""
    _, number, param, size, digest, checksum = cells
    if checksum is not None:
        checksum = checksums.checksum_input(position, number, param, size, digest)
    return position, number, param, size, digest, checksum


def move_reused(position: int, cells: Sequence[Any]) -> Sequence[Any]:
    """What `INSERT_MERGED_REUSED` writes of a row that `MergeInput.iter_reused` read."""
    row = (position, *cells[1:])
    return (*row, checksums.checksum_reused(*row))
