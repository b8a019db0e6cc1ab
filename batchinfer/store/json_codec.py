r"""Domain values as JSON text, and back.

Rules:

1. A whole batch is read as one JSON text, and written by a few statements (`split_into_pages`). The
   `sqlite3` module hands the interpreter's lock to and fro at every step of every statement;
   hundreds of steps beside a busy event loop would cost milliseconds each.
2. What is stored is strict JSON in valid UTF-8: NaN and infinity are the strings "NaN", "Infinity"
   and "-Infinity"; integers of any size are exact; half characters (lone surrogates) are written
   as backslash escapes (`\udc80`).
3. Paths come back byte for byte: in `files`, and only there, surrogates are kept, as JSON escapes.
4. A plain text holds no NUL, for SQLite's JSON functions end a text there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from batchinfer.domain import InputFile, Json, RemoteFile

MAX_STATEMENT_ROWS = 128
MAX_STATEMENT_CHARS = 16 * 2**20
"""Rows, and about characters, that one statement writes: flat memory."""

_LONG_INTEGER_PATTERN = re.compile(r"[0-9]{19}")


def encode_json(value: Json) -> str:
    """`value` as strict JSON."""
    try:
        data = orjson.dumps(value)
        if b"null" not in data:
            return data.decode()
        # A null may have been a NaN: orjson writes both alike.
        return orjson.dumps(_to_strict_json(value)).decode()
    except TypeError:  # beyond 64 bits, a half character, a key that is no text, deep nesting
        return _encode_slowly(value)


def _encode_slowly(value: Json) -> str:
    """As `encode`, slowly; deep nesting is taken as far as Python's own writer goes."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if is_valid_utf8(text):
            return text
    except (ValueError, TypeError):  # nan; a mapping or sequence of another kind
        pass
    return json.dumps(_to_strict_json(value), ensure_ascii=False, separators=(",", ":"))


def equal_as_json(one: Json, other: Json) -> bool:
    """Whether both are stored alike, but for the order of names: 1, 1.0 and true are not."""
    return encode_json(one) == encode_json(other) or _canonical_json(one) == _canonical_json(other)


def _canonical_json(value: Json) -> str:
    return json.dumps(decode_json(encode_json(value)), sort_keys=True)


def decode_json(text: str) -> Any:
    """What `encode` wrote. Integers are exact, which `orjson` alone does not promise."""
    if _LONG_INTEGER_PATTERN.search(text):
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
    try:
        return tuple([InputFile(**file) for file in files])
    except TypeError:  # one has a fingerprint
        return tuple([(RemoteFile if "fingerprint" in f else InputFile)(**f) for f in files])


def split_into_pages(
    rows: Sequence[Sequence[Any]], long_cells: Sequence[int] = ()
) -> Iterator[Sequence[Sequence[Any]]]:
    """Rows of plain values in pages of bounded size, in order.

    `long_cells`: where text may be long. Pages have few different lengths, powers of two, so that
    SQLite finds the statement of each prepared.
    """
    first, length = 0, MAX_STATEMENT_ROWS
    while first < len(rows):
        while length > len(rows) - first:
            length //= 2
        page = rows[first : first + length]
        while length > 1 and _count_chars(page, long_cells) > MAX_STATEMENT_CHARS:
            length //= 2
            page = page[:length]
        yield page
        first += length


def _count_chars(rows: Sequence[Sequence[Any]], cells: Sequence[int]) -> int:
    return sum([len(row[cell] or "") for cell in cells for row in rows])


def parse_rows(text: str) -> list[list[Any]]:
    """What SQLite's `json_group_array(json_array(...))` wrote."""
    page: list[list[Any]] = orjson.loads(text)
    return page


def parse_row(cell: bytes) -> list[Any]:
    """What SQLite's `json_array(...)` wrote, as a cell of bytes. Raises ValueError."""
    row: list[Any] = orjson.loads(cell)
    return row


def escape_non_utf8(text: str) -> str:
    r"""`text` as every tool can read it: bytes that are not UTF-8, and NUL, as `\xNN`."""
    text = text.replace("\0", r"\x00")
    return text if is_valid_utf8(text) else "".join(map(_escape_character, text))


def is_valid_utf8(text: str) -> bool:
    """Whether `text` can be written as UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape_character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode(errors="backslashreplace").decode()


def _to_strict_json(value: Json) -> Json:
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case str():
            return (
                value if is_valid_utf8(value) else value.encode(errors="backslashreplace").decode()
            )
        case Mapping():
            return {
                str(_to_strict_json(key)): _to_strict_json(element)
                for key, element in value.items()
            }
        case Sequence():
            return [_to_strict_json(one) for one in value]
        case _:
            return value
