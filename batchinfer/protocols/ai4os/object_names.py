"""Names of our objects in the bucket. Pure.

The service script cuts an input's name at its first dot and drops its folders, and treats two
words specially (docs/platform.md, "Output names"). So a name of ours is flat, has no dot but the
last, and is unique per run, item, attempt, process and payload::

    inputs/<run>-<position>-<attempt>-<epoch><digest>.json
    outputs/<run>-<position>-<attempt>-<epoch><digest>.json | .log

Epoch and digest (`object_ids`) tell which process sent what, also where the record of it was lost.
Names in runs of a format before version 5 end behind the attempt: they are still read.

Run ids have one length, positions nine digits: key order, in which buckets are listed, is position
order. A run id has no dash, so a name can hold neither `event-file` nor begin with `tmp-file-`.
Every other key (the folders' own markers, other runs, orphans, strangers) is None to the parsers.
"""

from __future__ import annotations

import re
from typing import Final, Literal, cast

from batchinfer.protocols.object_ids import DIGEST_LENGTH, EPOCH_LENGTH, ObjectName, OutputKey

INPUTS_PREFIX: Final = "inputs/"
OUTPUTS_PREFIX: Final = "outputs/"

MAX_POSITION: Final = 999_999_999
"""The last position that nine digits can spell."""

_TAG_PATTERN: Final = rf"[a-z0-9]{{{EPOCH_LENGTH}}}[0-9a-f]{{{DIGEST_LENGTH}}}"
_NAME_TAIL_PATTERN: Final = re.compile(
    rf"(?P<position>[0-9]{{9}})-(?P<attempt>[1-9][0-9]{{0,8}})(?:-(?P<tag>{_TAG_PATTERN}))?"
)
_RUN_ID_PATTERN: Final = re.compile(r"[a-z0-9]+")


def make_object_name(run_id: str, position: int, attempt: int, tag: str = "") -> str:
    """`<run>-<position>-<attempt>-<tag>`, without folder and extension.

    `tag`: an epoch and a digest. Raises ValueError on what would not survive the platform or the
    key order.
    """
    if not _RUN_ID_PATTERN.fullmatch(run_id):
        raise ValueError(f"run id {run_id!r} is not lower-case letters and digits")
    if not 1 <= position <= MAX_POSITION or attempt < 1:
        raise ValueError(f"no object can be named for position {position}, attempt {attempt}")
    if tag and not re.fullmatch(_TAG_PATTERN, tag):
        raise ValueError(f"{tag!r} is no epoch and digest")
    return f"{run_id}-{position:09d}-{attempt}{tag and '-'}{tag}"


def parse_object_name(run_id: str, base_name: str) -> ObjectName | None:
    """The parts of a name that `make_object_name` made for this run; None for any other."""
    run, dash, tail = base_name.partition("-")
    found = _NAME_TAIL_PATTERN.fullmatch(tail) if dash and run == run_id else None
    if found is None or not (position := int(found["position"])):
        return None
    return ObjectName(position, int(found["attempt"]), found["tag"] or "")


def parse_input_key(run_id: str, key: str) -> tuple[str, ObjectName] | None:
    """The name, and its parts, of an object key that is this run's input; None for any other."""
    base_name = key.removeprefix(INPUTS_PREFIX).removesuffix(".json")
    name = parse_object_name(run_id, base_name)
    return None if name is None or key != f"{INPUTS_PREFIX}{base_name}.json" else (base_name, name)


def parse_output_key(run_id: str, key: str) -> OutputKey | None:
    """What an object key in the bucket is to this run; None when it is not its output."""
    base_name, dot, extension = key.removeprefix(OUTPUTS_PREFIX).partition(".")
    if not (key.startswith(OUTPUTS_PREFIX) and dot and extension in {"json", "log"}):
        return None
    if (name := parse_object_name(run_id, base_name)) is None:
        return None
    return OutputKey(base_name, name, extension=cast(Literal["json", "log"], extension))


def make_start_after(run_id: str, position: int) -> str:
    """The `StartAfter` of a listing that begins with the first output of `position`.

    It is no key itself, and sorts after every output of a lower position of this run.
    """
    return f"{OUTPUTS_PREFIX}{run_id}-{position:09d}"
