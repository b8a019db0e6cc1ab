"""Numbers, names and labels, as models spell them. Total: what is none is None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TypeGuard

from batchinfer.domain import Json

_LONGEST = 32
"""Characters; no longer key is a name that is known here, no longer text a number."""
_MOST_BITS = 1024
"""A whole number beyond is neither a coordinate nor a class."""


def number(value: Json) -> float | None:
    """A finite number; from a text (`"0.93"`, `"93 %"`) and from a list of one, too."""
    read = math.nan
    match value:
        case bool():
            pass
        case int() | float() if isinstance(value, float) or value.bit_length() < _MOST_BITS:
            read = float(value)
        case str() if len(value) <= _LONGEST:
            with suppress(ValueError):
                read = float(value.strip().removesuffix("%"))
        case [one] if not is_list(one):
            return number(one)
        case _:
            pass
    return read if math.isfinite(read) else None


def numbers(value: Json) -> list[float] | None:
    """A list of finite numbers, none of them missing."""
    if not is_list(value):
        return None
    found: list[float] = []
    for part in value:
        if is_list(part) or (read := number(part)) is None:
            return None
        found.append(read)
    return found


def label(value: Json) -> str | None:
    """The name of a class; of a class that has only a number, its digits."""
    match value:
        case str():
            return value or None
        case bool():
            return "true" if value else "false"
        case int() if value.bit_length() < _MOST_BITS:
            return str(value)
        case float() if math.isfinite(value):
            return str(int(value)) if value.is_integer() else str(value)
        case [one] if isinstance(one, (str, int, float)):
            return label(one)
        case _:
            return None


def is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    """Whether it is a list; a text is none."""
    return isinstance(value, (list, tuple))


def spelled(value: Mapping[str, Json]) -> dict[str, Json]:
    """The same without regard to how names are written: `Class_Name` is `classname`."""
    found: dict[str, Json] = {}
    for name, inner in value.items():
        found.setdefault(_plain(name) if len(name) <= _LONGEST else name, inner)
    return found


@lru_cache(maxsize=1024)
def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower())) or name
