"""The words of Python's `repr` and of JSON: numbers, strings, bytes, constants. Pure.

`literal` puts them together. Kept apart, because how one word is spelled and how words make a whole
are two things.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

BAD: Final = object()
"""No literal after all."""

_SINGLE: Final = r"'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'"
_DOUBLE: Final = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
TOKEN: Final = re.compile(
    rf"""
    (?P<blank>[ \t\r\n]*+)
    (?:
      (?P<flat>\[[0-9.eE+\-,\ \t\r\n]*+\])
    | (?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?(?![\w.]))
    | (?P<string>{_SINGLE}|{_DOUBLE})
    | (?P<bytes>b(?:{_SINGLE}|{_DOUBLE}))
    | (?P<call>[A-Za-z_][\w.]*+\()
    | (?P<constant>-?[A-Za-z_][\w.]*+)
    | (?P<open>[\[({{])
    | (?P<close>[\])}}])
    | (?P<keyword>,\s*+(?:dtype|shape|size|device|requires_grad|grad_fn)=
        (?:[\w.]++|{_SINGLE}|\([0-9,\ ]*+\)|<[\w.\ ]*+>|\[[^\[\]\n]*+\]))
    | (?P<sign>[,:])
    )""",
    re.VERBOSE,
)
"""One word and the blanks before it; the group's name is its kind. `flat` is a list of numbers,
`keyword` what numpy adds behind an array. Possessive throughout: no text makes it go back."""

_CONSTANTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("None", "null")),
    **dict.fromkeys(("True", "true", "np.True_", "numpy.True_"), True),
    **dict.fromkeys(("False", "false", "np.False_", "numpy.False_"), False),
    **dict.fromkeys(("nan", "NaN", "-nan", "np.nan"), float("nan")),
    **dict.fromkeys(("inf", "Infinity", "np.inf"), float("inf")),
    **dict.fromkeys(("-inf", "-Infinity", "-np.inf"), float("-inf")),
}
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))"
)
_ESCAPED: Final = dict(zip("'\"\\/nrtabfv", "'\"\\/\n\r\t\a\b\f\v", strict=True))


def scalar(kind: str | None, text: str) -> Any:
    """The value of one number, string, bytes or constant; `BAD` when it is none."""
    match kind:
        case "number":
            return _number(text)
        case "string":
            return _unescaped(text[1:-1])
        case "bytes":
            return _bytes(text[2:-1])
        case _:
            return _CONSTANTS.get(text, BAD)


def plain(value: Any) -> Any:
    """Bytes as their text where they are UTF-8, else as their repr; whatever else as it is."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return repr(value)


def key_text(key: Any, source: str) -> str:
    """A dict key as `json.dumps` spells it; a tuple, which JSON lacks, as it stood in `source`."""
    if isinstance(key, str):
        return key
    return source if isinstance(key, (list, dict)) else json.dumps(key)


def _number(text: str) -> Any:
    if not text.lstrip("-").isdecimal():
        return float(text)
    try:
        return int(text)
    except ValueError:  # more digits than Python converts
        return BAD


def _bytes(text: str) -> Any:
    raw: Any = _unescaped(text) if text.isascii() else BAD
    try:
        return raw if raw is BAD else raw.encode("latin-1")
    except UnicodeEncodeError:
        return BAD


def _unescaped(text: str) -> Any:
    """What the quotes enclose; `BAD` when an escape is none that `repr` or JSON writes."""
    if "\\" not in text:
        return text
    try:
        whole = _ESCAPE.sub(_character, text)
    except (KeyError, ValueError, OverflowError):  # ... or beyond Unicode
        return BAD
    if "\\u" not in text:
        return whole
    # JSON spells what lies beyond 16 bits in two halves; a half alone has no UTF-8 form, and stays
    # an escape.
    paired = whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return paired.encode("utf-8", "backslashreplace").decode()


def _character(escape: re.Match[str]) -> str:
    short, unicode, long, octal, letter = escape.groups()
    if letter is not None:
        return _ESCAPED[letter]
    return chr(int(octal, 8)) if octal is not None else chr(int(short or unicode or long, 16))
