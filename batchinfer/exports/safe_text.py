r"""How values are spelled in what is exported.

* Strict JSON: nan and infinities are the texts "NaN", "Infinity", "-Infinity"; whole numbers stay
  exact however big they are.
* Text that is no Unicode (file names that are not UTF-8) is made printable, `\xNN` for each byte.
* What a spreadsheet would take for a formula is made text: by an apostrophe before it, in JSON by
  writing its first sign as an escape, so that the value stays the same. That is a cell that begins
  with `=`, `+`, `-`, `@` (also in full width, or behind blanks and signs that are not seen), a tab
  or a line's end, unless it is a plain number. Where the comma is no separator (Excel in half of
  Europe), a cell begins also behind each semicolon, tab and line's end, whatever is quoted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

import orjson

from batchinfer.domain import Json
from batchinfer.text_format import escape_undecodable

_FORMULA_START_CHARS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_INVISIBLE_CHARS = "\\s\x00-\x1f\x7f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_FORMULA_PATTERN = re.compile(
    f"^(?=[\t\r\n]|[{_INVISIBLE_CHARS}]*[{_FORMULA_START_CHARS}])"
    # Up to the next cell only: thousands of empty lines are not looked through from each of them.
    f'|[;\t\r\n](?=(?:(?![\t\r\n])["{_INVISIBLE_CHARS}])*[{_FORMULA_START_CHARS}])'
)
"""Where an apostrophe is missing (after OWASP's page on CSV injection)."""
_FORMULA_IN_JSON_PATTERN = re.compile(f"(;[{_INVISIBLE_CHARS}]*)([{_FORMULA_START_CHARS}])")
_LINE_END_ESCAPES = tuple(
    (sign.encode(), f"\\u{ord(sign):04x}".encode()) for sign in "\x85\u2028\u2029"
)
_PLAIN_NUMBER_PATTERN = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")


def encode_strict_json(value: Json) -> bytes:
    """Strict JSON in one line."""
    with suppress(TypeError):  # big numbers, surrogates, deep nesting: the slow way
        text = orjson.dumps(value)
        # nan and infinities it writes as null without a word: where no null is, none was.
        if b"null" not in text or value is None:
            return text
    try:
        text = json.dumps(
            _to_strict_json(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except RecursionError:
        text = b'"(nested too deeply to be exported)"'
    return text


def escape_line_ends(text: bytes) -> bytes:
    """JSON without the signs that Python's `splitlines`, and httpx, take for the end of a line."""
    for line_end, escape in _LINE_END_ESCAPES:
        text = text.replace(line_end, escape)  # the same object where there is none
    return text


def escape_formula(text: str) -> str:
    """`text` as cells that no spreadsheet takes for a formula."""
    if _FORMULA_PATTERN.search(text) is None or _PLAIN_NUMBER_PATTERN.fullmatch(text):
        return text
    return _FORMULA_PATTERN.sub(r"\g<0>'", text)


def escape_formula_in_json(text: str) -> str:
    """The same for a cell that is JSON in one line; it holds the same value."""
    if ";" not in text:
        return text
    return _FORMULA_IN_JSON_PATTERN.sub(lambda found: f"{found[1]}\\u{ord(found[2]):04x}", text)


def _to_strict_json(value: Json) -> Json:
    match value:
        case str():
            return escape_undecodable(value)
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case Mapping():
            return {
                escape_undecodable(name): _to_strict_json(inner) for name, inner in value.items()
            }
        case Sequence():
            return [_to_strict_json(inner) for inner in value]
        case _:
            return value
