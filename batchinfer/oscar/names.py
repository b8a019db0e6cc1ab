"""Names of our objects in the bucket. Pure.

The service script cuts an input's name at its first dot and drops its folders, and treats two
words specially (contract section 2, "Output names"). So a name of ours is flat, has no dot but the
last, and is unique per run, item, attempt, process and payload::

    inputs/<run>-<position>-<attempt>-<epoch><digest>.json
    outputs/<run>-<position>-<attempt>-<epoch><digest>.json | .log

The epoch is random, and new in every process that submits: two copies of a run directory, or one
that was restored from a backup, never use the same name. The digest tells what was sent, also where
the record of it was lost. Names in runs of a format before version 5 end behind the
attempt: they are still read.

Run ids have one length, positions nine digits: key order, in which buckets are listed, is position
order. A run id has no dash, so a name can hold neither `event-file` nor begin with `tmp-file-`.
Every other key (the folders' own markers, other runs, orphans, strangers) is None to the parsers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, cast

INPUTS: Final = "inputs/"
OUTPUTS: Final = "outputs/"

MAX_POSITION: Final = 999_999_999
"""The last position that nine digits can spell."""

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_ALPHABET: Final = _LETTERS + "0123456789"
_ID_LENGTH: Final = 10
_ID_BYTES: Final = 8
_EPOCH_LENGTH: Final = 8
_EPOCH_BYTES: Final = 6
_DIGEST_LENGTH: Final = 16
_TAG: Final = rf"[a-z0-9]{{{_EPOCH_LENGTH}}}[0-9a-f]{{{_DIGEST_LENGTH}}}"
_TAIL: Final = re.compile(
    rf"(?P<position>[0-9]{{9}})-(?P<attempt>[1-9][0-9]{{0,8}})(?:-(?P<tag>{_TAG}))?"
)
_RUN_ID: Final = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class ObjectName:
    """A name of ours, taken apart."""

    position: int
    attempt: int
    tag: str = ""
    """Epoch and digest; empty in runs of a format before version 5."""

    @property
    def digest(self) -> str | None:
        """What `payload_digest` said of the payload; None where there is no tag."""
        return self.tag[_EPOCH_LENGTH:] or None


@dataclass(frozen=True, slots=True)
class Output:
    """One of our objects in `outputs/`."""

    base: str
    """Its name without folder and extension."""
    name: ObjectName
    extension: Literal["json", "log"]


def new_run_id(random_bytes: bytes) -> str:
    """A run id of ten lower-case letters and digits, the first a letter, from 8 random bytes.

    Raises ValueError on fewer bytes.
    """
    if len(random_bytes) < _ID_BYTES:
        raise ValueError(f"a run id needs {_ID_BYTES} random bytes, not {len(random_bytes)}")
    number, first = divmod(int.from_bytes(random_bytes[:_ID_BYTES]), len(_LETTERS))
    return _LETTERS[first] + _spell(number, _ID_LENGTH - 1)


def new_epoch(random_bytes: bytes) -> str:
    """The epoch of a process that submits, from 6 random bytes. Raises ValueError on fewer."""
    if len(random_bytes) < _EPOCH_BYTES:
        raise ValueError(f"an epoch needs {_EPOCH_BYTES} random bytes, not {len(random_bytes)}")
    return _spell(int.from_bytes(random_bytes[:_EPOCH_BYTES]), _EPOCH_LENGTH)


def payload_digest(payload: bytes | memoryview) -> str:
    """64 bits of the sha256 of what is sent, in hexadecimal."""
    return sha256(payload).hexdigest()[:_DIGEST_LENGTH]


def object_name(run_id: str, position: int, attempt: int, tag: str = "") -> str:
    """`<run>-<position>-<attempt>-<tag>`, without folder and extension.

    `tag`: an epoch and a digest. Raises ValueError on what would not survive the platform or the
    key order.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise ValueError(f"run id {run_id!r} is not lower-case letters and digits")
    if not 1 <= position <= MAX_POSITION or attempt < 1:
        raise ValueError(f"no object can be named for position {position}, attempt {attempt}")
    if tag and not re.fullmatch(_TAG, tag):
        raise ValueError(f"{tag!r} is no epoch and digest")
    return f"{run_id}-{position:09d}-{attempt}{tag and '-'}{tag}"


def parse_name(run_id: str, base: str) -> ObjectName | None:
    """The parts of a name that `object_name` made for this run; None for any other."""
    run, dash, tail = base.partition("-")
    found = _TAIL.fullmatch(tail) if dash and run == run_id else None
    if found is None or not (position := int(found["position"])):
        return None
    return ObjectName(position, int(found["attempt"]), found["tag"] or "")


def parse_input(run_id: str, key: str) -> tuple[str, ObjectName] | None:
    """The name, and its parts, of an object key that is this run's input; None for any other."""
    base = key.removeprefix(INPUTS).removesuffix(".json")
    name = parse_name(run_id, base)
    return None if name is None or key != f"{INPUTS}{base}.json" else (base, name)


def parse_output(run_id: str, key: str) -> Output | None:
    """What an object key in the bucket is to this run; None when it is not its output."""
    base, dot, extension = key.removeprefix(OUTPUTS).partition(".")
    if not (key.startswith(OUTPUTS) and dot and extension in {"json", "log"}):
        return None
    if (name := parse_name(run_id, base)) is None:
        return None
    return Output(base, name, extension=cast(Literal["json", "log"], extension))


def start_after(run_id: str, position: int) -> str:
    """The `StartAfter` of a listing that begins with the first output of `position`.

    It is no key itself, and sorts after every output of a lower position of this run.
    """
    return f"{OUTPUTS}{run_id}-{position:09d}"


def _spell(number: int, length: int) -> str:
    characters = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[digit])
    return "".join(characters)
