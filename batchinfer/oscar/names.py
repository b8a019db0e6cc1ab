"""Names of our objects in the bucket. Pure.

The service script cuts an input's name at its first dot and drops its folders, and treats two
words specially (contract section 2, "Output names"). So a name of ours is flat, has no dot but the
last, and is unique per run, item and attempt::

    inputs/<run>-<position>-<attempt>.json
    outputs/<run>-<position>-<attempt>.json | .log

Run ids have one length, positions nine digits: key order, in which buckets are listed, is position
order. A run id has no dash, so a name can hold neither `event-file` nor begin with `tmp-file-`.
Every other key (the folders' own markers, other runs, orphans, strangers) is None to the parsers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, cast

INPUTS: Final = "inputs/"
OUTPUTS: Final = "outputs/"

MAX_POSITION: Final = 999_999_999
"""The last position that nine digits can spell."""

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_ALPHABET: Final = _LETTERS + "0123456789"
_ID_LENGTH: Final = 10
_ID_BYTES: Final = 8
_TAIL: Final = re.compile(r"(?P<position>[0-9]{9})-(?P<attempt>[1-9][0-9]{0,8})")
_RUN_ID: Final = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Output:
    """One of our objects in `outputs/`."""

    position: int
    attempt: int
    extension: Literal["json", "log"]


def new_run_id(random_bytes: bytes) -> str:
    """A run id of ten lower-case letters and digits, the first a letter, from 8 random bytes.

    Raises ValueError on fewer bytes.
    """
    if len(random_bytes) < _ID_BYTES:
        raise ValueError(f"a run id needs {_ID_BYTES} random bytes, not {len(random_bytes)}")
    number = int.from_bytes(random_bytes[:_ID_BYTES])
    number, first = divmod(number, len(_LETTERS))
    characters = [_LETTERS[first]]
    while len(characters) < _ID_LENGTH:
        number, digit = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[digit])
    return "".join(characters)


def object_name(run_id: str, position: int, attempt: int) -> str:
    """`<run>-<position>-<attempt>`, without folder and extension.

    Raises ValueError on what would not survive the platform or the key order.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise ValueError(f"run id {run_id!r} is not lower-case letters and digits")
    if not 1 <= position <= MAX_POSITION or attempt < 1:
        raise ValueError(f"no object can be named for position {position}, attempt {attempt}")
    return f"{run_id}-{position:09d}-{attempt}"


def parse_name(run_id: str, base: str) -> tuple[int, int] | None:
    """Position and attempt of a name that `object_name` made for this run; None for any other."""
    run, dash, tail = base.partition("-")
    found = _TAIL.fullmatch(tail) if dash and run == run_id else None
    if found is None or not (position := int(found["position"])):
        return None
    return position, int(found["attempt"])


def parse_output(run_id: str, key: str) -> Output | None:
    """What an object key in the bucket is to this run; None when it is not its output."""
    base, dot, extension = key.removeprefix(OUTPUTS).partition(".")
    if not (key.startswith(OUTPUTS) and dot and extension in {"json", "log"}):
        return None
    if (name := parse_name(run_id, base)) is None:
        return None
    return Output(*name, extension=cast(Literal["json", "log"], extension))


def start_after(run_id: str, position: int) -> str:
    """The `StartAfter` of a listing that begins with the first output of `position`.

    It is no key itself, and sorts after every output of a lower position of this run.
    """
    return f"{OUTPUTS}{run_id}-{position:09d}"
