"""Names of our objects in the bucket of an OSCAR service. Pure.

The input is the file itself, under a name of ours with the file's own extension, which services
look at; what they write they name after it, in ways of their own::

    inputs/<run>-<position>-<attempt>-<epoch><digest>.jpg
    outputs/<run>-<position>-<attempt>-<epoch><digest>*

The part before the extension is the *stem*. It has one length, so that whatever follows it in the
name of an output (`.json`, `_mask.png`, `out.txt`, `/a/b.png`) does not belong to it. It has no dot
and no character that a shell, or a script that cuts names, treats specially.
"""

from __future__ import annotations

import re
from typing import Final

from batchinfer.protocols.ai4os.object_names import parse_object_name
from batchinfer.protocols.ai4os.payload import detect_file_format
from batchinfer.protocols.media_types import OCTET_STREAM, extension_for
from batchinfer.protocols.object_ids import DIGEST_LENGTH, EPOCH_LENGTH, ObjectName, OutputKey

_STEM_PATTERN: Final = re.compile(
    rf"[a-z0-9]+-[0-9]{{9}}-[1-9][0-9]{{0,8}}-[a-z0-9]{{{EPOCH_LENGTH}}}[0-9a-f]{{{DIGEST_LENGTH}}}"
)
_EXTENSION_PATTERN: Final = re.compile(r"(\.[a-z0-9]{1,16}){0,2}")
_UNKNOWN_EXTENSION: Final = extension_for(OCTET_STREAM)


def add_extension(stem: str, path: str, head: bytes) -> str:
    """The name of an input object: with the extension of its file, or one that its bytes tell.

    Without any where neither says something.
    """
    extension = detect_file_format(path, head)
    suffix = "" if extension == _UNKNOWN_EXTENSION else f".{extension}"
    return stem + (suffix if _EXTENSION_PATTERN.fullmatch(suffix) else "")


def get_stem(name: str) -> str:
    """The stem of an object's name, whatever follows it; `name` itself when there is none."""
    found = _STEM_PATTERN.match(name)
    return name if found is None else found[0]


def parse_name(run_id: str, name: str) -> ObjectName | None:
    """The parts of the name of an input object, with or without its extension."""
    stem = get_stem(name)
    if not _EXTENSION_PATTERN.fullmatch(name[len(stem) :]):
        return None
    parsed = parse_object_name(run_id, stem)
    return parsed if parsed is not None and parsed.tag else None


def parse_output_name(run_id: str, name: str) -> OutputKey | None:
    """What the name of an output (without the prefix) is to this run."""
    stem = get_stem(name)
    parsed = parse_object_name(run_id, stem)
    if parsed is None or not parsed.tag or len(name) == len(stem) or name.endswith("/"):
        return None
    return OutputKey(stem, parsed, extension="log" if name.endswith(".log") else "json")
