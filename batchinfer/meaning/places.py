"""Where a thing is in the picture: boxes, outlines, masks and points, as models spell them.

A place is read in two steps, because one box alone does not say what its numbers mean: `place`
takes the numbers and what their names say (`orders`); `settling` makes boxes of them by the reading
of the run, which is decided once from many predictions.

A side that is left out of a box is zero where the opposite one is there: JSON of Protocol Buffers
(Google, Instill) leaves out what is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from batchinfer.domain import Json
from batchinfer.meaning.orders import BOXES, EVERY_SIDE, PLURAL, SIDES, VAGUE, Form, Four, base
from batchinfer.meaning.outlines import OUTLINES, finite, numbered, pairs, polygons, vertices
from batchinfer.meaning.values import is_list, number, numbers, spelled
from batchinfer.meaning.words import Keypoint, Mask, Outline, Point

Scale: TypeAlias = Literal[
    "pixels", "relative", "thousandths", "percent", "?unit", "?box_2d", "?bbox_2d"
]
"""The unit of coordinates, or the question that decides it."""

_OUTLINED: Final = frozenset(OUTLINES)
_CORNERS: Final = (("topleft", "bottomright"), ("min", "max"))
_RELATIVE: Final = frozenset(
    ("normalized", "normalised", "isnormalized", "isnormalised", "relative", "isrelative")
)
_DEEPEST: Final = 3
"""Lists of one and dicts around the numbers of a box."""
_AROUND: Final = ("regioninfo", "geometry", "bndbox", "region")
"""Dicts that hold the box of a thing under a name of their own (Clarifai, docTR)."""
_NO_PLACES: Final = (
    *("color", "colour", "rgb", "prob", "logit", "score", "conf", "shape", "size", "mean", "std"),
    *("embed", "vector", "feature", "hist", "ids", "index", "date", "time", "gps", "token", "hash"),
    *("version", "quantile", "percentile", "attribute", "weights", "stats", "hsv", "spec"),
)
"""Four numbers under a name with one of these in it say no place."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a model says about where a thing is, before it is settled."""

    four: Four | None = None
    form: Form = "xyxy"
    outlines: tuple[Outline, ...] = ()
    corners: tuple[Point, ...] = ()
    """Points that only span a box."""
    scale: Scale = "?unit"
    mask: Mask | None = None
    keypoints: tuple[Keypoint, ...] = ()
    unread: tuple[str, ...] = ()
    """What is said of the place besides, and cannot be kept."""


def scale_of(relative: bool | None) -> Scale:
    """The unit, where something said it."""
    return "?unit" if relative is None else "relative" if relative else "pixels"


def place(  # noqa: C901 - one rule after the other
    thing: Mapping[str, Json], relative: bool | None = None
) -> Place | None:
    """Where the box or outline of a thing is (its names as `spelled`); None: it speaks of none.

    A place that is spoken of, but cannot be read, is an empty one.
    """
    relative = unit_of(thing, relative)
    outlined = _outlined(thing, relative)
    outlines = () if outlined is None else outlined.outlines
    spoken = outlined is not None
    for name, inner in thing.items():
        plain, normalized = base(name)
        if plain in BOXES and inner is not None and not (plain in PLURAL and _are_dicts(inner)):
            box = boxed(inner, BOXES[plain], True if normalized else relative)
            if box is not None:
                if plain in {"box2d", "bbox2d"} and box.scale == "?unit":
                    box = replace(box, scale="?box_2d" if plain == "box2d" else "?bbox_2d")
                return replace(box, outlines=outlines) if outlines and not box.outlines else box
            if plain not in VAGUE:
                spoken = spoken or isinstance(inner, Mapping) or is_list(inner)
    if (flat := _sides(thing, within=False)) is not None:
        return Place(*flat, outlines=outlines, scale=scale_of(relative))
    if outlined is not None:
        return outlined
    for name in _AROUND:
        inner = thing.get(name)
        if isinstance(inner, Mapping) and (found := place(spelled(inner), relative)) is not None:
            return found
        if name == "geometry" and is_list(inner) and (found := boxed(inner, "xyxy", relative)):
            return found
    return Place(scale=scale_of(relative)) if spoken else None


def boxed(value: Json, form: Form, relative: bool | None = None, depth: int = 0) -> Place | None:
    """A box: four numbers in that order, two or more points, or a dict that names its sides."""
    if depth > _DEEPEST:
        return None
    if isinstance(value, Mapping):
        return _named(spelled(value), relative, depth)
    if not is_list(value) or not value:
        return None
    if len(value) == 1 and (is_list(value[0]) or isinstance(value[0], Mapping)):
        return boxed(value[0], form, relative, depth + 1)
    match numbers(value):
        case [a, b, c, d, *more] if len(more) <= 2:  # noqa: PLR2004 - score and class: YOLO's rows
            return Place((a, b, c, d), form, scale=scale_of(relative))
    return pointed(finite(pairs(value)), relative)


def pointed(points: tuple[Point, ...], relative: bool | None) -> Place | None:
    """The place that points enclose; two are the corners of a box."""
    if len(points) > 2:  # noqa: PLR2004
        return Place(outlines=(points,), scale=scale_of(relative))
    return Place(corners=points, scale=scale_of(relative)) if len(points) > 1 else None


def unnamed(thing: Mapping[str, Json], relative: bool | None = None) -> Place | None:
    """A place under a name that nobody knows: four numbers, or points, in what has a label."""
    for name, inner in thing.items():
        if isinstance(inner, (str, int, float)) or inner is None or _says_no_place(name):
            continue
        if isinstance(inner, Mapping):
            names = spelled(inner)
            if (flat := _sides(names, within=False)) is not None:
                return Place(*flat, scale=scale_of(relative))
            if points := numbered(names) or vertices(names):
                return pointed(points, relative)
            if len(inner) == 4 and all(_is_number(each) for each in inner.values()):  # noqa: PLR2004
                return Place(unread=("place",), scale=scale_of(relative))
        elif is_list(inner) and inner:
            four = numbers(inner) if all(map(_is_number, inner)) else None
            if four is not None and len(four) == 4 and not _is_spread(four):  # noqa: PLR2004
                return Place(
                    (four[0], four[1], four[2], four[3]), "?list", scale=scale_of(relative)
                )
            if all(map(is_list, inner)) and (found := pointed(finite(pairs(inner)), relative)):
                return found
    return None


@lru_cache(maxsize=1024)
def _says_no_place(name: str) -> bool:
    return any(word in name for word in _NO_PLACES) or base(name)[0] in VAGUE


def unit_of(thing: Mapping[str, Json], otherwise: bool | None) -> bool | None:
    """Whether a dict (its names as `spelled`) says that its coordinates are fractions."""
    for name in _RELATIVE & thing.keys():
        if isinstance(said := thing[name], bool):
            return said
    return otherwise


def _outlined(thing: Mapping[str, Json], relative: bool | None) -> Place | None:
    """The polygons of a thing, or the points of which `type` says what they are (CVAT, LabelMe)."""
    if thing.keys().isdisjoint(_OUTLINED):
        return None
    for name in OUTLINES:
        inner = thing.get(name)
        if inner is None:
            continue
        if name == "points" and (drawn := _drawn(thing, inner, relative)) is not None:
            return drawn
        said = isinstance(inner, Mapping) and "normalizedvertices" in spelled(inner)
        unit = True if said else relative
        if found := polygons(inner):
            if name == "boundingpoly" and len(found) == 1 and _is_upright(found[0]):
                return Place(corners=found[0], scale=scale_of(unit))
            return Place(outlines=found, scale=scale_of(unit))
        if isinstance(inner, Mapping) and (spanned := pointed(vertices(spelled(inner)), unit)):
            return spanned
    return None


def _drawn(thing: Mapping[str, Json], points: Json, relative: bool | None) -> Place | None:
    kind = thing.get("type", thing.get("shapetype"))
    if not is_list(points) or not points:
        return None
    found = finite(pairs(points))
    scale = scale_of(relative)
    if len(found) == 2 and kind in {"ellipse", "circle"}:  # noqa: PLR2004 - the centre, and its reach
        (x, y), (u, v) = found
        across, down = abs(u - x), abs(v - y)
        if kind == "circle":
            across = down = (across**2 + down**2) ** 0.5
        return Place((x - across, y - down, x + across, y + down), scale=scale, unread=("shape",))
    if kind in {"points", "point"} and found:
        return Place(keypoints=tuple(Keypoint(x, y) for x, y in found), scale=scale)
    if kind in {"polyline", "line", "linestrip", "cuboid", "skeleton"} and len(found) > 1:
        return Place(corners=found, scale=scale, unread=("shape",))
    if len(found) == 2:  # noqa: PLR2004 - the corners of a rectangle
        return Place(corners=found, scale=scale)
    return None


def _is_upright(outline: Outline) -> bool:
    """Whether it says no more than the box around it."""
    xs, ys = ({point[axis] for point in outline} for axis in (0, 1))
    return len(outline) == 4 and len(set(outline)) == 4 and len(xs) == len(ys) == 2  # noqa: PLR2004


def _are_dicts(value: Json) -> bool:
    return is_list(value) and any(isinstance(part, Mapping) for part in value)


def _named(names: Mapping[str, Json], relative: bool | None, depth: int) -> Place | None:
    relative = unit_of(names, relative)
    if points := numbered(names):
        return Place(outlines=(points,), scale=scale_of(relative))
    if (flat := _sides(names, within=True)) is not None:
        return Place(*flat, scale=scale_of(relative))
    for first, last in _CORNERS:
        if first in names and last in names:
            return pointed(finite(pairs([names[first], names[last]])), relative)
    for name, inner in names.items():
        plain, normalized = base(name)
        if plain in BOXES and is_list(inner):
            return boxed(inner, BOXES[plain], True if normalized else relative, depth + 1)
    normalized = "normalizedvertices" in names
    if found := polygons(names):
        return Place(outlines=found, scale="relative" if normalized else scale_of(relative))
    return pointed(vertices(names), True if normalized else relative)


def _sides(names: Mapping[str, Json], *, within: bool) -> tuple[Four, Form] | None:
    """The box whose sides a dict names; `within`: the dict is one of a box, and of nothing else."""
    for keys, form in SIDES:
        if all(key in names for key in keys):
            four = _four(names, keys)
            if four is not None:
                return four, form
    given = EVERY_SIDE & names.keys()
    if not within and not given & {"left", "top", "xmin", "ymin"}:
        return None
    for keys, form in SIDES:
        # Names of another order would be taken for what is left out; x1 and y1 begin another one.
        if given <= set(keys) and given >= {keys[2], keys[3]} and keys[2] != "x1":
            four = _four(names, keys)
            if four is not None:
                return four, form
    return None


def _four(names: Mapping[str, Json], keys: Sequence[str]) -> Four | None:
    a, b, c, d = (number(names[key]) if key in names else 0.0 for key in keys)
    return None if a is None or b is None or c is None or d is None else (a, b, c, d)


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_spread(four: Sequence[float]) -> bool:
    """Whether four numbers are rather probabilities: they add up to one."""
    return all(0 <= each <= 1 for each in four) and abs(sum(four) - 1) < 0.01  # noqa: PLR2004
