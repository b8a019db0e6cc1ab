"""Locations of detections as models return them: boxes, outlines, masks and points.

A location is read in two steps, because one box alone does not show what its numbers mean: this
module takes the numbers and what their keys say (`box_formats`); `box_geometry` makes boxes of them
by the prediction format of the run, which is decided once from many predictions.

A side that is missing in a box is zero if the opposite one is given: JSON of Protocol Buffers
(Google, Instill) omits what is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from batchinfer.domain import Json
from batchinfer.predictions.box_formats import (
    ALL_SIDE_KEYS,
    AMBIGUOUS_BOX_KEYS,
    BOX_KEY_FORMATS,
    PLURAL_BOX_KEYS,
    SIDE_KEY_FORMATS,
    BoxFormatOrQuestion,
    FourNumbers,
    strip_normalized,
)
from batchinfer.predictions.coerce import is_list, normalize_keys, to_number, to_numbers
from batchinfer.predictions.outlines import (
    OUTLINE_KEYS,
    read_numbered_corners,
    read_outlines,
    read_vertices,
    to_coordinate_pairs,
    to_points,
)
from batchinfer.predictions.prediction_types import Keypoint, Mask, Outline, Point

UnitOrQuestion: TypeAlias = Literal[
    "pixels", "relative", "thousandths", "percent", "?unit", "?box_2d", "?bbox_2d"
]
"""The unit of coordinates, or the question that decides it."""

_OUTLINE_KEYS: Final = frozenset(OUTLINE_KEYS)
_CORNER_KEYS: Final = (("topleft", "bottomright"), ("min", "max"))
_RELATIVE_KEYS: Final = frozenset(
    ("normalized", "normalised", "isnormalized", "isnormalised", "relative", "isrelative")
)
_MAX_BOX_DEPTH: Final = 3
"""Lists of one and dicts around the numbers of a box."""
_CONTAINER_KEYS: Final = ("regioninfo", "geometry", "bndbox", "region")
"""Dicts that hold the box of a thing under a name of their own (Clarifai, docTR)."""
_NON_LOCATION_WORDS: Final = (
    *("color", "colour", "rgb", "prob", "logit", "score", "conf", "shape", "size", "mean", "std"),
    *("embed", "vector", "feature", "hist", "ids", "index", "date", "time", "gps", "token", "hash"),
    *("version", "quantile", "percentile", "attribute", "weights", "stats", "hsv", "spec"),
)
"""Four numbers under a name with one of these in it say no place."""


@dataclass(frozen=True, slots=True)
class DraftLocation:
    """The location of a detection, before the format of its numbers is decided."""

    four_numbers: FourNumbers | None = None
    box_format: BoxFormatOrQuestion = "xyxy"
    outlines: tuple[Outline, ...] = ()
    corners: tuple[Point, ...] = ()
    """Points that only span a box."""
    unit: UnitOrQuestion = "?unit"
    mask: Mask | None = None
    keypoints: tuple[Keypoint, ...] = ()
    unsupported_parts: tuple[str, ...] = ()
    """What is said of the place besides, and cannot be kept."""


def unit_or_question(relative: bool | None) -> UnitOrQuestion:
    """The unit, where something said it."""
    return "?unit" if relative is None else "relative" if relative else "pixels"


def read_location(  # noqa: C901 - one rule after the other
    thing: Mapping[str, Json], relative: bool | None = None
) -> DraftLocation | None:
    """Where the box or outline of a thing is (with normalized keys); None: it speaks of none.

    A location that is given, but cannot be read, is an empty one.
    """
    relative = is_relative(thing, relative)
    outlined = _read_outline(thing, relative)
    outlines = () if outlined is None else outlined.outlines
    mentions_location = outlined is not None
    for name, inner in thing.items():
        plain, normalized = strip_normalized(name)
        if (
            plain in BOX_KEY_FORMATS
            and inner is not None
            and not (plain in PLURAL_BOX_KEYS and _are_dicts(inner))
        ):
            box = read_box(inner, BOX_KEY_FORMATS[plain], True if normalized else relative)
            if box is not None:
                if plain in {"box2d", "bbox2d"} and box.unit == "?unit":
                    box = replace(box, unit="?box_2d" if plain == "box2d" else "?bbox_2d")
                return replace(box, outlines=outlines) if outlines and not box.outlines else box
            if plain not in AMBIGUOUS_BOX_KEYS:
                mentions_location = (
                    mentions_location or isinstance(inner, Mapping) or is_list(inner)
                )
    if (flat := _read_sides(thing, is_box_dict=False)) is not None:
        return DraftLocation(*flat, outlines=outlines, unit=unit_or_question(relative))
    if outlined is not None:
        return outlined
    for name in _CONTAINER_KEYS:
        inner = thing.get(name)
        if (
            isinstance(inner, Mapping)
            and (found := read_location(normalize_keys(inner), relative)) is not None
        ):
            return found
        if name == "geometry" and is_list(inner) and (found := read_box(inner, "xyxy", relative)):
            return found
    return DraftLocation(unit=unit_or_question(relative)) if mentions_location else None


def read_box(
    value: Json, box_format: BoxFormatOrQuestion, relative: bool | None = None, depth: int = 0
) -> DraftLocation | None:
    """A box: four numbers in that order, two or more points, or a dict that names its sides."""
    if depth > _MAX_BOX_DEPTH:
        return None
    if isinstance(value, Mapping):
        return _read_named_box(normalize_keys(value), relative, depth)
    if not is_list(value) or not value:
        return None
    if len(value) == 1 and (is_list(value[0]) or isinstance(value[0], Mapping)):
        return read_box(value[0], box_format, relative, depth + 1)
    match to_numbers(value):
        case [a, b, c, d, *more] if len(more) <= 2:  # noqa: PLR2004 - score and class: YOLO's rows
            return DraftLocation((a, b, c, d), box_format, unit=unit_or_question(relative))
    return location_from_points(to_points(to_coordinate_pairs(value)), relative)


def location_from_points(points: tuple[Point, ...], relative: bool | None) -> DraftLocation | None:
    """The location that points enclose; two are the corners of a box."""
    if len(points) > 2:  # noqa: PLR2004
        return DraftLocation(outlines=(points,), unit=unit_or_question(relative))
    return (
        DraftLocation(corners=points, unit=unit_or_question(relative)) if len(points) > 1 else None
    )


def find_unnamed_location(
    thing: Mapping[str, Json], relative: bool | None = None
) -> DraftLocation | None:
    """A location under an unknown key: four numbers, or points, in a dict with a label."""
    for name, inner in thing.items():
        if isinstance(inner, (str, int, float)) or inner is None or _is_non_location_key(name):
            continue
        if isinstance(inner, Mapping):
            names = normalize_keys(inner)
            if (flat := _read_sides(names, is_box_dict=False)) is not None:
                return DraftLocation(*flat, unit=unit_or_question(relative))
            if points := read_numbered_corners(names) or read_vertices(names):
                return location_from_points(points, relative)
            if len(inner) == 4 and all(_is_number(each) for each in inner.values()):  # noqa: PLR2004
                return DraftLocation(unsupported_parts=("place",), unit=unit_or_question(relative))
        elif is_list(inner) and inner:
            four = to_numbers(inner) if all(map(_is_number, inner)) else None
            if four is not None and len(four) == 4 and not _is_distribution(four):  # noqa: PLR2004
                return DraftLocation(
                    (four[0], four[1], four[2], four[3]), "?list", unit=unit_or_question(relative)
                )
            if all(map(is_list, inner)) and (
                found := location_from_points(to_points(to_coordinate_pairs(inner)), relative)
            ):
                return found
    return None


@lru_cache(maxsize=1024)
def _is_non_location_key(name: str) -> bool:
    return (
        any(word in name for word in _NON_LOCATION_WORDS)
        or strip_normalized(name)[0] in AMBIGUOUS_BOX_KEYS
    )


def is_relative(thing: Mapping[str, Json], default: bool | None) -> bool | None:
    """Whether a dict (with normalized keys) says that its coordinates are fractions."""
    for name in _RELATIVE_KEYS & thing.keys():
        if isinstance(flag := thing[name], bool):
            return flag
    return default


def _read_outline(thing: Mapping[str, Json], relative: bool | None) -> DraftLocation | None:
    """The polygons of a thing, or the points of which `type` says what they are (CVAT, LabelMe)."""
    if thing.keys().isdisjoint(_OUTLINE_KEYS):
        return None
    for name in OUTLINE_KEYS:
        inner = thing.get(name)
        if inner is None:
            continue
        if name == "points" and (drawn := _read_typed_points(thing, inner, relative)) is not None:
            return drawn
        said = isinstance(inner, Mapping) and "normalizedvertices" in normalize_keys(inner)
        unit = True if said else relative
        if found := read_outlines(inner):
            if name == "boundingpoly" and len(found) == 1 and _is_rectangle(found[0]):
                return DraftLocation(corners=found[0], unit=unit_or_question(unit))
            return DraftLocation(outlines=found, unit=unit_or_question(unit))
        if isinstance(inner, Mapping) and (
            spanned := location_from_points(read_vertices(normalize_keys(inner)), unit)
        ):
            return spanned
    return None


def _read_typed_points(
    thing: Mapping[str, Json], points: Json, relative: bool | None
) -> DraftLocation | None:
    kind = thing.get("type", thing.get("shapetype"))
    if not is_list(points) or not points:
        return None
    found = to_points(to_coordinate_pairs(points))
    scale = unit_or_question(relative)
    if len(found) == 2 and kind in {"ellipse", "circle"}:  # noqa: PLR2004 - the centre, and its reach
        (x, y), (u, v) = found
        across, down = abs(u - x), abs(v - y)
        if kind == "circle":
            across = down = (across**2 + down**2) ** 0.5
        return DraftLocation(
            (x - across, y - down, x + across, y + down), unit=scale, unsupported_parts=("shape",)
        )
    if kind in {"points", "point"} and found:
        return DraftLocation(keypoints=tuple(Keypoint(x, y) for x, y in found), unit=scale)
    if kind in {"polyline", "line", "linestrip", "cuboid", "skeleton"} and len(found) > 1:
        return DraftLocation(corners=found, unit=scale, unsupported_parts=("shape",))
    if len(found) == 2:  # noqa: PLR2004 - the corners of a rectangle
        return DraftLocation(corners=found, unit=scale)
    return None


def _is_rectangle(outline: Outline) -> bool:
    """Whether it says no more than the box around it."""
    xs, ys = ({point[axis] for point in outline} for axis in (0, 1))
    return len(outline) == 4 and len(set(outline)) == 4 and len(xs) == len(ys) == 2  # noqa: PLR2004


def _are_dicts(value: Json) -> bool:
    return is_list(value) and any(isinstance(part, Mapping) for part in value)


def _read_named_box(
    names: Mapping[str, Json], relative: bool | None, depth: int
) -> DraftLocation | None:
    relative = is_relative(names, relative)
    if points := read_numbered_corners(names):
        return DraftLocation(outlines=(points,), unit=unit_or_question(relative))
    if (flat := _read_sides(names, is_box_dict=True)) is not None:
        return DraftLocation(*flat, unit=unit_or_question(relative))
    for first, last in _CORNER_KEYS:
        if first in names and last in names:
            return location_from_points(
                to_points(to_coordinate_pairs([names[first], names[last]])), relative
            )
    for name, inner in names.items():
        plain, normalized = strip_normalized(name)
        if plain in BOX_KEY_FORMATS and is_list(inner):
            return read_box(
                inner, BOX_KEY_FORMATS[plain], True if normalized else relative, depth + 1
            )
    normalized = "normalizedvertices" in names
    if found := read_outlines(names):
        return DraftLocation(
            outlines=found, unit="relative" if normalized else unit_or_question(relative)
        )
    return location_from_points(read_vertices(names), True if normalized else relative)


def _read_sides(
    names: Mapping[str, Json], *, is_box_dict: bool
) -> tuple[FourNumbers, BoxFormatOrQuestion] | None:
    """The box whose sides a dict names; `within`: the dict is one of a box, and of nothing else."""
    for keys, form in SIDE_KEY_FORMATS:
        if all(key in names for key in keys):
            four = _read_four(names, keys)
            if four is not None:
                return four, form
    given = ALL_SIDE_KEYS & names.keys()
    if not is_box_dict and not given & {"left", "top", "xmin", "ymin"}:
        return None
    for keys, form in SIDE_KEY_FORMATS:
        # Names of another order would be taken for what is left out; x1 and y1 begin another one.
        if given <= set(keys) and given >= {keys[2], keys[3]} and keys[2] != "x1":
            four = _read_four(names, keys)
            if four is not None:
                return four, form
    return None


def _read_four(names: Mapping[str, Json], keys: Sequence[str]) -> FourNumbers | None:
    a, b, c, d = (to_number(names[key]) if key in names else 0.0 for key in keys)
    return None if a is None or b is None or c is None or d is None else (a, b, c, d)


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_distribution(four: Sequence[float]) -> bool:
    """Whether four numbers are rather probabilities: they add up to one."""
    return all(0 <= each <= 1 for each in four) and abs(sum(four) - 1) < 0.01  # noqa: PLR2004
