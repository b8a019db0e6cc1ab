r"""JSONL manifests: every line is an item.

``{"key": ..., "path": ..., "files": {"<param>": "<path>"}, "params": {...}}``; `path` is short for
the default file parameter's file; all but one file (or parameter) is optional. A line that is only
a string is a path. LF, CRLF or CR, BOM, empty lines are fine; other keys are mistakes. So is a
first line that is only the name of a column: that is CSV, and on standard input it is read as such.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import orjson

from batchinfer.domain import Json
from batchinfer.sources.input_files import normalize_path
from batchinfer.sources.manifest_columns import is_known_column
from batchinfer.sources.manifest_lines import (
    ManifestEntry,
    ManifestMistake,
    ManifestReader,
    ReportMistake,
    describe_utf8_error,
    iter_lines,
)
from batchinfer.suggestions import suggest_inline

_ENTRY_KEYS = frozenset(("key", "path", "files", "params"))
_BEYOND_64_BIT_PATTERN = re.compile(rb"[0-9]{19}")


def read_entries(
    stream: BinaryIO, file_param: str, report: ReportMistake
) -> Iterator[ManifestEntry]:
    """Every good line; `report` is called for each of the others."""
    first = True
    for number, line in enumerate(iter_lines(stream, report), 1):
        try:
            value = orjson.loads(line)
            entry = _parse_entry(number, value, line, file_param, first=first)
        except orjson.JSONDecodeError as error:
            if line.strip():
                report(number, _describe_json_error(line, error))
        except ManifestMistake as mistake:
            report(number, str(mistake))
        else:
            yield entry
        first = first and not line.strip()


JSONL_READER: Final = ManifestReader(read_entries)


def is_header(value: object) -> bool:
    """Whether a line that is only this string may be the first row of a CSV manifest."""
    return isinstance(value, str) and is_known_column(value)


def _parse_entry(
    number: int, value: Any, line: bytes, file_param: str, *, first: bool
) -> ManifestEntry:
    if first and is_header(value):
        raise ManifestMistake(
            f"{value!r} is the first row of a CSV manifest: name the file .csv (a file that has"
            f' this name is written {{"path": "{value}"}})'
        )
    value = _parse_object(value)
    path = value.get("path")
    files: tuple[tuple[str, str], ...] = () if path is None else ((file_param, path),)
    if value.get("files") is not None:
        files = _parse_files(files, value["files"], file_param)
    for param, file in files:
        if type(file) is not str or not file or "\0" in file:
            raise ManifestMistake(f"the path of {param!r} must be a text that can name a file")
    given_params = value.get("params")
    params = {} if given_params is None else _parse_params(given_params, line, dict(files))
    key = value.get("key")
    if key is None:
        if not files:
            raise ManifestMistake("neither key nor path: an item without a file needs a key")
        key = normalize_path(files[0][1])
    elif type(key) is not str or not key or "\0" in key:
        raise ManifestMistake("the key must be a text, not empty, without NUL")
    if not files and not params:
        raise ManifestMistake("neither file nor parameter: there is nothing to send")
    return ManifestEntry(number, key, files, params)


def _parse_object(value: Any) -> dict[str, Any]:
    if type(value) is str:
        return {"path": value}
    if type(value) is not dict:
        raise ManifestMistake('a line must be {"path": ..., ...}, or just "a path"')
    if not value.keys() <= _ENTRY_KEYS:
        unknown = next(name for name in value if name not in _ENTRY_KEYS)
        hint = suggest_inline(unknown, _ENTRY_KEYS) or '; parameters go inside "params"'
        raise ManifestMistake(f"unknown key {unknown!r}{hint}")
    return value


def _parse_files(
    first: tuple[tuple[str, str], ...], more: Any, file_param: str
) -> tuple[tuple[str, str], ...]:
    if type(more) is not dict or "" in more:
        raise ManifestMistake('"files" must be {"<parameter>": "<path>", ...}')
    if first and file_param in more:
        raise ManifestMistake(f"the file of {file_param!r} is given twice, as path and among files")
    return (*first, *sorted(more.items(), key=lambda file: file[0] != file_param))


def _parse_params(params: Any, line: bytes, files: dict[str, str]) -> dict[str, Json]:
    if type(params) is not dict or "" in params:
        raise ManifestMistake('"params" must be {"<name>": <value>, ...}')
    if duplicates := params.keys() & files.keys():
        raise ManifestMistake(f"{min(duplicates)!r} is given twice, as a file and as a parameter")
    if _BEYOND_64_BIT_PATTERN.search(
        line
    ):  # the quick parser would round them; the slow one does not
        exact_params: dict[str, Json] = json.loads(line)["params"]
        return exact_params
    return params


def _describe_json_error(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as broken:
        return describe_utf8_error(broken)
    hint = "; JSONL has one object per line" if line.lstrip()[:1] in b"[" else ""
    return f"not JSON: {error.msg} (column {error.colno}){hint}"
