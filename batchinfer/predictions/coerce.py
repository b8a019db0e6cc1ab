"""Numbers, names and labels from whatever a model returns. Total: what is none becomes None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TypeGuard

from batchinfer.domain import Json

_MAX_KEY_CHARS = 32
"""Characters; no longer key is a name that is known here, no longer text a number."""
_MAX_NUMBER_BITS = 1024
"""A whole number beyond is neither a coordinate nor a class."""


def to_number(value: Json) -> float | None:
    """A finite number; also from a text (`"0.93"`, `"93 %"`) or a list of one."""
    parsed = math.nan
    match value:
        case bool():
            pass
        case int() | float() if isinstance(value, float) or value.bit_length() < _MAX_NUMBER_BITS:
            parsed = float(value)
        case str() if len(value) <= _MAX_KEY_CHARS:
            with suppress(ValueError):
                parsed = float(value.strip().removesuffix("%"))
        case [one] if not is_list(one):
            return to_number(one)
        case _:
            pass
    return parsed if math.isfinite(parsed) else None


def to_numbers(value: Json) -> list[float] | None:
    """A list of finite numbers, none of them missing."""
    if not is_list(value):
        return None
    found: list[float] = []
    for part in value:
        if is_list(part) or (read := to_number(part)) is None:
            return None
        found.append(read)
    return found


def to_label(value: Json) -> str | None:
    """The name of a class; if it has only a number, its digits."""
    match value:
        case str():
            return value or None
        case bool():
            return "true" if value else "false"
        case int() if value.bit_length() < _MAX_NUMBER_BITS:
            return str(value)
        case float() if math.isfinite(value):
            return str(int(value)) if value.is_integer() else str(value)
        case [one] if isinstance(one, (str, int, float)):
            return to_label(one)
        case _:
            return None


def is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    """Whether it is a list; a text is none."""
    return isinstance(value, (list, tuple))


def normalize_keys(value: Mapping[str, Json]) -> dict[str, Json]:
    """The same dict with normalized keys: `Class_Name` becomes `classname`."""
    found: dict[str, Json] = {}
    for name, inner in value.items():
        found.setdefault(_normalize_key(name) if len(name) <= _MAX_KEY_CHARS else name, inner)
    return found


@lru_cache(maxsize=1024)
def _normalize_key(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower())) or name
