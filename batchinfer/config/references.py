"""`${NAME}` in a text: found, checked, expanded. `$$` stands for a dollar sign. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from batchinfer.domain import Json

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIGN = re.compile(r"\$(?:\$|\{([^}]*)(\}?))")


def reference(text: str) -> str | None:
    """The name, when the text is exactly one `${NAME}`."""
    found = re.fullmatch(r"\$\{([^}]*)\}", text)
    return found[1] if found and _NAME.fullmatch(found[1]) else None


def check(text: str) -> None:
    """Refuse a `${` that begins no reference."""
    for found in _SIGN.finditer(text):
        if found[1] is not None and not (found[2] and _NAME.fullmatch(found[1])):
            raise ValueError('"${NAME}" of letters, digits and _ ("$$" stands for a dollar sign)')


def names(value: Json) -> Iterator[str]:
    """Every NAME that a value refers to, at any depth."""
    match value:
        case str():
            yield from (found[1] for found in _SIGN.finditer(value) if found[1] is not None)
        case Mapping():
            for each in value.values():
                yield from names(each)
        case Sequence():
            for each in value:
                yield from names(each)
        case _:
            return


def expand(value: Json, lookup: Callable[[str], str]) -> Json:
    """The value with every `${NAME}` replaced by what `lookup` knows, at any depth."""
    match value:
        case str():
            return expand_text(value, lookup)
        case Mapping():
            return {name: expand(each, lookup) for name, each in value.items()}
        case Sequence():
            return [expand(each, lookup) for each in value]
        case _:
            return value


def expand_text(text: str, lookup: Callable[[str], str]) -> str:
    """As `expand`, of one text."""
    return _SIGN.sub(lambda found: "$" if found[1] is None else lookup(found[1]), text)
