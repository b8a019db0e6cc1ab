"""Which of two versions of one item a merge takes. Pure; has no database and no clock.

Rules: a result is never replaced by another one, nor by none. Without a result, the version that
has come further is taken. Versions that contradict each other are reported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Final

from batchinfer.store.json_codec import equal_as_json

_FAILED: Final = b"failed"


@dataclass(frozen=True, slots=True)
class ItemVersion:
    """An item as one run has it; text as the bytes that are stored."""

    state: bytes
    attempts: int
    uncounted_attempts: int
    files: bytes
    params: bytes
    result: tuple[bytes, bytes] | None = None
    """Media type, and a digest of the prediction; None: there is none."""
    sent: bytes | None = None
    """Size and sha256 of all files that brought the result; None: not known, or no files."""


class VersionChoice(Enum):
    """What is done with the version that a merge meets second."""

    EQUAL = "equal"
    """Nothing: both are the same, or the first one has come further."""
    FURTHER = "further"
    """It is taken in place of the first."""
    OTHER_INPUTS = "other inputs"
    """Refused: the key stands for something else."""
    OTHER_RESULT = "another result"
    """Refused: the same inputs brought another prediction."""


def choose_version(first: ItemVersion, second: ItemVersion) -> VersionChoice:
    """What to do with the second version of an item."""
    if not _have_same_inputs(first, second):
        return VersionChoice.OTHER_INPUTS
    if first.result is not None:
        if second.result not in {None, first.result}:
            return VersionChoice.OTHER_RESULT
        return VersionChoice.EQUAL
    is_further = second.result is not None or _get_progress(second) > _get_progress(first)
    return VersionChoice.FURTHER if is_further else VersionChoice.EQUAL


def _get_progress(version: ItemVersion) -> tuple[int, int]:
    """How far a version without a result has come: more is further."""
    was_put_back = version.attempts == version.uncounted_attempts > 0
    if version.state == _FAILED:
        return version.attempts, 1
    # What `retry` put back to pending was failed before that.
    return version.attempts, 2 if was_put_back else 0


def _have_same_inputs(first: ItemVersion, second: ItemVersion) -> bool:
    if first.params != second.params and not equal_as_json(
        json.loads(first.params), json.loads(second.params)
    ):
        return False
    if first.sent is not None and second.sent is not None:
        return first.sent == second.sent
    return first.files == second.files or _list_paths(first) == _list_paths(second)


def _list_paths(version: ItemVersion) -> list[tuple[str, str]]:
    """Of an item's files. Their times may differ, and sizes: a file that failed was repaired."""
    return [(file["param"], file["path"]) for file in json.loads(version.files)]
