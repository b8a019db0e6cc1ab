"""Where things stand in a prediction, said by hand: for shapes that nobody can guess.

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

Without any path `format`, `unit` and `numbers` say how the run is read; places are found by shape.

A path is made of names joined by dots; `[]` goes into every element of a list, `[0]` into one; a
name with other signs than letters, digits, `_` and `-` stands in quotes. What belongs together is
told by place: the third label to the third box; a path with fewer `[]` speaks of all below it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast, get_args

from batchinfer.errors import ConfigError

Step: TypeAlias = str | int | None
"""A name, the place in a list, or (None) every element of a list."""
Format: TypeAlias = Literal["xyxy", "xywh", "cxcywh", "yxyx", "xxyy"]

_EXAMPLE: Final = "--map boxes=result.objects[].bbox label=result.objects[].cls format=xywh"
_PART: Final = re.compile(r"""\s*(?P<name>[^\s="]+)=(?P<value>(?:"[^"]*"|[^\s"])+)(?=\s|$)\s*""")
_STEP: Final = re.compile(
    r"""(?:(?P<dot>\.)?(?:(?P<name>[\w-]+)|"(?P<quoted>[^"]*)")|\[(?P<index>[0-9]{0,9})\])"""
)
_PATHS: Final = ("boxes", "outline", "label", "score", "text")
_UNITS: Final = {"pixels": False, "relative": True}
ORDERS: Final[tuple[str, ...]] = get_args(Format)
UNITS: Final = tuple(_UNITS)
"""What `format` and `unit` may be."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Paths into a prediction, and how its numbers are meant. None: not said."""

    boxes: tuple[Step, ...] | None = None
    outline: tuple[Step, ...] | None = None
    label: tuple[Step, ...] | None = None
    score: tuple[Step, ...] | None = None
    text: tuple[Step, ...] | None = None
    format: Format | None = None
    relative: bool | None = None
    numbers: Literal["classes", "data"] | None = None

    @property
    def has_paths(self) -> bool:
        """Whether it says where things stand, and not only how numbers are meant."""
        return any((self.boxes, self.outline, self.label, self.score, self.text))

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Fields:
        """What the values of `--map` say, each one or several `name=...` with spaces between.

        Raises ConfigError.
        """
        said: dict[str, str] = {}
        for text in texts:
            for name, value in _parts(text):
                if name in said:
                    raise ConfigError(f"--map says {name} twice: once is enough.")
                said[name] = value
        paths = {name: _path(name, said.pop(name)) for name in _PATHS if name in said}
        order = _choice("format", said.pop("format", None), ORDERS)
        unit = _choice("unit", said.pop("unit", None), UNITS)
        numbers = _choice("numbers", said.pop("numbers", None), ("classes", "data"))
        if said:
            known = ", ".join((*_PATHS, "format", "unit", "numbers"))
            raise ConfigError(
                f"--map knows no {_shown(next(iter(said)))}, but {known}. For example: {_EXAMPLE}"
            )
        only = not paths and (order or unit or numbers)
        if not only and not paths.keys() & {"boxes", "outline", "label", "text"}:
            raise ConfigError(
                f"--map does not say where anything stands: name boxes, outline, label or text."
                f" For example: {_EXAMPLE}"
            )
        relative = None if unit is None else _UNITS[unit]
        return cls(
            **paths,
            format=cast("Format | None", order),
            relative=relative,
            numbers=cast('Literal["classes", "data"] | None', numbers),
        )


def _parts(text: str) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        found = _PART.match(text, place)
        if found is None:
            raise ConfigError(
                f"--map {_shown(text)} is not made of name=path. For example: {_EXAMPLE}"
            )
        parts.append((found["name"], found["value"]))
        place = found.end()
    return parts


def _path(name: str, text: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    place = 0
    while place < len(text):
        found = _STEP.match(text, place)
        named = found is not None and found["index"] is None
        if found is None or (named and bool(found["dot"]) != bool(steps)):
            raise ConfigError(
                f"--map {name}={_shown(text)} is no path from sign {place + 1} on: names joined by"
                ' dots, [] for every element of a list, [0] for one, "quotes" around a name with'
                f" other signs. For example: {_EXAMPLE}"
            )
        if found["index"] is not None:
            steps.append(int(found["index"]) if found["index"] else None)
        else:
            steps.append(found["name"] if found["quoted"] is None else found["quoted"])
        place = found.end()
    return tuple(steps)


def _choice(name: str, value: str | None, choices: Sequence[str]) -> str | None:
    if value is not None and value not in choices:
        raise ConfigError(f"--map {name}={_shown(value)}: choose {' or '.join(choices)}.")
    return value


def _shown(text: str) -> str:
    short = text if len(text) <= 80 else f"{text[:80]}..."  # noqa: PLR2004 - a line's worth
    return ascii(short)[1:-1] if not short.isprintable() else short
