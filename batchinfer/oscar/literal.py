"""`str()` of a Python object, read back into data. Pure; nothing is ever evaluated.

The platform prints a prediction as `str()` of whatever the model returned (contract section 1), and
saves it as JSON with NaN in it (section 2). Both are read here, by one grammar:

* None, True, False, nan, inf; null, true, false, NaN, Infinity; whole and decimal numbers as `repr`
  writes them ("007" and "+5" are text, not numbers);
* strings in either quote with every escape of `repr` and JSON; bytes, as their text where they are
  UTF-8, else as their repr. Half a surrogate pair, which nobody could store, stays an escape;
* lists, tuples, sets and frozensets (all become lists), dicts. A key that is no string is spelled
  as `json.dumps` would, so that both modes agree (1: "1", None: "null"); a tuple as its repr;
* numpy: scalars (`np.float64(0.5)`), `array([...], dtype=...)`, `tensor(...)`; and what an array
  prints, `[0.1 0.2]`: blanks for commas. One elided with `...` has lost its data: not read.

Whatever else (`OrderedDict(...)`, `<object at 0x...>`) is no literal: the caller keeps it as text.

The text may be hostile. It is read from left to right with a stack of its own, at most `MAX_DEPTH`
deep, `MAX_VALUES` values and `MAX_TEXT` characters long: beyond, it is not read. What is JSON goes
through the C reader of the standard library (orjson makes floats of long whole numbers).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from batchinfer.domain import Json
from batchinfer.oscar.words import BAD, TOKEN, key_text, plain, scalar

MAX_DEPTH: Final = 100
"""Levels of lists and dicts. orjson writes 254; JSON found in a string may double them."""
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


def read_literal(text: str) -> Read | None:
    """The whole of `text`, blanks around it aside, as one value; None when it is no literal."""
    found = read_at(text)
    return found if found is not None and not text[found.end :].strip() else None


def read_at(text: str, start: int = 0) -> Read | None:
    """The literal that begins at `start`, wherever it ends; None when none begins there."""
    if len(text) - start > MAX_TEXT or text.count(",", start) > MAX_VALUES:
        return None
    # JSON has no single quotes: not even tried, for its reader is slow to say no.
    json = None if _SINGLE_QUOTED.match(text, start) else _json_at(text, start)
    return json or _plain_at(text, start) or _Reader(text, start).read()


def unfold(value: Json) -> tuple[Json, bool]:
    """`value` with each string that holds a JSON object or array replaced by that; whether any did.

    Models return JSON as text inside lists (the tutorial's YOLO: contract section 1). Once only:
    what is found is not searched again. Lists and dicts of `value` are changed in place.
    """
    root: list[Any] = [value]
    found = False
    for holder, place in list(_json_like(root)):
        text = holder[place].rstrip(" \t\r\n")
        inner = _json_at(text, 0)
        if inner is not None and inner.end == len(text):
            holder[place] = inner.value
            found = True
    return root[0], found


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


_JSON_BEGINS: Final = re.compile(r"[ \t\r\n]*+(?=[{\[])")
_SINGLE_QUOTED: Final = re.compile(r"[\s\[{(]*+'")
_DECODER: Final = json.JSONDecoder()


def _json_at(text: str, start: int) -> Read | None:
    """The JSON object or array that begins at `start`, if there is one within the limits."""
    if (blanks := _JSON_BEGINS.match(text, start)) is None:
        return None
    try:
        value, end = _DECODER.raw_decode(text, blanks.end())
    except (ValueError, RecursionError):
        return None
    if text.find("\\ud", start, end) >= 0 or text.find("\\uD", start, end) >= 0:
        return _Reader(text, start).read()  # knows what to do with half a pair
    brackets = text.count("[", start, end) + text.count("{", start, end)
    return Read(value, end) if brackets <= MAX_DEPTH or _shallow(value) else None


_PYTHON_WORD: Final = re.compile(r'"[^"]*+"|\b(?:None|True|False|nan)\b')
_JSON_WORDS: Final = {"None": "null", "True": "true", "False": "false", "nan": "NaN"}


def _plain_at(text: str, start: int) -> Read | None:
    r"""What `_Reader` would read, sooner, where a `repr` is JSON but for its quotes and words.

    Nothing changes its length, so offsets stay. Without `"` and `\` in it, every string stands
    between single quotes.
    """
    if (blanks := _JSON_BEGINS.match(text, start)) is None:
        return None
    begin = blanks.end()
    newline = text.find("\n", begin)
    line = text[begin:] if newline < 0 else text[begin:newline]
    if '"' in line or "\\" in line:
        return None
    line = line.replace("'", '"')
    if any(word in line for word in _JSON_WORDS):
        line = _PYTHON_WORD.sub(lambda word: _JSON_WORDS.get(word[0], word[0]), line)
    found = _json_at(line, 0)
    return found and Read(found.value, begin + found.end)


def _shallow(value: Any) -> bool:
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


_SETS: Final = {"set", "frozenset"}
_ARRAYS: Final = {"array", "tensor"}
_SCALAR: Final = re.compile(
    r"(?:np|numpy)\.(?:u?int(?:8|16|32|64|c|p)?_?|u?longlong|float(?:16|32|64)?_?|bool_?|str_|bytes_)"
)
_CLOSES: Final = {"[": "]", "(": ")", "{": "}"}
_MORE: Final = object()
"""No value yet: read on."""


@dataclass(slots=True)
class _Frame:
    """A list, tuple, set, dict or call that has begun and not ended."""

    closes: str
    begin: int
    spaced: bool
    """Whether blanks stood before it."""
    name: str = ""
    """What is called, if it is a call."""
    items: list[Any] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    last: str = "open"
    """What came last: open, value, comma, colon."""
    blanks: bool = False
    """Whether its items are parted by blanks, as numpy prints them."""
    item_begin: int = 0

    def add(self, value: Any, begin: int, *, spaced: bool) -> bool:
        """One more item; whether it may stand there."""
        if self.last == "value":
            if self.closes != "]" or not spaced or not (self.blanks or len(self.items) == 1):
                return False
            self.blanks = True
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
        self._left = MAX_VALUES

    def read(self) -> Read | None:
        while (token := TOKEN.match(self._text, self._pos)) is not None:
            begin = token.end("blank")
            spaced = begin > self._pos
            self._pos = token.end()
            if token.lastgroup == "close":
                value, begin, spaced = self._close(token["close"])
            else:
                value = self._word(token, begin, spaced=spaced)
            if value is _MORE:
                continue
            self._left -= 1
            if value is BAD or self._left < 0:
                return None
            if not self._stack:
                return Read(plain(value), self._pos, value if isinstance(value, bytes) else None)
            if not self._stack[-1].add(value, begin, spaced=spaced):
                return None
        return None

    def _word(self, token: re.Match[str], begin: int, *, spaced: bool) -> Any:
        match token.lastgroup:
            case "open" | "call":
                return self._open(token[0][begin - token.start() :], begin, spaced=spaced)
            case "flat":
                return self._flat(token["flat"], begin, spaced=spaced)
            case "sign" if self._stack:
                return _MORE if self._stack[-1].sign(token["sign"], self._text, begin) else BAD
            case "keyword" if self._stack and self._stack[-1].name:  # says nothing that data needs
                return _MORE if self._stack[-1].last == "value" else BAD
            case kind:
                return scalar(kind, token[0][begin - token.start() :])

    def _open(self, opener: str, begin: int, *, spaced: bool) -> Any:
        if len(self._stack) == MAX_DEPTH:
            return BAD
        self._stack.append(_Frame(_CLOSES[opener[-1]], begin, spaced, opener[:-1]))
        return _MORE

    def _close(self, bracket: str) -> tuple[Any, int, bool]:
        if not self._stack:
            return BAD, 0, False
        frame = self._stack.pop()
        return frame.close(bracket), frame.begin, frame.spaced

    def _flat(self, text: str, begin: int, *, spaced: bool) -> Any:
        """A list of numbers and nothing else: mostly JSON, and then read at its speed."""
        try:
            numbers = json.loads(text)
        except ValueError:
            self._pos = begin + 1
            return self._open("[", begin, spaced=spaced)
        self._left -= len(numbers)
        return numbers if len(self._stack) < MAX_DEPTH else BAD


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
    return item if _SCALAR.fullmatch(name) and not isinstance(item, (list, dict)) else BAD
