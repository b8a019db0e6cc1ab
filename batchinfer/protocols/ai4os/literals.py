"""`str()` of a Python object, read back into data. Pure; nothing is ever evaluated.

The platform prints a prediction as `str()` of whatever the model returned, and saves it as JSON
with NaN in it (docs/platform.md, "The body of a 200", "Output names"). Read is only what one of the
two can have written:

* None, True, False, nan, inf and numbers, spelled as `repr` spells them. `1.10`, `12E4`, `-0` and
  `null` are texts: no number is printed like that. A bare string has no quotes, so quotes are text;
* lists, tuples, sets and frozensets (all become lists) and dicts, with strings and bytes in them.
  Bytes become their text where they are UTF-8, else their repr. Half a surrogate pair, which nobody
  could store, stays an escape. A key that is no string is spelled as `json.dumps` would, so that
  both modes agree (1: "1", None: "null"); a tuple as its repr;
* numpy: scalars (`np.float64(0.5)`), `array([...], dtype=...)`, `tensor(...)`; and what an array
  prints, `[0.1 0.2]`: blanks for commas. One elided with `...` has lost its data: not read;
* JSON objects and arrays: models return them as texts.

Whatever else (`OrderedDict(...)`, `<object at 0x...>`) is no literal: the caller keeps it as text.

The text may be hostile. Reading takes time in proportion to its length; what is longer than
`MAX_LITERAL_CHARS` characters, has more than `MAX_LITERAL_VALUES` values, is deeper than
`MAX_LITERAL_DEPTH`, or needs more than `MAX_REPR_TOKENS` words of the slow reader, is not read: it
stays a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from batchinfer.domain import Json
from batchinfer.protocols.ai4os.repr_parser import (
    MAX_LITERAL_DEPTH,
    parse_repr_at,
    parse_simple_repr,
)
from batchinfer.protocols.ai4os.repr_tokens import (
    INVALID_LITERAL,
    bytes_to_text,
    escape_lone_surrogates,
    parse_exact_scalar,
)

MAX_LITERAL_VALUES: Final = 5_000_000
MAX_LITERAL_CHARS: Final = 128 * 1024 * 1024
"""Characters."""


@dataclass(frozen=True, slots=True)
class ParsedLiteral:
    """A literal that was found in a text."""

    value: Json
    end: int
    """Offset of the first character after it."""
    data: bytes | None = None
    """What it holds, if the whole of it is one bytes literal."""
    is_json: bool = False
    """Whether it was read as JSON: then blanks may stand around it."""
    is_scalar: bool = False
    """Whether it is a number or constant: it has no end mark of its own."""


def parse_literal(text: str) -> ParsedLiteral | None:
    """The whole of `text`, blanks around it aside, as the `repr` of one value, or as JSON.

    None when it is neither.
    """
    start = len(text) - len(text.lstrip())
    found = _parse_container_at(text, start, _find_line_end(text, start)) or _parse_repr_at(
        text, start
    )
    return found if found is not None and not text[found.end :].strip() else None


def parse_printed_at(text: str, start: int) -> ParsedLiteral | None:
    """What begins at `start` and fills its line, if `str()` of a value can have printed it.

    None where it may as well be a text. JSON may go on over several lines; behind it blanks may
    follow. A literal that ends with the text is read, too.
    """
    found = _parse_printed_value(text, start, _find_line_end(text, start))
    if found is None:
        return None
    rest = _BLANK_REST_OF_LINE if found.is_json else _REST_OF_LINE
    return found if rest.match(text, found.end) else None


def parse_printed(text: str) -> ParsedLiteral | None:
    """The same, if it is the whole of `text`."""
    found = _parse_printed_value(text, 0, len(text))
    if found is None or text[found.end :].strip(" \t\r\n" if found.is_json else ""):
        return None
    return found if found.is_json or found.end == len(text) else None


def parse_returned_text(text: str) -> tuple[Json, bool]:
    """A text that a model returned as JSON knows it, and whether it was read as data.

    So that both modes agree: in sync mode a text that is, sign for sign, what `str()` prints of a
    list, dict or the like cannot be told from that. Numbers, constants and bytes stay texts here,
    where it is known that they are.
    """
    found = parse_printed(text)
    if found is None or found.is_scalar or found.data is not None:
        return text, False
    return found.value, True


def parse_nested_json(value: Json) -> tuple[Json, bool]:
    """`value` with each string that holds a JSON object or array replaced by that; whether any did.

    Models return JSON as text inside lists (the tutorial's YOLO: docs/platform.md). Once only:
    what is found is not searched again. Lists and dicts of `value` are changed in place.
    """
    root: list[Any] = [value]
    found = False
    for container, index in list(_iter_json_strings(root)):
        text = container[index].rstrip(" \t\r\n")
        inner = parse_json_at(text, 0)
        if inner is not None and inner.end == len(text):
            container[index] = inner.value
            found = True
    return root[0], found


def parse_json_at(text: str, start: int) -> ParsedLiteral | None:
    """The JSON object or array that begins at `start`, if there is one within the limits."""
    if (blanks := _JSON_START_AHEAD.match(text, start)) is None or not _is_within_size_limits(
        text, start
    ):
        return None
    try:
        value, end = _JSON_DECODER.raw_decode(text, blanks.end())
    except (ValueError, RecursionError):
        return None
    brackets = text.count("[", start, end) + text.count("{", start, end)
    if brackets > MAX_LITERAL_DEPTH and not is_within_depth(value):
        return None
    if text.find("\\ud", start, end) >= 0 or text.find("\\uD", start, end) >= 0:
        value = escape_surrogates(value)
    return ParsedLiteral(value, end, is_json=True)


def escape_surrogates(value: Any) -> Any:
    """`value`, of limited depth, with half surrogate pairs in its strings as escapes."""
    match value:
        case str():
            return escape_lone_surrogates(value)
        case list():
            return [escape_surrogates(each) for each in value]
        case dict():
            return {escape_surrogates(key): escape_surrogates(each) for key, each in value.items()}
        case _:
            return value


# ------------------------------------------------------------------------------------------------

_JSON_START_AHEAD: Final = re.compile(r"[ \t\r\n]*+(?=[{\[])")
_SINGLE_QUOTE_FIRST: Final = re.compile(r"[\s\[{(]*+'")
_JSON_DECODER: Final = json.JSONDecoder()
_BLANK_REST_OF_LINE: Final = re.compile(r"[ \t\r]*(?:\x1b\[0*m)?[ \t\r]*(?:\n|\Z)")
_REST_OF_LINE: Final = re.compile(r"(?:\x1b\[0*m)?(?:\n|\Z)")
_PYTHON_LITERAL_START: Final = re.compile(r"[\[({]|(?:set|frozenset|tensor)\(|b['\"]")


def _parse_printed_value(text: str, start: int, line_end: int) -> ParsedLiteral | None:
    if (scalar := parse_exact_scalar(text, start)) is not None:
        return ParsedLiteral(scalar[0], scalar[1], is_scalar=True)
    found = _parse_container_at(text, start, line_end)
    if found is None and _PYTHON_LITERAL_START.match(text, start):
        found = _parse_repr_at(text, start)
    return found


def _parse_container_at(text: str, start: int, line_end: int) -> ParsedLiteral | None:
    """A list or dict at `start`, as JSON, or as a `repr` that goes to the end of its line."""
    # JSON has no single quotes: not even tried, for its reader is slow to say no.
    if (
        not _SINGLE_QUOTE_FIRST.match(text, start)
        and (found := parse_json_at(text, start)) is not None
    ):
        return found
    if not text.startswith(("[", "{"), start) or not _is_within_size_limits(text, start):
        return None
    line = _ANSI_RESET_AT_END.sub("", text[start:line_end]).rstrip()
    value = parse_simple_repr(line)
    brackets = line.count("[") + line.count("{")
    if value is INVALID_LITERAL or (brackets > MAX_LITERAL_DEPTH and not is_within_depth(value)):
        return None
    return ParsedLiteral(value, start + len(line))


_ANSI_RESET_AT_END: Final = re.compile(r"\x1b\[0*m\Z")


def _parse_repr_at(text: str, start: int) -> ParsedLiteral | None:
    found = parse_repr_at(text, start) if _is_within_size_limits(text, start) else None
    if found is None:
        return None
    data = found.value if isinstance(found.value, bytes) else None
    return ParsedLiteral(bytes_to_text(found.value), found.end, data)


def _is_within_size_limits(text: str, start: int) -> bool:
    return len(text) - start <= MAX_LITERAL_CHARS and text.count(",", start) <= MAX_LITERAL_VALUES


def _find_line_end(text: str, start: int) -> int:
    newline = text.find("\n", start)
    return len(text) if newline < 0 else newline


def _iter_json_strings(root: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Where strings that begin like JSON stand below `root`: (list, index) or (dict, key)."""
    pending: list[Any] = [root]
    while pending:
        container = pending.pop()
        for index, entry in (
            container.items() if isinstance(container, dict) else enumerate(container)
        ):
            if isinstance(entry, (list, dict)):
                pending.append(entry)
            elif isinstance(entry, str) and _JSON_START_AHEAD.match(entry):
                yield container, index


def is_within_depth(value: Any) -> bool:
    """Whether `value` is at most `MAX_LITERAL_DEPTH` deep."""
    level: list[Any] = [value]
    for _ in range(MAX_LITERAL_DEPTH):
        level = [
            entry
            for container in level
            for entry in (container.values() if isinstance(container, dict) else container)
            if isinstance(entry, (list, dict))
        ]
        if not level:
            return True
    return False
