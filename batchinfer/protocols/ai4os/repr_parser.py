"""Python's `repr` of lists, dicts and the like, read back into data. Pure.

Two ways. Most predictions are lists and dicts of numbers and strings: `parse_simple_repr` rewrites
such a `repr` as JSON, for the C reader of the standard library. `parse_repr_at` reads everything
else token by token (tuples, sets, bytes, numpy, keys that are no strings), with a stack of its own.

Both accept only what `repr` can have written: `[1,2]`, `[1.10, 'a']` and `{'a': true}` are none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from batchinfer.protocols.ai4os.repr_tokens import (
    DOUBLE_QUOTED_PATTERN,
    INVALID_LITERAL,
    REPR_TOKEN,
    SINGLE_QUOTED_PATTERN,
    bytes_to_text,
    format_dict_key,
    parse_any_number,
    parse_exact_number,
    parse_scalar,
    parse_string,
)

MAX_LITERAL_DEPTH: Final = 100
"""Levels of lists and dicts. orjson writes 254; JSON found in a string may double them."""
MAX_REPR_TOKENS: Final = 1_000_000
"""That are read slowly, some microseconds each: what is longer is not read."""

# -- the quick way -------------------------------------------------------------------------------

_REPR_NUMBER: Final = (
    r"-?(?:0|[1-9][0-9]*+)(?:\.(?:[0-9]{0,30}[1-9]|0)(?![0-9.]))?+(?:e[+-][0-9]{2,3})?+(?![\w.])"
)
_JSON_COMPATIBLE: Final = re.compile(
    rf"(?:[\[{{]++|[\]}}]++(?=[,\]}}]|\Z)|(?:(?<=[\]}})\w.'\"]), |(?<=['\"\w]): )(?! )"
    rf"|'[^'\"\\\n]*+'|{_REPR_NUMBER})*+"
)
"""What becomes JSON by another kind of quotes."""
_NUMBER_TUPLE: Final = rf"\((?:{_REPR_NUMBER}, )+{_REPR_NUMBER}\)"
_NEEDS_REWRITE: Final = re.compile(
    rf"(?P<string>{SINGLE_QUOTED_PATTERN}|{DOUBLE_QUOTED_PATTERN})"
    rf"|(?P<word>-?(?:None|True|False|nan|inf)\b(?!\())"
    rf"|(?:np|numpy)\.(?:float|u?int)[0-9]*+\((?P<numpy>{_REPR_NUMBER}|nan|-?inf)\)"
    rf"|(?P<tuple>{_NUMBER_TUPLE})"
)
_JSON_CONSTANT_BY_REPR: Final = {
    "None": "null",
    "True": "true",
    "False": "false",
    "nan": "NaN",
    "inf": "Infinity",
    "-inf": "-Infinity",
}


def parse_simple_repr(text: str) -> Any:
    """The list or dict that `text` is the `repr` of; `BAD`: it is none, or not of this kind."""
    parts: list[str] = []
    at = 0
    while True:
        compatible = _JSON_COMPATIBLE.match(text, at)
        assert compatible is not None  # noqa: S101 - it may be empty
        parts.append(compatible[0].replace("'", '"'))
        if (at := compatible.end()) == len(text):
            break
        special = _NEEDS_REWRITE.match(text, at)
        rewritten = None if special is None else _rewrite_as_json(special)
        if special is None or rewritten is None:
            return INVALID_LITERAL
        parts.append(rewritten)
        at = special.end()
    try:
        return json.loads("".join(parts))
    except (ValueError, RecursionError):
        return INVALID_LITERAL


def _rewrite_as_json(special: re.Match[str]) -> str | None:
    match special.lastgroup:
        case "string":
            value = parse_string(special[0])
            return None if value is INVALID_LITERAL else json.dumps(value, ensure_ascii=False)
        case "tuple":
            return f"[{special[0][1:-1]}]"
        case "numpy":
            return _JSON_CONSTANT_BY_REPR.get(special["numpy"], special["numpy"])
        case _:
            return _JSON_CONSTANT_BY_REPR.get(special[0])


# -- the slow way --------------------------------------------------------------------------------

_SET_NAMES: Final = {"set", "frozenset"}
_ARRAY_NAMES: Final = {"array", "tensor"}
_NUMPY_SCALAR: Final = re.compile(
    r"(?:np|numpy)\.(?:u?int(?:8|16|32|64|c|p)?_?|u?longlong|float(?:16|32|64)?_?|bool_?|str_|bytes_)"
)
_CLOSING_BRACKETS: Final = {"[": "]", "(": ")", "{": "}"}
_INCOMPLETE: Final = object()
"""No value yet: read on."""


@dataclass(frozen=True, slots=True)
class ParsedRepr:
    """A value and where it ends."""

    value: Any
    """Bytes are bytes, if they are all there is."""
    end: int


def parse_repr_at(text: str, start: int) -> ParsedRepr | None:
    """The value whose `repr` begins at `start`, wherever it ends; None: none begins there."""
    return _ReprParser(text, start).parse()


@dataclass(slots=True)
class _OpenContainer:
    """A list, tuple, set, dict or call that has begun and not ended."""

    closing_bracket: str
    start: int
    blanks_before: str
    """The blanks before it."""
    call_name: str = ""
    """What is called, if it is a call."""
    is_in_array: bool = False
    """Whether it belongs to an array, where numpy and torch put blanks as they like."""
    items: list[Any] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    previous_text: str = "open"
    """What came last: open, value, comma, colon."""
    is_blank_separated: bool = False
    """Whether its items are parted by blanks, as numpy prints them."""
    item_start: int = 0

    def add_item(self, value: Any, start: int, blanks_before: str) -> bool:
        """One more item, after blanks; whether it may stand there."""
        if self.previous_text == "value":
            if (
                self.closing_bracket != "]"
                or not blanks_before
                or not (self.is_blank_separated or len(self.items) == 1)
            ):
                return False
            self.is_blank_separated = True
        elif (
            self.previous_text in {"comma", "colon"}
            and blanks_before != " "
            and not self.is_in_array
        ):
            return False
        self.items.append(bytes_to_text(value))
        self.item_start = start
        self.previous_text = "value"
        return True

    def add_separator(self, separator: str, text: str, at: int) -> bool:
        """A comma or colon at offset `at`; whether it may stand there."""
        if self.previous_text != "value" or self.is_blank_separated or self.call_name:
            return False
        if separator == ",":
            self.previous_text = "comma"
            return not self.keys or len(self.items) == len(self.keys)
        if self.closing_bracket != "}" or len(self.items) != len(self.keys) + 1:
            return False
        key = self.items.pop()
        self.keys.append(format_dict_key(key, text[self.item_start : at].strip()))
        self.previous_text = "colon"
        return True

    def close(self, bracket: str) -> Any:
        """The value that ends here, or `BAD`."""
        is_one_tuple = self.closing_bracket == ")" and not self.call_name and len(self.items) == 1
        if (
            bracket != self.closing_bracket
            or self.previous_text == "colon"
            or (self.previous_text == "comma") != is_one_tuple
        ):
            return INVALID_LITERAL
        if self.call_name:
            return _convert_call(self.call_name, self.items)
        if self.closing_bracket != "}" or (self.items and not self.keys):
            return self.items
        if len(self.keys) != len(self.items):
            return INVALID_LITERAL
        return dict(zip(self.keys, self.items, strict=True))


class _ReprParser:
    """Reads one literal, word by word."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._pos = start
        self._stack: list[_OpenContainer] = []
        self._has_numpy_syntax = self._has_python_syntax = False
        """Whether it has what only `str` of a numpy array writes; what only a list or dict has."""

    def parse(self) -> ParsedRepr | None:
        for _ in range(MAX_REPR_TOKENS):
            token = REPR_TOKEN.match(self._text, self._pos)
            if token is None:
                return None
            start, blanks_before = token.end("blank"), token["blank"]
            self._pos = token.end()
            if token.lastgroup == "close":
                value, start, blanks_before = self._close_container(token["close"], blanks_before)
            else:
                value = self._parse_token(token, start, blanks_before)
            if value is _INCOMPLETE:
                continue
            if value is INVALID_LITERAL:
                return None
            if not self._stack:
                return (
                    None
                    if self._has_numpy_syntax and self._has_python_syntax
                    else ParsedRepr(value, self._pos)
                )
            if not self._stack[-1].add_item(value, start, blanks_before):
                return None
            self._has_numpy_syntax |= (
                self._stack[-1].is_blank_separated and not self._stack[-1].is_in_array
            )
        return None

    def _parse_token(self, token: re.Match[str], start: int, blanks_before: str) -> Any:
        word, kind = token[0][len(blanks_before) :], token.lastgroup
        frame = self._stack[-1] if self._stack else None
        if (
            blanks_before
            and frame is not None
            and frame.previous_text == "open"
            and not frame.is_in_array
        ):
            if kind not in {"number", "constant"}:
                return INVALID_LITERAL
            self._has_numpy_syntax = True
        match kind:
            case "open" | "call":
                return self._open_container(word, start, blanks_before)
            case "flat":
                return self._parse_flat_list(word, start, blanks_before)
            case "number":
                return self._parse_number(word, frame)
            case "sign" | "keyword":
                return (
                    INVALID_LITERAL
                    if frame is None
                    else self._parse_separator(kind, word, start, blanks_before, frame)
                )
            case _:
                return parse_scalar(kind, word)

    def _parse_number(self, word: str, frame: _OpenContainer | None) -> Any:
        exact = parse_exact_number(word)
        if exact is not INVALID_LITERAL or frame is None:
            return exact
        self._has_numpy_syntax |= not frame.is_in_array
        return parse_any_number(word)

    def _parse_separator(
        self, kind: str, word: str, start: int, blanks_before: str, frame: _OpenContainer
    ) -> Any:
        """What parts two items."""
        if kind == "keyword":  # says nothing that data needs
            return (
                _INCOMPLETE
                if frame.call_name and frame.previous_text == "value"
                else INVALID_LITERAL
            )
        if blanks_before and not frame.is_in_array:
            return INVALID_LITERAL
        self._has_python_syntax |= not frame.is_in_array and frame.closing_bracket != ")"
        return _INCOMPLETE if frame.add_separator(word, self._text, start) else INVALID_LITERAL

    def _open_container(self, opener: str, start: int, blanks_before: str) -> Any:
        if len(self._stack) == MAX_LITERAL_DEPTH:
            return INVALID_LITERAL
        name = opener[:-1]
        in_array = name in _ARRAY_NAMES or (bool(self._stack) and self._stack[-1].is_in_array)
        self._stack.append(
            _OpenContainer(_CLOSING_BRACKETS[opener[-1]], start, blanks_before, name, in_array)
        )
        return _INCOMPLETE

    def _close_container(self, bracket: str, blanks_before: str) -> tuple[Any, int, str]:
        if not self._stack:
            return INVALID_LITERAL, 0, ""
        frame = self._stack.pop()
        self._has_numpy_syntax |= bool(blanks_before) and not frame.is_in_array
        return frame.close(bracket), frame.start, frame.blanks_before

    def _parse_flat_list(self, word: str, start: int, blanks_before: str) -> Any:
        """A list of numbers and nothing else: mostly read at once."""
        is_in_array = bool(self._stack) and self._stack[-1].is_in_array
        numbers: Any = (
            INVALID_LITERAL
            if not is_in_array and _FLAT_LIST.fullmatch(word) is None
            else _parse_number_list(word)
        )
        if numbers is INVALID_LITERAL:
            self._pos = start + 1
            return self._open_container("[", start, blanks_before)
        self._has_python_syntax |= not is_in_array and len(numbers) > 1
        return numbers if len(self._stack) < MAX_LITERAL_DEPTH else INVALID_LITERAL


_FLAT_LIST: Final = re.compile(rf"\[(?:{_REPR_NUMBER}(?:, {_REPR_NUMBER})*+)?+\]")


def _parse_number_list(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return INVALID_LITERAL


def _convert_call(name: str, items: list[Any]) -> Any:
    """What a call that `repr` writes stands for, or `BAD`."""
    if name in _SET_NAMES and not items:
        return []
    if len(items) != 1:
        return INVALID_LITERAL
    item = items[0]
    if name in _SET_NAMES:
        return item if isinstance(item, list) else INVALID_LITERAL
    if name in _ARRAY_NAMES:
        return item if not isinstance(item, dict) else INVALID_LITERAL
    return (
        item
        if _NUMPY_SCALAR.fullmatch(name) and not isinstance(item, (list, dict))
        else INVALID_LITERAL
    )
