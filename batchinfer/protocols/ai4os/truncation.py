"""Whether what came is all that was written, as far as it shows by itself. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from batchinfer.domain import Json
from batchinfer.protocols.ai4os.literals import escape_surrogates, parse_json_at

_JSON_SCALAR: Final = re.compile(r"-?[A-Za-z0-9][A-Za-z0-9.+-]*+\Z")
_JSON_CONSTANT_VALUES: Final = {"null": None, "true": True, "false": False}
_NON_FINITE_BY_JSON: Final = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}
_JSON_TOKEN: Final = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\.)*+("?)|[\[{]++|[\]}]++')
_PARTIAL_JSON_SCALAR: Final = re.compile(
    r"(?:tr?u?|fa?l?s?|nu?l?|Na?|-?In?f?i?n?i?t?|-|\.|[eE][+-]?)\Z"  # also of a number
)
_FILE_SIGNATURES: Final = (
    (b"\x89PNG", b"IEND\xaeB`\x82"),
    (b"\xff\xd8\xff", b"\xff\xd9"),
    (b"GIF8", b"\x3b"),
)
_ZIP_END_SIGNATURE: Final = b"PK\x05\x06"
_ZIP_END_RECORD_BYTES: Final = 22


@dataclass(frozen=True, slots=True)
class SavedJson:
    """What an output object holds that is JSON, or begins like it."""

    value: Json = None
    is_complete: bool = True
    """Whether it has an end mark. A number has none: more digits may have followed."""
    is_truncated: bool = False
    """Whether it goes on beyond its end: there is no value."""


def parse_saved_json(text: str) -> SavedJson | None:
    """The JSON that `json.dumps` can have written; None when it is none.

    An object or array that is beyond the limits of `literals.py` is None, too: it stays a text.
    """
    text = text.strip(" \t\r\n")
    first = text[:1]
    if first in {"{", "["}:
        found = parse_json_at(text, 0)
        if found is not None:
            return SavedJson(found.value) if found.end == len(text) else None
        return SavedJson(is_complete=False, is_truncated=True) if _is_unclosed_json(text) else None
    if first == '"':
        return _parse_json_string(text)
    return _parse_json_scalar(text) if _JSON_SCALAR.match(text) else None


def is_complete_file(data: bytes) -> bool:
    """Whether a file shows by its last bytes that it is whole: PNG, JPEG, GIF, zip, JSON."""
    if any(data.startswith(begin) and data.endswith(end) for begin, end in _FILE_SIGNATURES):
        return True
    if data.startswith(b"PK"):
        return (
            data.find(_ZIP_END_SIGNATURE, max(0, len(data) - _ZIP_END_RECORD_BYTES - 65_535)) >= 0
        )
    found = (
        parse_saved_json(data.decode(errors="replace")) if data[:1] in {b"{", b"[", b'"'} else None
    )
    return found is not None and found.is_complete


def _parse_json_string(text: str) -> SavedJson | None:
    token = _JSON_TOKEN.match(text)
    if token is None:
        return None
    if token.end() < len(text):
        return (
            SavedJson(is_complete=False, is_truncated=True)
            if _ends_in_escape(text, token)
            else None
        )
    if not token[1]:
        return SavedJson(is_complete=False, is_truncated=True)
    try:
        return SavedJson(escape_surrogates(json.loads(text)))
    except ValueError:
        return None


def _parse_json_scalar(text: str) -> SavedJson | None:
    if text in _JSON_CONSTANT_VALUES:
        return SavedJson(_JSON_CONSTANT_VALUES[text])
    if text in _NON_FINITE_BY_JSON:
        return SavedJson(float(_NON_FINITE_BY_JSON[text]))
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return SavedJson(value, is_complete=False) if json.dumps(value) == text else None


def _ends_in_escape(text: str, token: re.Match[str]) -> bool:
    return not token[1] and text[token.end() :] == "\\"


def _is_unclosed_json(text: str) -> bool:
    """Whether an object or array has not closed by the end of `text`, and is JSON so far."""
    depth = 0
    for token in _JSON_TOKEN.finditer(text):
        if token[0][0] == '"':
            if not token[1] and token.end() < len(text) - 1:
                return False  # a sign that no JSON string holds
        else:
            depth += len(token[0]) if token[0][0] in "[{" else -len(token[0])
            if depth <= 0:
                return False
    return _is_json_prefix(text)


def _is_json_prefix(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string"):
            return True
        in_escape = error.msg.startswith("Invalid \\u") and error.pos >= len(text) - len(r"\u1234")
        return (
            in_escape or error.pos >= len(text) or bool(_PARTIAL_JSON_SCALAR.match(text, error.pos))
        )
    except (ValueError, RecursionError):
        return True
    return False
