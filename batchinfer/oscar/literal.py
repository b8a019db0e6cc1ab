"""`str()` of a Python object, read back into data. Pure; nothing is ever evaluated.

The platform prints a prediction as `str()` of whatever the model returned (contract section 1), and
saves it as JSON with NaN in it (section 2). Read is only what one of the two can have written:

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
`MAX_TEXT` characters, has more than `MAX_VALUES` values, is deeper than `MAX_DEPTH`, or needs more
than `MAX_WORDS` words of the slow reader, is not read: it stays a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from batchinfer.domain import Json
from batchinfer.oscar.reprs import MAX_DEPTH, read_quickly, read_slowly
from batchinfer.oscar.words import BAD, exact_scalar, plain, without_halves

MAX_VALUES: Final = 5_000_000
MAX_TEXT: Final = 128 * 1024 * 1024
"""Characters."""


@dataclass(frozen=True, slots=True)
class Read:
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


def read_literal(text: str) -> Read | None:
    """The whole of `text`, blanks around it aside, as the `repr` of one value, or as JSON.

    None when it is neither.
    """
    start = len(text) - len(text.lstrip())
    found = _container_at(text, start, _line_end(text, start)) or _slow_at(text, start)
    return found if found is not None and not text[found.end :].strip() else None


def printed_at(text: str, start: int) -> Read | None:
    """What begins at `start` and fills its line, if `str()` of a value can have printed it.

    None where it may as well be a text. JSON may go on over several lines; behind it blanks may
    follow. A literal that ends with the text is read, too.
    """
    found = _printed(text, start, _line_end(text, start))
    if found is None:
        return None
    rest = _REST_AFTER_JSON if found.is_json else _REST_OF_LINE
    return found if rest.match(text, found.end) else None


def read_printed(text: str) -> Read | None:
    """The same, if it is the whole of `text`."""
    found = _printed(text, 0, len(text))
    if found is None or text[found.end :].strip(" \t\r\n" if found.is_json else ""):
        return None
    return found if found.is_json or found.end == len(text) else None


def read_text(text: str) -> tuple[Json, bool]:
    """A text that a model returned as JSON knows it, and whether it was read as data.

    So that both modes agree: in sync mode a text that is, sign for sign, what `str()` prints of a
    list, dict or the like cannot be told from that. Numbers, constants and bytes stay texts here,
    where it is known that they are.
    """
    found = read_printed(text)
    if found is None or found.is_scalar or found.data is not None:
        return text, False
    return found.value, True


def unfold(value: Json) -> tuple[Json, bool]:
    """`value` with each string that holds a JSON object or array replaced by that; whether any did.

    Models return JSON as text inside lists (the tutorial's YOLO: contract section 1). Once only:
    what is found is not searched again. Lists and dicts of `value` are changed in place.
    """
    root: list[Any] = [value]
    found = False
    for holder, place in list(_json_like(root)):
        text = holder[place].rstrip(" \t\r\n")
        inner = json_at(text, 0)
        if inner is not None and inner.end == len(text):
            holder[place] = inner.value
            found = True
    return root[0], found


def json_at(text: str, start: int) -> Read | None:
    """The JSON object or array that begins at `start`, if there is one within the limits."""
    if (blanks := _JSON_BEGINS.match(text, start)) is None or not _is_bounded(text, start):
        return None
    try:
        value, end = _DECODER.raw_decode(text, blanks.end())
    except (ValueError, RecursionError):
        return None
    brackets = text.count("[", start, end) + text.count("{", start, end)
    if brackets > MAX_DEPTH and not _is_shallow(value):
        return None
    if text.find("\\ud", start, end) >= 0 or text.find("\\uD", start, end) >= 0:
        value = stored(value)
    return Read(value, end, is_json=True)


def stored(value: Any) -> Any:
    """`value`, of limited depth, with half surrogate pairs in its strings as escapes."""
    match value:
        case str():
            return without_halves(value)
        case list():
            return [stored(each) for each in value]
        case dict():
            return {stored(key): stored(each) for key, each in value.items()}
        case _:
            return value


# ------------------------------------------------------------------------------------------------

_JSON_BEGINS: Final = re.compile(r"[ \t\r\n]*+(?=[{\[])")
_SINGLE_QUOTED: Final = re.compile(r"[\s\[{(]*+'")
_DECODER: Final = json.JSONDecoder()
_REST_AFTER_JSON: Final = re.compile(r"[ \t\r]*(?:\x1b\[0*m)?[ \t\r]*(?:\n|\Z)")
_REST_OF_LINE: Final = re.compile(r"(?:\x1b\[0*m)?(?:\n|\Z)")
_PYTHON_BEGINS: Final = re.compile(r"[\[({]|(?:set|frozenset|tensor)\(|b['\"]")


def _printed(text: str, start: int, line_end: int) -> Read | None:
    if (scalar := exact_scalar(text, start)) is not None:
        return Read(scalar[0], scalar[1], is_scalar=True)
    found = _container_at(text, start, line_end)
    if found is None and _PYTHON_BEGINS.match(text, start):
        found = _slow_at(text, start)
    return found


def _container_at(text: str, start: int, line_end: int) -> Read | None:
    """A list or dict at `start`, as JSON, or as a `repr` that goes to the end of its line."""
    # JSON has no single quotes: not even tried, for its reader is slow to say no.
    if not _SINGLE_QUOTED.match(text, start) and (found := json_at(text, start)) is not None:
        return found
    if not text.startswith(("[", "{"), start) or not _is_bounded(text, start):
        return None
    line = _RESET.sub("", text[start:line_end]).rstrip()
    value = read_quickly(line)
    brackets = line.count("[") + line.count("{")
    if value is BAD or (brackets > MAX_DEPTH and not _is_shallow(value)):
        return None
    return Read(value, start + len(line))


_RESET: Final = re.compile(r"\x1b\[0*m\Z")


def _slow_at(text: str, start: int) -> Read | None:
    found = read_slowly(text, start) if _is_bounded(text, start) else None
    if found is None:
        return None
    data = found.value if isinstance(found.value, bytes) else None
    return Read(plain(found.value), found.end, data)


def _is_bounded(text: str, start: int) -> bool:
    return len(text) - start <= MAX_TEXT and text.count(",", start) <= MAX_VALUES


def _line_end(text: str, start: int) -> int:
    newline = text.find("\n", start)
    return len(text) if newline < 0 else newline


def _json_like(root: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Where strings that begin like JSON stand below `root`: (list, index) or (dict, key)."""
    below: list[Any] = [root]
    while below:
        holder = below.pop()
        for place, entry in holder.items() if isinstance(holder, dict) else enumerate(holder):
            if isinstance(entry, (list, dict)):
                below.append(entry)
            elif isinstance(entry, str) and _JSON_BEGINS.match(entry):
                yield holder, place


def _is_shallow(value: Any) -> bool:
    """Whether `value` is at most `MAX_DEPTH` deep."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            entry
            for holder in level
            for entry in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(entry, (list, dict))
        ]
        if not level:
            return True
    return False
