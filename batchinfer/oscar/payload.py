"""What is sent to the service, in both modes: the `oscar-files` payload (contract section 3). Pure.

Parameters become `--name value` on a command line of the service. So, before anything is sent:

============================================  =====================================================
value                                         becomes
============================================  =====================================================
str, int, bool, float                         itself
negative float whose repr has an exponent     a string with the number written out
int of more than 64 bits                      a string of its digits
list, dict                                    a string holding the *Python* literal
null, nan, inf, other types                   refused
string starting with `-` (no plain number)    refused
string of 128 KiB or more, or with a NUL      refused
============================================  =====================================================

and these names are refused: what is no identifier; prefixes shared by several of DEEPaaS's own
options; `help`, which answers with the help; in sync mode, names that make the payload an event.

A refusal is a Failure with code `bad_param` that names the parameter and says what to do.
"""

from __future__ import annotations

import binascii
import json
import math
import os.path
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Final, TypeAlias

import orjson

from batchinfer.domain import Failure, Json, Kind, Mode
from batchinfer.oscar.sniff import HEAD, extension, looks_like_json, sniff

base64: Callable[[bytes], bytes]
"""Standard base64 with padding: URL-safe base64 is silently corrupted (contract section 3)."""
try:
    from pybase64 import b64encode as base64
except ImportError:  # the extra [fast] is not installed
    base64 = partial(binascii.b2a_base64, newline=False)

Sendable: TypeAlias = str | int | float | bool
"""What a parameter may be on the wire."""

FILES: Final = "oscar-files"
HELP: Final = b'{"help": ""}'
"""The payload that is answered with the model's help."""
MAX_VALUE: Final = 131_072
"""Bytes; a value on a Linux command line must be shorter."""

MAX_NESTED: Final = 100
"""Levels of lists and dicts in a parameter; what is deeper the service's Python could not read."""

_SHARED: Final = (
    "c co con conf confi config d de deb debu dee deep deepa deepaas l lo log log-d"
    " n no nod node nodeb nou now nowa s u us use w wa"
)
AMBIGUOUS: Final = frozenset(_SHARED.split())
"""Prefixes of two or more of DEEPaaS's own options: refused by its command line on Python before
3.12.8 and 3.13.1, whatever the model."""

EVENT_KEYS: Final = frozenset({"event", "event_type", "httpMethod", "Records"})
"""Top-level keys that make OSCAR take a sync payload for an event (contract section 1)."""

_PLAIN_NEGATIVE: Final = re.compile(r"-\d+|-\d*\.\d+")
"""What argparse accepts as a value although it starts with a dash."""
_COMPRESSED: Final = frozenset(["gz", "bgz", "bz2", "xz", "zst", "lz4", "lzma"])
"""Extensions that tell only how a file is compressed."""
_INNER: Final = re.compile(r"[a-z]{1,8}|h5|hdf5|nc4|jp2|mp3|mp4|m4a")
"""What stands before them as an extension: `nii`, `tar`, `fastq`; no date, number or version."""
_PAIRS: Final = frozenset(
    {
        *(("ome", each) for each in ("tif", "tiff", "btf", "tf2", "tf8", "xml")),
        *((each, "gii") for each in ("surf", "func", "label", "shape")),
        *(
            (f"{each}{kind}", "nii")
            for each in "dp"
            for kind in ("label", "tseries", "scalar", "conn")
        ),
        ("copc", "laz"),
    }
)
"""Of OME, GIFTI and CIFTI, and of point clouds: readers go by both."""
_FORMAT: Final = re.compile(r"[a-z0-9]{1,16}")
_INT64: Final = 63
_LONGEST_INT: Final = 4096


@dataclass(frozen=True, slots=True)
class FileContent:
    """One file of an item, read: what becomes an entry of `oscar-files`."""

    param: str
    file_format: str
    """Extension without the dot, never empty; see `file_format`."""
    data: bytes


def sendable(
    params: Mapping[str, Json], files: Sequence[str], mode: Mode
) -> Mapping[str, Sendable] | Failure:
    """`params` as they must be spelled to arrive unchanged; or why they cannot be sent.

    `files` are the names of the parameters that receive a file, one file each.
    """
    if (problem := _bad_files(files, params)) is not None:
        return problem
    sent: dict[str, Sendable] = {}
    for name, value in params.items():
        if (reason := _bad_name(name) or _bad_event(name, mode)) is not None:
            return _refused(name, reason)
        spelled = _spelled(value)
        if isinstance(spelled, _Refusal):
            return _refused(name, spelled.reason)
        sent[name] = spelled
    return sent


def build(params: Mapping[str, Sendable], files: Sequence[FileContent]) -> bytes:
    """The payload as JSON: prefix, base64, suffix per file, so that no JSON pass sees the data."""
    head = orjson.dumps(dict(params))
    if not files:
        return head
    parts = [head[:-1], b"," if params else b"", b'"oscar-files":[']
    for number, file in enumerate(files):
        entry = orjson.dumps({"key": file.param, "file_format": file.file_format})
        parts += [b"," if number else b"", entry[:-1], b',"data":"', base64(file.data), b'"}']
    parts.append(b"]}")
    return b"".join(parts)


def file_format(path: str, head: bytes) -> str:
    """The `file_format` of a file: its extension, else what its first bytes say, else "bin".

    Never empty; lower-case ASCII letters and digits, and a dot where a format has two extensions
    (`nii.gz`, `ome.tif`). A number is no extension where the bytes tell more (`scan.001`).
    """
    rest, dot, named = os.path.basename(path).lower().rpartition(".")  # noqa: PTH119 - a name, not a path of this machine
    named = named if dot and rest.strip(".") else ""
    if _FORMAT.fullmatch(named) and not named.isdecimal():
        before = rest.rpartition(".")[2] if "." in rest.lstrip(".") else ""
        return f"{before}.{named}" if _are_one(before, named) else named
    if media := sniff(head[:HEAD]):
        return extension(media)
    if looks_like_json(head[:HEAD]):
        return "json"
    return named if _FORMAT.fullmatch(named) else "bin"


def _are_one(before: str, last: str) -> bool:
    """Whether two extensions tell the format together: of what is compressed, or a known pair."""
    if last in _COMPRESSED:
        return _INNER.fullmatch(before) is not None
    return (before, last) in _PAIRS


def preview(params: Mapping[str, Sendable], files: Sequence[tuple[str, str, int]]) -> str:
    """The payload for people, indented, data elided; `files` as (param, file_format, bytes)."""
    payload: dict[str, object] = dict(params)
    if files:
        payload[FILES] = [
            {"key": param, "file_format": form, "data": f"<base64 of {size:,} bytes>"}
            for param, form, size in files
        ]
    return json.dumps(payload, indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str


def _refused(name: str, reason: str) -> Failure:
    return Failure("bad_param", f"parameter {name!r} cannot be sent: {reason}", Kind.PERMANENT)


def _bad_files(files: Sequence[str], params: Mapping[str, Json]) -> Failure | None:
    seen: set[str] = set()
    for name in files:
        if (reason := _bad_name(name)) is not None:
            return _refused(name, reason)
        if name in seen:
            return _refused(
                name, "two files for one parameter, of which the service would use the last only"
            )
        if name in params:
            return _refused(name, "it is given both as a value and as a file; leave one out")
        seen.add(name)
    return None


def _bad_name(name: str) -> str | None:
    if name == FILES:
        return "the platform keeps this name for files; give the file in the source instead"
    if name in AMBIGUOUS:
        return (
            "DEEPaaS takes this name for an abbreviation of several options of its own;"
            " leave it out, or ask the model's maintainers for another name"
        )
    if name == "help":
        return "the service would answer with the model's help instead of a prediction"
    if not name.isidentifier():
        return "it is no name of a model parameter (letters, digits and _ only)"
    return None


def _bad_event(name: str, mode: Mode) -> str | None:
    if mode is Mode.SYNC and name in EVENT_KEYS:
        return "in sync mode the platform takes this name for an event; use async mode"
    return None


def _spelled(value: object) -> Sendable | _Refusal:
    """A value as it must stand in the payload."""
    match value:
        case str():
            return _text(value)
        case bool() | int():
            return _integer(value)
        case float():
            return _float(value)
        case None:
            return _Refusal("null has no spelling on a command line; leave the parameter out")
        case _:
            return _literal(value)


def _integer(value: int) -> int | str | _Refusal:
    if value.bit_length() <= _INT64:
        return value
    if value.bit_length() > _LONGEST_INT:
        return _Refusal("the number is too long")
    return str(value)


def _float(value: float) -> float | str | _Refusal:
    if not math.isfinite(value):
        return _Refusal(
            f'{value} is no JSON number; if the model wants it, send the string "{value}"'
        )
    if value < 0 and "e" in repr(value):
        return format(Decimal(repr(value)), "f")
    return value


def _text(value: str) -> str | _Refusal:
    if value.startswith("-") and not _PLAIN_NEGATIVE.fullmatch(value):
        return _Refusal(
            "its value starts with '-', which the service takes for an option;"
            " put something before the dash, or send the text as a file"
        )
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return _Refusal("its value is not valid Unicode text")
    if size >= MAX_VALUE:
        return _Refusal(
            f"its value is {size:,} bytes long, and {MAX_VALUE:,} or more do not fit on the"
            " service's command line; send it as a file"
        )
    if "\0" in value:
        return _Refusal("its value holds a NUL character; send it as a file")
    return value


def _literal(value: object) -> str | _Refusal:
    """A list or dict as the Python literal that `ast.literal_eval` on the service reads back."""
    try:
        spelled = _python(value)
    except ValueError as problem:
        return _Refusal(str(problem))
    return _text(spelled)


def _python(value: object, depth: int = 0) -> str:
    if depth > MAX_NESTED:
        raise ValueError(f"its value is nested too deeply: more than {MAX_NESTED} levels")
    match value:
        case None | bool() | int() | str():
            return repr(value)
        case float() if math.isfinite(value):
            return repr(value)
        case float():
            raise ValueError(f"{value} inside a list or dict has no Python literal")
        case Mapping():
            pairs = (
                f"{_python(key, depth)}: {_python(entry, depth + 1)}"
                for key, entry in value.items()
            )
            return "{" + ", ".join(pairs) + "}"
        case Sequence() if not isinstance(value, (bytes, bytearray)):
            return "[" + ", ".join(_python(entry, depth + 1) for entry in value) + "]"
        case _:
            raise ValueError(f"values of type {type(value).__name__} have no JSON form")
