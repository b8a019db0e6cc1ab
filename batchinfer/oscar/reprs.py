"""Python's `repr` of lists, dicts and the like, read back into data. Pure.

Two ways. Most predictions are lists and dicts of numbers and strings: `read_quickly` rewrites such
a `repr` as JSON, for the C reader of the standard library. `read_slowly` reads everything else word
by word (tuples, sets, bytes, numpy, keys that are no strings), with a stack of its own.

Both accept only what `repr` can have written: `[1,2]`, `[1.10, 'a']` and `{'a': true}` are none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from batchinfer.oscar.words import (
    BAD,
    DOUBLE_QUOTED,
    SINGLE_QUOTED,
    TOKEN,
    any_number,
    key_text,
    number,
    plain,
    scalar,
    string,
)

MAX_DEPTH: Final = 100
"""Levels of lists and dicts. orjson writes 254; JSON found in a string may double them."""
MAX_WORDS: Final = 1_000_000
"""That are read slowly, some microseconds each: what is longer is not read."""

# -- the quick way -------------------------------------------------------------------------------

_NUMBER: Final = (
    r"-?(?:0|[1-9][0-9]*+)(?:\.(?:[0-9]{0,30}[1-9]|0)(?![0-9.]))?+(?:e[+-][0-9]{2,3})?+(?![\w.])"
)
_EASY: Final = re.compile(
    rf"(?:[\[{{]++|[\]}}]++(?=[,\]}}]|\Z)|(?:(?<=[\]}})\w.'\"]), |(?<=['\"\w]): )(?! )"
    rf"|'[^'\"\\\n]*+'|{_NUMBER})*+"
)
"""What becomes JSON by another kind of quotes."""
_PAIR: Final = rf"\((?:{_NUMBER}, )+{_NUMBER}\)"
_HARD: Final = re.compile(
    rf"(?P<string>{SINGLE_QUOTED}|{DOUBLE_QUOTED})"
    rf"|(?P<word>-?(?:None|True|False|nan|inf)\b(?!\())"
    rf"|(?:np|numpy)\.(?:float|u?int)[0-9]*+\((?P<numpy>{_NUMBER}|nan|-?inf)\)"
    rf"|(?P<tuple>{_PAIR})"
)
_JSON_WORDS: Final = {
    "None": "null",
    "True": "true",
    "False": "false",
    "nan": "NaN",
    "inf": "Infinity",
    "-inf": "-Infinity",
}


def read_quickly(text: str) -> Any:
    """The list or dict that `text` is the `repr` of; `BAD`: it is none, or not of this kind."""
    parts: list[str] = []
    at = 0
    while True:
        easy = _EASY.match(text, at)
        assert easy is not None  # noqa: S101 - it may be empty
        parts.append(easy[0].replace("'", '"'))
        if (at := easy.end()) == len(text):
            break
        hard = _HARD.match(text, at)
        spelled = None if hard is None else _as_json(hard)
        if hard is None or spelled is None:
            return BAD
        parts.append(spelled)
        at = hard.end()
    try:
        return json.loads("".join(parts))
    except (ValueError, RecursionError):
        return BAD


def _as_json(hard: re.Match[str]) -> str | None:
    match hard.lastgroup:
        case "string":
            value = string(hard[0])
            return None if value is BAD else json.dumps(value, ensure_ascii=False)
        case "tuple":
            return f"[{hard[0][1:-1]}]"
        case "numpy":
            return _JSON_WORDS.get(hard["numpy"], hard["numpy"])
        case _:
            return _JSON_WORDS.get(hard[0])


# -- the slow way --------------------------------------------------------------------------------

_SETS: Final = {"set", "frozenset"}
_ARRAYS: Final = {"array", "tensor"}
_NUMPY_SCALAR: Final = re.compile(
    r"(?:np|numpy)\.(?:u?int(?:8|16|32|64|c|p)?_?|u?longlong|float(?:16|32|64)?_?|bool_?|str_|bytes_)"
)
_CLOSES: Final = {"[": "]", "(": ")", "{": "}"}
_MORE: Final = object()
"""No value yet: read on."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value and where it ends."""

    value: Any
    """Bytes are bytes, if they are all there is."""
    end: int


def read_slowly(text: str, start: int) -> Found | None:
    """The value whose `repr` begins at `start`, wherever it ends; None: none begins there."""
    return _Reader(text, start).read()


@dataclass(slots=True)
class _Frame:
    """A list, tuple, set, dict or call that has begun and not ended."""

    closes: str
    begin: int
    gap: str
    """The blanks before it."""
    name: str = ""
    """What is called, if it is a call."""
    in_array: bool = False
    """Whether it belongs to an array, where numpy and torch put blanks as they like."""
    items: list[Any] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    last: str = "open"
    """What came last: open, value, comma, colon."""
    blanks: bool = False
    """Whether its items are parted by blanks, as numpy prints them."""
    item_begin: int = 0

    def add(self, value: Any, begin: int, gap: str) -> bool:
        """One more item, after blanks; whether it may stand there."""
        if self.last == "value":
            if self.closes != "]" or not gap or not (self.blanks or len(self.items) == 1):
                return False
            self.blanks = True
        elif self.last in {"comma", "colon"} and gap != " " and not self.in_array:
            return False
        self.items.append(plain(value))
        self.item_begin = begin
        self.last = "value"
        return True

    def sign(self, sign: str, text: str, at: int) -> bool:
        """A comma or colon at offset `at`; whether it may stand there."""
        if self.last != "value" or self.blanks or self.name:
            return False
        if sign == ",":
            self.last = "comma"
            return not self.keys or len(self.items) == len(self.keys)
        if self.closes != "}" or len(self.items) != len(self.keys) + 1:
            return False
        key = self.items.pop()
        self.keys.append(key_text(key, text[self.item_begin : at].strip()))
        self.last = "colon"
        return True

    def close(self, bracket: str) -> Any:
        """The value that ends here, or `BAD`."""
        tuple_of_one = self.closes == ")" and not self.name and len(self.items) == 1
        if bracket != self.closes or self.last == "colon" or (self.last == "comma") != tuple_of_one:
            return BAD
        if self.name:
            return _called(self.name, self.items)
        if self.closes != "}" or (self.items and not self.keys):
            return self.items
        if len(self.keys) != len(self.items):
            return BAD
        return dict(zip(self.keys, self.items, strict=True))


class _Reader:
    """Reads one literal, word by word."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._pos = start
        self._stack: list[_Frame] = []
        self._numpy = self._python = False
        """Whether it has what only `str` of a numpy array writes; what only a list or dict has."""

    def read(self) -> Found | None:
        for _ in range(MAX_WORDS):
            token = TOKEN.match(self._text, self._pos)
            if token is None:
                return None
            begin, gap = token.end("blank"), token["blank"]
            self._pos = token.end()
            if token.lastgroup == "close":
                value, begin, gap = self._close(token["close"], gap)
            else:
                value = self._word(token, begin, gap)
            if value is _MORE:
                continue
            if value is BAD:
                return None
            if not self._stack:
                return None if self._numpy and self._python else Found(value, self._pos)
            if not self._stack[-1].add(value, begin, gap):
                return None
            self._numpy |= self._stack[-1].blanks and not self._stack[-1].in_array
        return None

    def _word(self, token: re.Match[str], begin: int, gap: str) -> Any:
        word, kind = token[0][len(gap) :], token.lastgroup
        frame = self._stack[-1] if self._stack else None
        if gap and frame is not None and frame.last == "open" and not frame.in_array:
            if kind not in {"number", "constant"}:
                return BAD
            self._numpy = True
        match kind:
            case "open" | "call":
                return self._open(word, begin, gap)
            case "flat":
                return self._flat(word, begin, gap)
            case "number":
                return self._number(word, frame)
            case "sign" | "keyword":
                return BAD if frame is None else self._between(kind, word, begin, gap, frame)
            case _:
                return scalar(kind, word)

    def _number(self, word: str, frame: _Frame | None) -> Any:
        exact = number(word)
        if exact is not BAD or frame is None:
            return exact
        self._numpy |= not frame.in_array
        return any_number(word)

    def _between(self, kind: str, word: str, begin: int, gap: str, frame: _Frame) -> Any:
        """What parts two items."""
        if kind == "keyword":  # says nothing that data needs
            return _MORE if frame.name and frame.last == "value" else BAD
        if gap and not frame.in_array:
            return BAD
        self._python |= not frame.in_array and frame.closes != ")"
        return _MORE if frame.sign(word, self._text, begin) else BAD

    def _open(self, opener: str, begin: int, gap: str) -> Any:
        if len(self._stack) == MAX_DEPTH:
            return BAD
        name = opener[:-1]
        in_array = name in _ARRAYS or (bool(self._stack) and self._stack[-1].in_array)
        self._stack.append(_Frame(_CLOSES[opener[-1]], begin, gap, name, in_array))
        return _MORE

    def _close(self, bracket: str, gap: str) -> tuple[Any, int, str]:
        if not self._stack:
            return BAD, 0, ""
        frame = self._stack.pop()
        self._numpy |= bool(gap) and not frame.in_array
        return frame.close(bracket), frame.begin, frame.gap

    def _flat(self, word: str, begin: int, gap: str) -> Any:
        """A list of numbers and nothing else: mostly read at once."""
        loose = bool(self._stack) and self._stack[-1].in_array
        numbers: Any = BAD if not loose and _FLAT.fullmatch(word) is None else _numbers(word)
        if numbers is BAD:
            self._pos = begin + 1
            return self._open("[", begin, gap)
        self._python |= not loose and len(numbers) > 1
        return numbers if len(self._stack) < MAX_DEPTH else BAD


_FLAT: Final = re.compile(rf"\[(?:{_NUMBER}(?:, {_NUMBER})*+)?+\]")


def _numbers(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return BAD


def _called(name: str, items: list[Any]) -> Any:
    """What a call that `repr` writes stands for, or `BAD`."""
    if name in _SETS and not items:
        return []
    if len(items) != 1:
        return BAD
    item = items[0]
    if name in _SETS:
        return item if isinstance(item, list) else BAD
    if name in _ARRAYS:
        return item if not isinstance(item, dict) else BAD
    return item if _NUMPY_SCALAR.fullmatch(name) and not isinstance(item, (list, dict)) else BAD
