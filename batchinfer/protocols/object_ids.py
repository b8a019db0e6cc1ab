"""Ids of runs and of processes that submit, and the parts of an object's name. Pure.

A run id has ten lower-case letters and digits and no dash, so that it can begin the name of an
object. An epoch is random and new in every process that submits: two copies of a run directory, or
one that was restored from a backup, never use the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

EPOCH_LENGTH: Final = 8
DIGEST_LENGTH: Final = 16

_LOWERCASE_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_BASE36_ALPHABET: Final = _LOWERCASE_LETTERS + "0123456789"
_RUN_ID_LENGTH: Final = 10
_RUN_ID_BYTES: Final = 8
_EPOCH_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class ObjectName:
    """The parts of the name of an object that belongs to an attempt."""

    position: int
    attempt: int
    tag: str = ""
    """Epoch and digest; empty in runs of a format before version 5."""

    @property
    def digest(self) -> str | None:
        """What `make_digest` returned for the payload; None where there is no tag."""
        return self.tag[EPOCH_LENGTH:] or None


@dataclass(frozen=True, slots=True)
class OutputKey:
    """The key of an output of a run."""

    base_name: str
    """Its name without folder and extension."""
    parsed_name: ObjectName
    extension: Literal["json", "log"]


def new_run_id(random_bytes: bytes) -> str:
    """A run id of ten lower-case letters and digits, the first a letter, from 8 random bytes.

    Raises ValueError on fewer bytes.
    """
    if len(random_bytes) < _RUN_ID_BYTES:
        raise ValueError(f"a run id needs {_RUN_ID_BYTES} random bytes, not {len(random_bytes)}")
    number, first = divmod(int.from_bytes(random_bytes[:_RUN_ID_BYTES]), len(_LOWERCASE_LETTERS))
    return _LOWERCASE_LETTERS[first] + _encode_base36(number, _RUN_ID_LENGTH - 1)


def new_epoch(random_bytes: bytes) -> str:
    """The epoch of a process that submits, from 6 random bytes. Raises ValueError on fewer."""
    if len(random_bytes) < _EPOCH_BYTES:
        raise ValueError(f"an epoch needs {_EPOCH_BYTES} random bytes, not {len(random_bytes)}")
    return _encode_base36(int.from_bytes(random_bytes[:_EPOCH_BYTES]), EPOCH_LENGTH)


def make_digest(payload_sha256: str) -> str:
    """64 bits of the sha256 of what is sent, both in hexadecimal."""
    return payload_sha256[:DIGEST_LENGTH]


def _encode_base36(number: int, length: int) -> str:
    characters = []
    for _ in range(length):
        number, digit = divmod(number, len(_BASE36_ALPHABET))
        characters.append(_BASE36_ALPHABET[digit])
    return "".join(characters)
