r"""The quick reader of the lists and dicts that nearly all predictions are. Pure.

It reads with `orjson`, in a twentieth of the time of `literals.py`, and says nothing
(`INVALID_LITERAL`) where it is not certain to say what `literals.py` says. Certain is:

* **A line without single quotes that `orjson` reads** is JSON, which `literals.py` tries first. The
  two readers of JSON differ only in what `orjson` refuses (NaN, half surrogate pairs, 1e400), and
  in whole numbers beyond 64 bits, of which it makes floats: lines with 19 digits in a row are left.
* **Any other line** is rewritten as JSON, however carelessly, and read. If `repr` of what was read
  is the line again, then the line is the `repr` of that, whatever the rewriting did. Data from JSON
  has only strings without surrogates, finite numbers and the three constants in it:
  of those, `literals.py` reads back every `repr` (tested).
* `repr` of a float takes as long as everything else, so **a line without escapes, double quotes and
  constants** is first compared with what `orjson` writes, blanks behind commas and colons put in.
  If the two agree, no string holds a comma or a colon (`orjson.loads` would have brought the blank
  back), hence all blanks are where `repr` has them; and numbers, exponents aside, are spelled as
  `literals.py` demands it: no sign, zero or point too many.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from batchinfer.protocols.ai4os.literals import is_within_depth, parse_nested_json
from batchinfer.protocols.ai4os.repr_parser import MAX_LITERAL_DEPTH
from batchinfer.protocols.ai4os.repr_tokens import INVALID_LITERAL

_DIGITS_AS_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER: Final = b"0" * 19


def parse_prediction_line(line: str) -> Any:
    """The list or dict that fills `line`, JSON in its strings read, or `INVALID_LITERAL`.

    As `parse_printed` and `parse_nested_json` of `literals.py` read it; where this says
    INVALID_LITERAL, those must look. `line`: far shorter than what those read at most.
    """
    if not line.startswith(("[", "{")):
        return INVALID_LITERAL
    try:
        if "'" not in line:
            return _parse_json(line)
        if '"' in line or "\\" in line or _has_constants(line):
            return _parse_repr(line)
        return _parse_plain_repr(line)
    except ValueError:  # of `orjson`, or of half a surrogate pair
        return INVALID_LITERAL


def _has_constants(line: str) -> bool:
    """Whether it has words of Python or JSON, capital or not, be it in a string."""
    return "None" in line or "null" in line or "rue" in line or "alse" in line


def _parse_json(line: str) -> Any:
    data = line.encode()
    outline = _make_outline(data)
    value = orjson.loads(data)
    if _LONG_NUMBER in outline or _is_too_deep(data, value):
        return INVALID_LITERAL
    may_nest = "\\" in line or _has_json_strings(outline)
    return parse_nested_json(value)[0] if may_nest else value


def _parse_plain_repr(line: str) -> Any:
    """Of a line without double quotes, escapes and constants."""
    data = line.replace("'", '"').encode()
    outline = _make_outline(data)
    value = orjson.loads(data)
    if _is_too_deep(data, value):
        return INVALID_LITERAL
    is_repr = (
        orjson.dumps(value).replace(b",", b", ").replace(b":", b": ") == data
        and b"0e" not in outline
    ) or repr(value) == line
    if not is_repr:
        return INVALID_LITERAL
    return parse_nested_json(value)[0] if _has_json_strings(outline) else value


def _parse_repr(line: str) -> Any:
    text = line.replace('"', '\\"').replace("'", '"')
    text = text.replace("None", "null").replace("True", "true").replace("False", "false")
    data = text.encode()
    value = orjson.loads(data)
    if _is_too_deep(data, value) or repr(value) != line:
        return INVALID_LITERAL
    return parse_nested_json(value)[0]


def _is_too_deep(data: bytes, value: Any) -> bool:
    """Whether what was read from `data` is deeper than may be."""
    brackets = len(data) - len(data.translate(None, b"[{"))
    return brackets > MAX_LITERAL_DEPTH and not is_within_depth(value)


def _make_outline(data: bytes) -> bytes:
    """JSON with each digit a 0, and without blanks."""
    return data.translate(_DIGITS_AS_ZERO, b" \t\r\n")


def _has_json_strings(outline: bytes) -> bool:
    """Whether a string begins as JSON does, in a JSON without escapes."""
    return b'"[' in outline or b'"{' in outline
