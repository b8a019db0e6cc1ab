"""The words of Python's `repr`: numbers, strings, bytes, constants. Pure.

`reprs` puts them together. Kept apart, because how one word is spelled and how words make a whole
are two things.

A word is only what `repr` can have written: `1.10`, `0x10`, `"no quote in it"` and `null` are none.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

INVALID_LITERAL: Final = object()
"""No literal after all."""

SINGLE_QUOTED_PATTERN: Final = r"'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'"
DOUBLE_QUOTED_PATTERN: Final = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
REPR_TOKEN: Final = re.compile(
    rf"""
    (?P<blank>[ \t\r\n]*+)
    (?:
      (?P<flat>\[[0-9.eE+\-,\ ]*+\])
    | (?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?(?![\w.]))
    | (?P<string>{SINGLE_QUOTED_PATTERN}|{DOUBLE_QUOTED_PATTERN})
    | (?P<bytes>b(?:{SINGLE_QUOTED_PATTERN}|{DOUBLE_QUOTED_PATTERN}))
    | (?P<call>[A-Za-z_][\w.]*+\()
    | (?P<constant>-?[A-Za-z_][\w.]*+)
    | (?P<open>[\[({{])
    | (?P<close>[\])}}])
    | (?P<keyword>,\s*+(?:dtype|shape|size|device|requires_grad|grad_fn)=
        (?:[\w.]++|{SINGLE_QUOTED_PATTERN}|\([0-9,\ ]*+\)|<[\w.\ ]*+>|\[[^\[\]\n]*+\]))
    | (?P<sign>[,:])
    )""",
    re.VERBOSE,
)
"""One word and the blanks before it; the group's name is its kind. `flat` is a list of numbers,
`keyword` what numpy adds behind an array. Possessive throughout: no text makes it go back."""

_REPR_CONSTANTS: Final[dict[str, Any]] = {
    "None": None,
    **dict.fromkeys(("True", "np.True_", "numpy.True_"), True),
    **dict.fromkeys(("False", "np.False_", "numpy.False_"), False),
    **dict.fromkeys(("nan", "-nan", "np.nan"), float("nan")),
    **dict.fromkeys(("inf", "np.inf"), float("inf")),
    **dict.fromkeys(("-inf", "-np.inf"), float("-inf")),
}
_ESCAPE_SEQUENCE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_CHARACTER_BY_ESCAPE: Final = dict(zip("'\\nrt", "'\\\n\r\t", strict=True))
_EXACT_SCALAR: Final = re.compile(r"None|True|False|nan|-?inf|-?[0-9][0-9.e+-]*+")


def parse_exact_scalar(text: str, start: int) -> tuple[Any, int] | None:
    """The number or constant at `start` that is spelled as `str` spells it, and where it ends.

    So `0.5`, `1e+16` and `None` are read; `0.50`, `12E4`, `-0`, `+1` and `null` are not: they can
    only be parts of a text.
    """
    found = _EXACT_SCALAR.match(text, start)
    if found is None:
        return None
    value = (
        _REPR_CONSTANTS.get(found[0], INVALID_LITERAL)
        if found[0][-1].isalpha()
        else parse_exact_number(found[0])
    )
    return None if value is INVALID_LITERAL else (value, found.end())


def parse_exact_number(text: str) -> Any:
    """The number that `repr` spells exactly like this; `BAD` when there is none."""
    value = parse_any_number(text)
    return value if value is not INVALID_LITERAL and repr(value) == text else INVALID_LITERAL


def parse_any_number(text: str) -> Any:
    """The same in any spelling: numpy prints `1.` and ` 1.e+00` in its arrays."""
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:  # more digits than Python converts
        return INVALID_LITERAL


def parse_scalar(kind: str | None, text: str) -> Any:
    """The value of one string, bytes or constant; `BAD` when it is none."""
    match kind:
        case "string":
            return parse_string(text)
        case "bytes":
            return _parse_bytes(text[1:])
        case _:
            return _REPR_CONSTANTS.get(text, INVALID_LITERAL)


def bytes_to_text(value: Any) -> Any:
    """Bytes as their text where they are UTF-8, else as their repr; whatever else as it is."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return repr(value)


def format_dict_key(key: Any, source: str) -> str:
    """A dict key as `json.dumps` spells it; a tuple, which JSON lacks, as it stood in `source`."""
    if isinstance(key, str):
        return key
    return source if isinstance(key, (list, dict)) else json.dumps(key)


def parse_string(text: str) -> Any:
    """What a string's quotes enclose; `BAD` when `repr` would have spelled it in another way."""
    inner = text[1:-1]
    if text[0] == '"':
        if '"' in inner or "'" not in inner:
            return INVALID_LITERAL
    elif "\\'" in inner and '"' not in inner:
        return INVALID_LITERAL
    return _unescape(inner)


def escape_lone_surrogates(text: str) -> str:
    """`text` with each half of a surrogate pair, which has no UTF-8 form, as an escape.

    Two halves side by side become the sign that they stand for.
    """
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return paired.encode("utf-8", "backslashreplace").decode()


def _parse_bytes(text: str) -> Any:
    raw: Any = parse_string(text) if text.isascii() else INVALID_LITERAL
    try:
        return raw if raw is INVALID_LITERAL else raw.encode("latin-1")
    except UnicodeEncodeError:
        return INVALID_LITERAL


def _unescape(text: str) -> Any:
    """What the quotes enclose; `BAD` when an escape is none that `repr` writes."""
    if "\\" not in text:
        return text
    try:
        unescaped = _ESCAPE_SEQUENCE.sub(_unescape_match, text)
    except (KeyError, ValueError, OverflowError):  # ... or beyond Unicode
        return INVALID_LITERAL
    return escape_lone_surrogates(unescaped) if "\\u" in text else unescaped


def _unescape_match(escape: re.Match[str]) -> str:
    short, unicode, long, letter = escape.groups()
    return (
        _CHARACTER_BY_ESCAPE[letter]
        if letter is not None
        else chr(int(short or unicode or long, 16))
    )
