"""Where things are in a prediction, as the user says: for shapes that are not recognized.

`--map boxes=result.objects[].bbox label=result.objects[].cls format=xywh`

========== =======================================================================================
name       says
========== =======================================================================================
`boxes`    the path of the boxes: four numbers, or a dict that names the sides
`outline`  the path of the polygons
`label`    the path of the classes; without boxes or outlines: of a classification
`score`    the path of the scores
`text`     the path of a text
`format`   the order of four numbers: `xyxy` (corners), `xywh` (left, top, width, height), `cxcywh`
           (centre, width, height), `yxyx`, `xxyy`
`unit`     `pixels`, or `relative`: fractions of the picture
`numbers`  what numbers by name are: `classes` (with probabilities), or `data`
========== =======================================================================================

Without any path, `format`, `unit` and `numbers` say how numbers are interpreted; locations are
found by shape.

A path is made of names joined by dots; `[]` means every element of a list, `[0]` one of them; a
name with other characters than letters, digits, `_` and `-` is quoted. Values belong together by
their position: the third label to the third box; a path with fewer `[]` applies to everything
below it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast, get_args

from batchinfer.errors import ConfigError, option

PathStep: TypeAlias = str | int | None
"""A name, the place in a list, or (None) every element of a list."""
MappedBoxFormat: TypeAlias = Literal["xyxy", "xywh", "cxcywh", "yxyx", "xxyy"]

_MAP_EXAMPLE: Final = option(
    "map", "boxes=result.objects[].bbox label=result.objects[].cls format=xywh"
)
_ASSIGNMENT: Final = re.compile(
    r"""\s*(?P<name>[^\s="]+)=(?P<value>(?:"[^"]*"|[^\s"])+)(?=\s|$)\s*"""
)
_PATH_STEP: Final = re.compile(
    r"""(?:(?P<dot>\.)?(?:(?P<name>[\w-]+)|"(?P<quoted>[^"]*)")|\[(?P<index>[0-9]{0,9})\])"""
)
_PATH_NAMES: Final = ("boxes", "outline", "label", "score", "text")
_UNIT_IS_RELATIVE: Final = {"pixels": False, "relative": True}
MAP_BOX_FORMATS: Final[tuple[str, ...]] = get_args(MappedBoxFormat)
MAP_UNITS: Final = tuple(_UNIT_IS_RELATIVE)
"""What `format` and `unit` may be."""


@dataclass(frozen=True, slots=True)
class FieldMap:
    """Paths into a prediction, and how its numbers are meant. None: not said."""

    boxes: tuple[PathStep, ...] | None = None
    outline: tuple[PathStep, ...] | None = None
    label: tuple[PathStep, ...] | None = None
    score: tuple[PathStep, ...] | None = None
    text: tuple[PathStep, ...] | None = None
    format: MappedBoxFormat | None = None
    relative: bool | None = None
    numbers: Literal["classes", "data"] | None = None

    @property
    def has_paths(self) -> bool:
        """Whether it has paths, and not only the meaning of numbers."""
        return any((self.boxes, self.outline, self.label, self.score, self.text))

    @classmethod
    def parse(cls, texts: Sequence[str]) -> FieldMap:
        """What the values of `--map` say, each one or several `name=...` with spaces between.

        Raises ConfigError.
        """
        given: dict[str, str] = {}
        for text in texts:
            for name, value in _split_assignments(text):
                if name in given:
                    raise ConfigError(f"{option('map')} says {name} twice: once is enough.")
                given[name] = value
        paths = {name: _parse_path(name, given.pop(name)) for name in _PATH_NAMES if name in given}
        order = _check_choice("format", given.pop("format", None), MAP_BOX_FORMATS)
        unit = _check_choice("unit", given.pop("unit", None), MAP_UNITS)
        numbers = _check_choice("numbers", given.pop("numbers", None), ("classes", "data"))
        if given:
            known = ", ".join((*_PATH_NAMES, "format", "unit", "numbers"))
            raise ConfigError(
                f"{option('map')} has no name {_printable(next(iter(given)))}: use {known}. For "
                f"example: {_MAP_EXAMPLE}"
            )
        only = not paths and (order or unit or numbers)
        if not only and not paths.keys() & {"boxes", "outline", "label", "text"}:
            raise ConfigError(
                f"{option('map')} does not say where anything is: name boxes, outline, label or "
                f"text. For example: {_MAP_EXAMPLE}"
            )
        relative = None if unit is None else _UNIT_IS_RELATIVE[unit]
        return cls(
            **paths,
            format=cast("MappedBoxFormat | None", order),
            relative=relative,
            numbers=cast('Literal["classes", "data"] | None', numbers),
        )


def _split_assignments(text: str) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    offset = 0
    while offset < len(text):
        found = _ASSIGNMENT.match(text, offset)
        if found is None:
            raise ConfigError(
                f"{option('map', _printable(text))} is not made of name=path. For example: "
                f"{_MAP_EXAMPLE}"
            )
        parts.append((found["name"], found["value"]))
        offset = found.end()
    return parts


def _parse_path(name: str, text: str) -> tuple[PathStep, ...]:
    steps: list[PathStep] = []
    offset = 0
    while offset < len(text):
        found = _PATH_STEP.match(text, offset)
        named = found is not None and found["index"] is None
        if found is None or (named and bool(found["dot"]) != bool(steps)):
            raise ConfigError(
                f"{_name_assignment(name, text)} is not a path: error at character {offset + 1}. A "
                "path is names joined by dots, [] for every element of a list, [0] for one, "
                f'"quotes" around a name with other characters. For example: {_MAP_EXAMPLE}'
            )
        if found["index"] is not None:
            steps.append(int(found["index"]) if found["index"] else None)
        else:
            steps.append(found["name"] if found["quoted"] is None else found["quoted"])
        offset = found.end()
    return tuple(steps)


def _check_choice(name: str, value: str | None, choices: Sequence[str]) -> str | None:
    if value is not None and value not in choices:
        raise ConfigError(f"{_name_assignment(name, value)}: choose {' or '.join(choices)}.")
    return value


def _name_assignment(name: str, value: str) -> str:
    return option("map", f"{name}={_printable(value)}")


def _printable(text: str) -> str:
    short = text if len(text) <= 80 else f"{text[:80]}..."  # noqa: PLR2004 - a line's worth
    return ascii(short)[1:-1] if not short.isprintable() else short
