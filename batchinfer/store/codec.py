r"""Domain values as JSON text, and back.

Rules:

1. A whole pile is read as one JSON text, and written by one statement or a few (`pages`). The
   `sqlite3` module hands the interpreter's lock to and fro at every step of every statement;
   hundreds of steps beside a busy event loop would cost milliseconds each.
2. What is stored is strict JSON in valid UTF-8: NaN and infinity are the strings "NaN", "Infinity"
   and "-Infinity"; integers of any size are exact; half characters (lone surrogates) are written
   as backslash escapes (`\udc80`).
3. Paths come back byte for byte: in `files`, and only there, surrogates are kept, as JSON escapes.
4. No NUL stands in a plain text, for SQLite's JSON functions end a text there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from batchinfer.domain import InputFile, Json

PAGE_ROWS = 128
PAGE_SIZE = 16 * 2**20
"""Rows, and about characters, that one statement writes: flat memory."""

_LONG_NUMBER = re.compile(r"[0-9]{19}")


def encode(value: Json) -> str:
    """`value` as strict JSON."""
    try:
        data = orjson.dumps(value)
        if b"null" not in data:
            return data.decode()
        # A null may have been a NaN: orjson writes both alike.
        return orjson.dumps(_strict(value)).decode()
    except TypeError:  # beyond 64 bits, a half character, a key that is no text, deep nesting
        return _dumped(value)


def _dumped(value: Json) -> str:
    """As `encode`, slowly; deep nesting is taken as far as Python's own writer goes."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if is_unicode(text):
            return text
    except (ValueError, TypeError):  # nan; a mapping or sequence of another kind
        pass
    return json.dumps(_strict(value), ensure_ascii=False, separators=(",", ":"))


def same(one: Json, other: Json) -> bool:
    """Whether both are stored alike, but for the order of names: 1, 1.0 and true are not."""
    return encode(one) == encode(other) or _sorted(one) == _sorted(other)


def _sorted(value: Json) -> str:
    return json.dumps(decode(encode(value)), sort_keys=True)


def decode(text: str) -> Any:
    """What `encode` wrote. Integers are exact, which `orjson` alone does not promise."""
    if _LONG_NUMBER.search(text):
        return json.loads(text)
    try:
        return orjson.loads(text)
    except ValueError:  # nested too deeply for it
        return json.loads(text)


def encode_files(files: Sequence[InputFile]) -> str:
    """An item's files; paths as they are, byte for byte."""
    try:
        return orjson.dumps(files).decode()
    except TypeError:  # a path that is not UTF-8
        return json.dumps([asdict(file) for file in files], separators=(",", ":"))


def decode_files(text: str) -> tuple[InputFile, ...]:
    """What `encode_files` wrote."""
    try:
        files = orjson.loads(text)
    except ValueError:  # a path that is not UTF-8
        files = json.loads(text)
    return tuple([InputFile(**file) for file in files])


def pages(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    """Rows of plain values in pages of bounded size, in order."""
    page: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        page.append(row)
        size += sum([len(cell) for cell in row if cell.__class__ is str])
        if len(page) == PAGE_ROWS or size > PAGE_SIZE:
            yield page
            page, size = [], 0
    if page:
        yield page


def rows(text: str) -> list[list[Any]]:
    """What SQLite's `json_group_array(json_array(...))` wrote."""
    page: list[list[Any]] = orjson.loads(text)
    return page


def printable(text: str) -> str:
    r"""`text` as every tool can read it: bytes that are not UTF-8, and NUL, as `\xNN`."""
    text = text.replace("\0", r"\x00")
    return text if is_unicode(text) else "".join(map(_printed, text))


def is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printed(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode(errors="backslashreplace").decode()


def _strict(value: Json) -> Json:
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case str():
            return value if is_unicode(value) else value.encode(errors="backslashreplace").decode()
        case Mapping():
            return {str(_strict(key)): _strict(one) for key, one in value.items()}
        case Sequence():
            return [_strict(one) for one in value]
        case _:
            return value
