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
from typing import Any, BinaryIO

import orjson

from batchinfer.domain import Json
from batchinfer.sources.entry import Entry, Mistake, Report, nearest
from batchinfer.sources.files import tidy
from batchinfer.sources.lines import lines, not_utf8
from batchinfer.sources.table import is_column

_KNOWN = frozenset(("key", "path", "files", "params"))
_BEYOND_64_BIT = re.compile(rb"[0-9]{19}")


def entries(stream: BinaryIO, file_param: str, report: Report) -> Iterator[Entry]:
    """Every good line; `report` is told of the others."""
    first = True
    for number, line in enumerate(lines(stream, report), 1):
        try:
            value = orjson.loads(line)
            entry = _entry(number, value, line, file_param, first=first)
        except orjson.JSONDecodeError as error:
            if line.strip():
                report(number, _not_json(line, error))
        except Mistake as mistake:
            report(number, str(mistake))
        else:
            yield entry
        first = first and not line.strip()


def is_header(value: object) -> bool:
    """Whether a line that is only this string may be the first row of a CSV manifest."""
    return isinstance(value, str) and is_column(value)


def _entry(number: int, value: Any, line: bytes, file_param: str, *, first: bool) -> Entry:
    if first and is_header(value):
        raise Mistake(
            f"{value!r} is the first row of a CSV manifest: name the file .csv (a file that has"
            f' this name is written {{"path": "{value}"}})'
        )
    value = _object(value)
    path = value.get("path")
    files: tuple[tuple[str, str], ...] = () if path is None else ((file_param, path),)
    if value.get("files") is not None:
        files = _files(files, value["files"], file_param)
    for param, file in files:
        if type(file) is not str or not file or "\0" in file:
            raise Mistake(f"the path of {param!r} must be a text that can name a file")
    given = value.get("params")
    params = {} if given is None else _params(given, line, dict(files))
    key = value.get("key")
    if key is None:
        if not files:
            raise Mistake("neither key nor path: an item without a file needs a key")
        key = tidy(files[0][1])
    elif type(key) is not str or not key or "\0" in key:
        raise Mistake("the key must be a text, not empty, without NUL")
    if not files and not params:
        raise Mistake("neither file nor parameter: there is nothing to send")
    return Entry(number, key, files, params)


def _object(value: Any) -> dict[str, Any]:
    if type(value) is str:
        return {"path": value}
    if type(value) is not dict:
        raise Mistake('a line must be {"path": ..., ...}, or just "a path"')
    if not value.keys() <= _KNOWN:
        unknown = next(name for name in value if name not in _KNOWN)
        hint = nearest(unknown, _KNOWN) or '; parameters go inside "params"'
        raise Mistake(f"unknown key {unknown!r}{hint}")
    return value


def _files(
    first: tuple[tuple[str, str], ...], more: Any, file_param: str
) -> tuple[tuple[str, str], ...]:
    if type(more) is not dict or "" in more:
        raise Mistake('"files" must be {"<parameter>": "<path>", ...}')
    if first and file_param in more:
        raise Mistake(f"the file of {file_param!r} is given twice, as path and among files")
    return (*first, *sorted(more.items(), key=lambda file: file[0] != file_param))


def _params(params: Any, line: bytes, files: dict[str, str]) -> dict[str, Json]:
    if type(params) is not dict or "" in params:
        raise Mistake('"params" must be {"<name>": <value>, ...}')
    if both := params.keys() & files.keys():
        raise Mistake(f"{min(both)!r} is given twice, as a file and as a parameter")
    if _BEYOND_64_BIT.search(line):  # the quick parser would round them; the slow one does not
        whole: dict[str, Json] = json.loads(line)["params"]
        return whole
    return params


def _not_json(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as broken:
        return not_utf8(broken)
    hint = "; JSONL has one object per line" if line.lstrip()[:1] in b"[" else ""
    return f"not JSON: {error.msg} (column {error.colno}){hint}"
