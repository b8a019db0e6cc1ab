"""`${NAME}` in a text: found, checked, expanded. `$$` stands for a dollar sign. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from batchinfer.domain import Json

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE_PATTERN = re.compile(r"\$(?:\$|\{([^}]*)(\}?))")


def parse_reference(text: str) -> str | None:
    """The name, when the text is exactly one `${NAME}`."""
    found = re.fullmatch(r"\$\{([^}]*)\}", text)
    return found[1] if found and _VARIABLE_NAME.fullmatch(found[1]) else None


def check_references(text: str) -> None:
    """Refuse a `${` that begins no reference."""
    for found in _REFERENCE_PATTERN.finditer(text):
        if found[1] is not None and not (found[2] and _VARIABLE_NAME.fullmatch(found[1])):
            raise ValueError('"${NAME}" of letters, digits and _ ("$$" stands for a dollar sign)')


def iter_reference_names(value: Json) -> Iterator[str]:
    """Every NAME that a value refers to, at any depth."""
    match value:
        case str():
            yield from (
                found[1] for found in _REFERENCE_PATTERN.finditer(value) if found[1] is not None
            )
        case Mapping():
            for each in value.values():
                yield from iter_reference_names(each)
        case Sequence():
            for each in value:
                yield from iter_reference_names(each)
        case _:
            return


def expand(value: Json, get_value: Callable[[str], str]) -> Json:
    """The value with every `${NAME}` replaced by what `lookup` knows, at any depth."""
    match value:
        case str():
            return expand_text(value, get_value)
        case Mapping():
            return {name: expand(each, get_value) for name, each in value.items()}
        case Sequence():
            return [expand(each, get_value) for each in value]
        case _:
            return value


def expand_text(text: str, get_value: Callable[[str], str]) -> str:
    """As `expand`, of one text."""
    return _REFERENCE_PATTERN.sub(
        lambda found: "$" if found[1] is None else get_value(found[1]), text
    )
