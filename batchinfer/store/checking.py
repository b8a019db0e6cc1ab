"""Rows as they are read for people: compared with their checksums, made values.

The cells are those of `read_sql.RESULTS` and `DOSSIERS`. A row of a version that kept no
checksums is believed. What does not match is noted and left out; whoever has read tells
(`Damages.tell`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from batchinfer.domain import (
    Attempt,
    Digest,
    Dossier,
    Failure,
    InputFile,
    Kind,
    Outcome,
    Reply,
    Result,
    State,
)
from batchinfer.errors import RunDamaged
from batchinfer.store import checksums
from batchinfer.store.checksums import Damage
from batchinfer.store.codec import decode, decode_files, rows

MISSING: Final = ("an item or more", "its row is gone, or has another state than was written")
_WHY: Final = "it is not what was written: its checksum does not match"
_STATES: Final = frozenset(state.value for state in State)
_SUCCEEDED: Final = State.SUCCEEDED.value
_FINAL: Final = frozenset({_SUCCEEDED, State.FAILED.value})
_TOLD: Final = 5
"""How many are named."""


class Damages:
    """What was found damaged, each once, however often it was read."""

    def __init__(self) -> None:
        self._found: dict[str, Damage] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, what: str, why: str) -> None:
        """Note one."""
        self._found.setdefault(what, Damage(what, why))

    def found(self) -> Sequence[Damage]:
        """All of them, in the order they were found."""
        return tuple(self._found.values())

    def tell(self) -> None:
        """Raises RunDamaged if anything was found."""
        if not self._found:
            return
        named = [f"{each.what}: {each.why}" for each in self.found()[:_TOLD]]
        more = f"; {len(self) - len(named)} more" if len(self) > len(named) else ""
        raise RunDamaged(
            f"The run directory is damaged ({'; '.join(named)}{more}). "
            "What is damaged is left out, all else is sound. Check the disk; take the run "
            "directory from a backup, or run these inputs again in a new run directory."
        )


def check_row(damages: Damages, row: Sequence[Any]) -> bool:
    """Whether a row of `RESULTS` or `DOSSIERS` is what was written; if not, that is noted."""
    sound = _item_is_sound(row) and _attempt_is_sound(row) and _rest_is_sound(row)
    if not sound:
        damages.add(f"the item {row[1]!r}", _WHY)
    return sound


def _item_is_sound(row: Sequence[Any]) -> bool:
    position, key, path, files, params, kept = row[0], row[1], row[11], row[13], row[14], row[15]
    return kept is None or checksums.of_item(position, key, path, files, params) == kept


def _attempt_is_sound(row: Sequence[Any]) -> bool:
    """Whether the attempt that is shown, its prediction, and what follows from both are sound."""
    position, _, state, prediction, media_type, code, message, attempts, seconds = row[:9]
    finished_at, shown, number, started_at, kind, retry_after, server_seconds = row[16:23]
    session, params, kept, of_file = row[23:27]
    final = state in _FINAL
    if (state == _SUCCEEDED) != (media_type is not None) or state not in _STATES:
        return False
    if final != (finished_at is not None):
        return False
    if number is None:
        return not final and not attempts
    if kept is None:
        return True
    made = (position, number, started_at, seconds, code, message, kind, retry_after)
    cells = (*made, server_seconds, session, params)
    brought = None if media_type is None else (media_type, prediction, of_file)
    return (
        number == shown
        and checksums.of_attempt(cells, brought, attempts) == kept
        and (not final or finished_at == started_at + seconds)
    )


def _rest_is_sound(row: Sequence[Any]) -> bool:
    """Whether the log and the inputs of a dossier are sound."""
    if len(row) <= _RESULT:
        return True
    log, kept, inputs = row[_RESULT:]
    if kept is not None and checksums.of_text(log) != kept:
        return False
    return all(
        of_input is None or checksums.of_input(row[0], row[17], *cells) == of_input
        for *cells, of_input in rows(inputs)
    )


_RESULT: Final = 27
"""Cells of a row of `RESULTS`."""


def check_failure(damages: Damages, key: str, row: Sequence[Any]) -> None:
    """Check a row of `ATTEMPTS_OF`, behind a position; a reply is checked with what it brought."""
    *made, log, server_seconds, session, params, kept, of_log = row
    failed = made[4] is not None
    cells = (*made, server_seconds, session, params)
    if (failed and kept is not None and checksums.of_attempt(cells, None, made[1]) != kept) or (
        of_log is not None and checksums.of_text(log) != of_log
    ):
        damages.add(f"attempt {made[1]} of the item {key!r}", _WHY)


def check_input(damages: Damages, key: str, row: Sequence[Any]) -> None:
    """Check a row of `INPUTS_OF`, behind a position."""
    *cells, kept = row
    if kept is not None and checksums.of_input(*cells) != kept:
        damages.add(f"what was sent of the item {key!r}", _WHY)


def result_of(row: Sequence[Any]) -> Result:
    """The result in a row of `RESULTS` or `DOSSIERS`."""
    _, key, state, prediction, media_type, code, message, attempts, seconds = row[:9]
    started_at, finished_at, path, params = row[9:13]
    return Result(
        key=key,
        state=State(state),
        prediction=None if prediction is None else decode(prediction),
        media_type=media_type,
        code=code,
        message=message,
        attempts=attempts,
        seconds=seconds,
        started_at=started_at,
        finished_at=finished_at,
        path=path,
        params=decode(params),
    )


def dossier_of(row: Sequence[Any]) -> Dossier:
    """The dossier in a row of `DOSSIERS`."""
    log, _, inputs = row[_RESULT:]
    sent = {cells[0]: Digest(*cells[:3]) for cells in rows(inputs)}
    return Dossier(
        position=row[0],
        result=result_of(row),
        files=tuple([_as_sent(file, sent.get(file.param)) for file in decode_files(row[13])]),
        attempt=row[17],
        log=log or "",
        server_seconds=row[22],
        sha256={param: digest.sha256 for param, digest in sent.items()},
        session=row[23],
        file_checksum=row[26],
    )


def attempt_of(row: Sequence[Any]) -> Attempt:
    """The attempt in a row of `ATTEMPTS_OF`."""
    number, started_at, seconds, code, message, kind, retry_after, log, server_seconds = row[:9]
    outcome: Outcome = Reply(log=log, server_seconds=server_seconds)
    if code is not None:
        outcome = Failure(code, message, Kind(kind), retry_after, log)
    sent = row[10]
    return Attempt(number, started_at, seconds, outcome, None if sent is None else decode(sent))


def _as_sent(file: InputFile, sent: Digest | None) -> InputFile:
    """The file with the size that was sent: the source may not have known one."""
    return file if sent is None or sent.size == file.size else replace(file, size=sent.size)
