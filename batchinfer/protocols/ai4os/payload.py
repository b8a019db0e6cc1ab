"""What is sent to the service, in both modes: the `oscar-files` payload. Pure.

See docs/platform.md, "The payload". Parameters become `--name value` on a command line of the
service. So, before anything is sent:

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
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, partial
from itertools import chain
from typing import Final, TypeAlias

import orjson

from batchinfer.domain import Failure, FailureKind, Json, Mode
from batchinfer.protocols.inference_protocol import MAX_PARAM_DEPTH
from batchinfer.protocols.media_types import (
    SNIFF_BYTES,
    extension_for,
    looks_like_json,
    sniff_media_type,
)

encode_base64: Callable[[bytes], bytes]
"""Standard base64 with padding: URL-safe base64 is silently corrupted (docs/platform.md)."""
try:
    from pybase64 import b64encode as encode_base64
except ImportError:  # the extra [fast] is not installed
    encode_base64 = partial(binascii.b2a_base64, newline=False)

ParamValue: TypeAlias = str | int | float | bool
"""What a parameter may be on the wire."""

FILES_KEY: Final = "oscar-files"
HELP_PAYLOAD: Final = b'{"help": ""}'
"""The payload that is answered with the model's help."""
MAX_PARAM_BYTES: Final = 131_072
"""Bytes; a value on a Linux command line must be shorter."""

_SHARED_OPTION_PREFIXES: Final = (
    "c co con conf confi config d de deb debu dee deep deepa deepaas l lo log log-d n no nod node "
    "nodeb nou now nowa s u us use w wa"
)
AMBIGUOUS_PARAM_NAMES: Final = frozenset(_SHARED_OPTION_PREFIXES.split())
"""Prefixes of two or more of DEEPaaS's own options: refused by its command line on Python before
3.12.8 and 3.13.1, whatever the model."""

EVENT_KEYS: Final = frozenset({"event", "event_type", "httpMethod", "Records"})
"""Top-level keys that make OSCAR take a sync payload for an event (docs/platform.md, "The
request")."""

_NEGATIVE_NUMBER: Final = re.compile(r"-\d+|-\d*\.\d+")
"""What argparse accepts as a value although it starts with a dash."""
_COMPRESSION_EXTENSIONS: Final = frozenset(["gz", "bgz", "bz2", "xz", "zst", "lz4", "lzma"])
"""Extensions that say only how a file is compressed."""
_INNER_EXTENSION: Final = re.compile(r"[a-z]{1,8}|h5|hdf5|nc4|jp2|mp3|mp4|m4a")
"""What stands before them as an extension: `nii`, `tar`, `fastq`; no date, number or version."""
_DOUBLE_EXTENSIONS: Final = frozenset(
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
_SECOND_EXTENSIONS: Final = _COMPRESSION_EXTENSIONS | {last for _, last in _DOUBLE_EXTENSIONS}
_MAX_CHARS: Final = 16
"""Characters of an extension, at most."""
_INT64_MAX_BITS: Final = 63
_MAX_PARAM_INT_BITS: Final = 4096


@dataclass(frozen=True, slots=True)
class FileContent:
    """One file of an item, read: what becomes an entry of `oscar-files`."""

    param: str
    file_format: str
    """Extension without the dot, never empty; see `detect_file_format`."""
    data: bytes


def encode_params(
    params: Mapping[str, Json], files: Sequence[str], mode: Mode
) -> Mapping[str, ParamValue] | Failure:
    """`params` as they must be spelled to arrive unchanged; or why they cannot be sent.

    `files` are the names of the parameters that receive a file, one file each.
    """
    if (problem := _check_file_params(files, params)) is not None:
        return problem
    encoded: dict[str, ParamValue] = {}
    for name, value in params.items():
        if (reason := _check_param_name(name) or _check_event_name(name, mode)) is not None:
            return _param_failure(name, reason)
        encoded_value = _encode_value(value)
        if isinstance(encoded_value, _Refusal):
            return _param_failure(name, encoded_value.reason)
        encoded[name] = encoded_value
    return encoded


def build_payload(params: Mapping[str, Json], files: Sequence[FileContent]) -> bytes:
    """The payload as JSON."""
    first, *others = build_payload_parts(params, [(file.param, file.file_format) for file in files])
    contents = (encode_base64(file.data) for file in files)
    return b"".join((first, *chain.from_iterable(zip(contents, others, strict=True))))


def build_payload_parts(
    params: Mapping[str, Json], files: Sequence[tuple[str, str]]
) -> Sequence[bytes]:
    """The text before, between and behind the base64 of the files, which no JSON pass sees.

    `files` as (param, file_format).
    """
    head = orjson.dumps(dict(params))
    if not files:
        return [head]
    parts, start = [], head[:-1] + (b"," if params else b"") + b'"oscar-files":['
    for param, file_format in files:
        parts.append(start + _encode_entry_start(param, file_format))
        start = b'"},'
    return [*parts, b'"}]}']


@lru_cache(maxsize=1_024)
def _encode_entry_start(param: str, file_format: str) -> bytes:
    return orjson.dumps({"key": param, "file_format": file_format})[:-1] + b',"data":"'


def detect_file_format(path: str, head: bytes) -> str:
    """The `file_format` of a file: its extension, else what its first bytes say, else "bin".

    Never empty; lower-case ASCII letters and digits, and a dot where a format has two extensions
    (`nii.gz`, `ome.tif`). A number is no extension where the bytes say more (`scan.001`).
    """
    rest, _, last = path[path.rfind("/") + 1 :].lower().rpartition(".")
    extension_part = last if rest.strip(".") else ""  # what only begins with a dot has none
    is_extension = extension_part.isascii() and extension_part.isalnum() and len(last) <= _MAX_CHARS
    if is_extension and not extension_part.isdecimal():
        if extension_part not in _SECOND_EXTENSIONS:
            return extension_part
        before = rest.rpartition(".")[2] if "." in rest.lstrip(".") else ""
        return (
            f"{before}.{extension_part}"
            if _is_double_extension(before, extension_part)
            else extension_part
        )
    if media := sniff_media_type(head[:SNIFF_BYTES]):
        return extension_for(media)
    if looks_like_json(head[:SNIFF_BYTES]):
        return "json"
    return extension_part if is_extension else "bin"


def _is_double_extension(before: str, last: str) -> bool:
    """Whether two extensions name the format together: of what is compressed, or a known pair."""
    if last in _COMPRESSION_EXTENSIONS:
        return _INNER_EXTENSION.fullmatch(before) is not None
    return (before, last) in _DOUBLE_EXTENSIONS


def format_preview(params: Mapping[str, Json], files: Sequence[tuple[str, str, int]]) -> str:
    """The payload for people, indented, data elided; `files` as (param, file_format, bytes)."""
    payload: dict[str, object] = dict(params)
    if files:
        payload[FILES_KEY] = [
            {"key": param, "file_format": file_format, "data": f"<base64 of {size:,} bytes>"}
            for param, file_format, size in files
        ]
    return json.dumps(payload, indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str


def _param_failure(name: str, reason: str) -> Failure:
    return Failure(
        "bad_param", f"parameter {name!r} cannot be sent: {reason}", FailureKind.PERMANENT
    )


def _check_file_params(files: Sequence[str], params: Mapping[str, Json]) -> Failure | None:
    seen: set[str] = set()
    for name in files:
        if (reason := _check_param_name(name)) is not None:
            return _param_failure(name, reason)
        if name in seen:
            return _param_failure(
                name, "two files for one parameter, of which the service would use the last only"
            )
        if name in params:
            return _param_failure(name, "it is given both as a value and as a file; leave one out")
        seen.add(name)
    return None


def _check_param_name(name: str) -> str | None:
    if name == FILES_KEY:
        return "the platform keeps this name for files; give the file in the source instead"
    if name in AMBIGUOUS_PARAM_NAMES:
        return (
            "DEEPaaS takes this name for an abbreviation of several options of its own; leave it "
            "out, or ask the model's maintainers for another name"
        )
    if name == "help":
        return "the service would answer with the model's help instead of a prediction"
    if not name.isidentifier():
        return "it is no name of a model parameter (letters, digits and _ only)"
    return None


def _check_event_name(name: str, mode: Mode) -> str | None:
    if mode is Mode.SYNC and name in EVENT_KEYS:
        return "in sync mode the platform takes this name for an event; use async mode"
    return None


def _encode_value(value: object) -> ParamValue | _Refusal:
    """A value as it must stand in the payload."""
    match value:
        case str():
            return _encode_text(value)
        case bool() | int():
            return _encode_int(value)
        case float():
            return _encode_float(value)
        case None:
            return _Refusal("null has no spelling on a command line; leave the parameter out")
        case _:
            return _encode_literal(value)


def _encode_int(value: int) -> int | str | _Refusal:
    if value.bit_length() <= _INT64_MAX_BITS:
        return value
    if value.bit_length() > _MAX_PARAM_INT_BITS:
        return _Refusal("the number is too long")
    return str(value)


def _encode_float(value: float) -> float | str | _Refusal:
    if not math.isfinite(value):
        return _Refusal(
            f'{value} is no JSON number; if the model wants it, send the string "{value}"'
        )
    if value < 0 and "e" in repr(value):
        return format(Decimal(repr(value)), "f")
    return value


def _encode_text(value: str) -> str | _Refusal:
    if value.startswith("-") and not _NEGATIVE_NUMBER.fullmatch(value):
        return _Refusal(
            "its value starts with '-', which the service takes for an option; put something "
            "before the dash, or send the text as a file"
        )
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return _Refusal("its value is not valid Unicode text")
    if size >= MAX_PARAM_BYTES:
        return _Refusal(
            f"its value is {size:,} bytes long, and {MAX_PARAM_BYTES:,} or more do not fit on the "
            "service's command line; send it as a file"
        )
    if "\0" in value:
        return _Refusal("its value holds a NUL character; send it as a file")
    return value


def _encode_literal(value: object) -> str | _Refusal:
    """A list or dict as the Python literal that `ast.literal_eval` on the service reads back."""
    try:
        literal = _format_python_literal(value)
    except ValueError as problem:
        return _Refusal(str(problem))
    return _encode_text(literal)


def _format_python_literal(value: object, depth: int = 0) -> str:
    if depth > MAX_PARAM_DEPTH:
        raise ValueError(f"its value is nested too deeply: more than {MAX_PARAM_DEPTH} levels")
    match value:
        case None | bool() | int() | str():
            return repr(value)
        case float() if math.isfinite(value):
            return repr(value)
        case float():
            raise ValueError(f"{value} inside a list or dict has no Python literal")
        case Mapping():
            pairs = (
                f"{_format_python_literal(key, depth)}: {_format_python_literal(entry, depth + 1)}"
                for key, entry in value.items()
            )
            return "{" + ", ".join(pairs) + "}"
        case Sequence() if not isinstance(value, (bytes, bytearray)):
            return (
                "[" + ", ".join(_format_python_literal(entry, depth + 1) for entry in value) + "]"
            )
        case _:
            raise ValueError(f"values of type {type(value).__name__} have no JSON form")
