r"""Where results go: one row per item, in the order given, memory flat.

* The fields, in this order: those of `domain.Result`.
* JSONL is strict JSON: nan and infinities are the texts "NaN", "Infinity", "-Infinity"; whole
  numbers stay exact however big they are.
* CSV is RFC 4180 in UTF-8, lines end in CR LF (as there; and a lone CR in a cell is only safe with
  it). `prediction` and `params` hold JSON, None is an empty cell.
* Text that is no Unicode (file names that are not UTF-8) is made printable, `\xNN` for each byte.
* A file is there whole or not at all: written beside its place, brought to the disk, then renamed.

A further format is a `Writer` more in `FORMATS`.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TypeAlias, cast

import orjson

from batchinfer.domain import Json, Result
from batchinfer.errors import ConfigError

Writer: TypeAlias = Callable[[Iterable[Result], BinaryIO], int]
"""Writes all results as bytes, returns how many there were."""

FIELDS = tuple(field.name for field in fields(Result))
_JSON_FIELDS = frozenset(("prediction", "params"))
_EXTENSIONS = MappingProxyType({".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"})
_SURROGATE = re.compile("[\ud800-\udfff]")


def export(results: Iterable[Result], target: Path | BinaryIO, format: str) -> int:
    """Write `results` to `target`; how many rows.

    A path appears, or is replaced, only when all is written; on any error what was there before
    stays. A path that ends in `.gz` is packed. A stream (standard output) is written to straight,
    and neither flushed to a disk nor closed.

    Raises ConfigError for an unknown format, or when the file cannot be written.
    """
    if format not in FORMATS:
        raise ConfigError(f"Unknown export format {format!r}: choose {' or '.join(FORMATS)}.")
    write = FORMATS[format]
    if not isinstance(target, Path):
        return write(results, target)
    with _replacing(target) as file:
        if target.suffix != ".gz":
            return write(results, file)
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            return write(results, cast("BinaryIO", packed))


def format_of(path: Path | str) -> str:
    """The format that a file name asks for by its extension, `.gz` aside; else ConfigError."""
    name = str(path).removesuffix(".gz")
    known = _EXTENSIONS.get(Path(name).suffix.lower())
    if known is None:
        raise ConfigError(
            f"{_printable(str(path))}: no export format goes by this extension. Name the file"
            f" {', '.join(_EXTENSIONS)} (or one of these and .gz), or give the format."
        )
    return known


def _jsonl(results: Iterable[Result], file: BinaryIO) -> int:
    count = 0
    for result in results:
        file.write(_line(result))
        count += 1
    return count


def _line(result: Result) -> bytes:
    row: dict[str, Any] = {name: getattr(result, name) for name in FIELDS}
    for name in _JSON_FIELDS:
        row[name] = orjson.Fragment(_json(row[name]))
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # surrogates
        for name, value in row.items():
            row[name] = _printable(value) if isinstance(value, str) else value
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _csv(results: Iterable[Result], file: BinaryIO) -> int:
    rows = csv.writer(_Utf8(file), lineterminator="\r\n")
    rows.writerow(FIELDS)
    count = 0
    for result in results:
        rows.writerow([_cell(name, getattr(result, name)) for name in FIELDS])
        count += 1
    return count


def _cell(name: str, value: Json) -> str:
    """A CSV cell: the one place that decides how a value is spelled there."""
    if value is None:
        return ""
    if name in _JSON_FIELDS:
        return _json(value).decode()
    return _printable(str(value))


class _Utf8:
    """What the csv module writes to; unlike a TextIOWrapper it never closes the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        self._file.write(text.encode())


def _json(value: Json) -> bytes:
    """Strict JSON in one line."""
    with suppress(TypeError):  # big numbers, surrogates, deep nesting: the slow way
        text = orjson.dumps(value)
        # nan and infinities it writes as null without a word: where no null is, none was.
        if b"null" not in text or value is None:
            return text
    try:
        text = json.dumps(
            _strict(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except RecursionError:
        text = b'"(nested too deeply to be exported)"'
    return text


def _strict(value: Json) -> Json:
    match value:
        case str():
            return _printable(value)
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case Mapping():
            return {_printable(name): _strict(inner) for name, inner in value.items()}
        case Sequence():
            return [_strict(inner) for inner in value]
        case _:
            return value


def _printable(text: str) -> str:
    return text if text.isascii() else _SURROGATE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"  # noqa: PLR2004 - PEP 383


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """A file beside `target` that takes its place if all goes well, and vanishes if not."""
    place = target.resolve()  # a link stays a link
    if place.exists() and not place.is_file():
        with _told(target), place.open("wb") as stream:  # /dev/stdout, a named pipe
            yield stream
        return
    part = place.with_name(f".batchinfer-{secrets.token_hex(4)}.part")
    with _told(target):
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if place.exists():
                shutil.copymode(place, part)
            part.replace(place)
            _sync_folder(place.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{_printable(str(target))} cannot be written: {error.strerror}. What was there before"
            " is unchanged."
        ) from error


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


FORMATS: Mapping[str, Writer] = MappingProxyType({"jsonl": _jsonl, "csv": _csv})
"""Every format by its name."""
