"""Where a thing is in the picture: boxes and outlines, as models spell them.

A place is read in two steps, because one box alone does not say what its numbers mean: `place`
takes the numbers and what their key says, `settled` decides for all places of a prediction at once.

============================  =====================================================================
four numbers under            are
============================  =====================================================================
`xyxy`, `ltrb`                left, top, right, bottom
`tlwh`, `ltwh`, `rect`        left, top, width, height
`cxcywh`, `xcycwh`            centre, width, height
`xywh`                        centre, width, height (as ultralytics means it); left, top, width and
                              height if a box would else begin outside the picture
`detection_boxes`             top, left, bottom, right (TensorFlow)
`box_2d`                      the same in thousandths (Gemini)
`bbox` beside `category_id`   left, top, width, height (COCO)
any other of `BOXES`          left, top, right, bottom; left, top, width, height for the whole
                              prediction if one box would else end before it begins
`...n`, `normalized_...`      in fractions of the picture
============================  =====================================================================

Names of sides in a dict speak for themselves; `x`, `y` beside `width` are left and top, but the
centre beside `detection_id` (Roboflow). Without a word about the unit all coordinates of a
prediction decide it: within 0 and 1 (and a tenth beyond, for boxes that reach outside) they are
fractions. What cannot be told so: corners from widths when every box lies in the upper left
quarter. Then `--map format=xywh` says it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Final, Literal, TypeAlias

from batchinfer.domain import Json
from batchinfer.meaning.outlines import OUTLINES, finite, numbered, pairs, polygon
from batchinfer.meaning.values import is_list, number, numbers, spelled
from batchinfer.meaning.words import Box, Point

Form: TypeAlias = Literal["xyxy", "xywh", "cxcywh", "yxyx", "xyxy?", "cxcywh?"]
"""The order of four numbers; with `?`: unless the prediction's numbers contradict it."""
Four: TypeAlias = tuple[float, float, float, float]

BOXES: Final[Mapping[str, Form]] = {
    **dict.fromkeys(("xyxy", "ltrb", "bboxxyxy", "boxxyxy"), "xyxy"),
    **dict.fromkeys(("tlwh", "ltwh", "rect", "roi", "rois", "bboxxywh"), "xywh"),
    **dict.fromkeys(("cxcywh", "xcycwh", "bboxcxcywh"), "cxcywh"),
    **dict.fromkeys(("detectionboxes", "detectionbox", "box2d"), "yxyx"),
    **dict.fromkeys(("xywh", "boxxywh"), "cxcywh?"),
    **dict.fromkeys(
        (
            *("box", "boxes", "bbox", "bboxes", "bndbox", "boundingbox", "boundingboxes"),
            *("rectangle", "rectangles", "boundingrect", "predboxes"),
            *("coordinates", "coords", "location"),
        ),
        "xyxy?",
    ),
}
"""Keys (see `values.spelled`) of what can be a box."""
_VAGUE: Final = frozenset(("coordinates", "coords", "location"))
"""These may as well say where on earth."""
PLURAL: Final = frozenset(
    ("boxes", "bboxes", "boundingboxes", "detectionboxes", "predboxes", "rectangles", "rois")
)
"""Those of `BOXES` that hold the boxes of a whole picture."""
_SIDES: Final[tuple[tuple[tuple[str, str, str, str], Form], ...]] = (
    (("xmin", "ymin", "xmax", "ymax"), "xyxy"),
    (("x1", "y1", "x2", "y2"), "xyxy"),
    (("x0", "y0", "x1", "y1"), "xyxy"),
    (("left", "top", "right", "bottom"), "xyxy"),
    (("minx", "miny", "maxx", "maxy"), "xyxy"),
    (("left", "top", "width", "height"), "xywh"),
    (("xmin", "ymin", "width", "height"), "xywh"),
    (("originx", "originy", "width", "height"), "xywh"),
    (("xcenter", "ycenter", "width", "height"), "cxcywh"),
    (("xcentre", "ycentre", "width", "height"), "cxcywh"),
    (("centerx", "centery", "width", "height"), "cxcywh"),
    (("cx", "cy", "width", "height"), "cxcywh"),
    (("cx", "cy", "w", "h"), "cxcywh"),
    (("xcenter", "ycenter", "w", "h"), "cxcywh"),
    (("x", "y", "width", "height"), "xywh"),
    (("x", "y", "w", "h"), "xywh"),
)
_CORNERS: Final = (("topleft", "bottomright"), ("min", "max"))
_COCO: Final = frozenset(("categoryid", "imageid", "iscrowd"))
_RELATIVE: Final = frozenset(
    ("normalized", "normalised", "isnormalized", "isnormalised", "relative", "isrelative")
)
_BEYOND: Final = 0.1
"""How far outside 0 to 1 fractions of the picture may reach."""
_THOUSAND: Final = 1000
_DEEPEST: Final = 3
"""Lists of one and dicts around the numbers of a box."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a model says about where a thing is, before it is settled."""

    four: Four | None = None
    form: Form = "xyxy"
    points: tuple[Point, ...] = ()
    relative: bool | None = None
    """None: it does not say."""


def place(thing: Mapping[str, Json], relative: bool | None = None) -> Place | None:
    """Where a thing is (its names as `spelled`); None when nothing in it speaks of a place.

    A place that is spoken of, but cannot be read, is an empty one.
    """
    relative = unit_of(thing, relative)
    points = next(
        (found for name in OUTLINES if name in thing and (found := polygon(thing[name]))), ()
    )
    spoken = bool(points)
    for name, inner in thing.items():
        plain, normalized = base(name)
        if plain in BOXES and inner is not None and not (plain in PLURAL and _are_dicts(inner)):
            form = "xywh" if plain == "bbox" and thing.keys() & _COCO else BOXES[plain]
            box = boxed(inner, form, True if normalized else relative)
            if box is not None and plain == "box2d" and box.four is not None:
                box = _from_thousandths(box)
            if box is not None:
                return replace(box, points=points) if points and not box.points else box
            if plain not in _VAGUE:
                spoken = spoken or isinstance(inner, Mapping) or is_list(inner)
    if (flat := _sides(thing)) is not None:
        return Place(*flat, points=points, relative=relative)
    return Place(points=points, relative=relative) if spoken else None


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
            return Place((a, b, c, d), form, relative=relative)
    points = finite(pairs(value))
    return Place(points=points, relative=relative) if len(points) > 1 else None


def unit_of(thing: Mapping[str, Json], otherwise: bool | None) -> bool | None:
    """Whether a dict (its names as `spelled`) says that its coordinates are fractions."""
    for name in _RELATIVE & thing.keys():
        if isinstance(said := thing[name], bool):
            return said
    return otherwise


def settled(places: Sequence[Place | None]) -> list[tuple[Box | None, tuple[Point, ...]]]:
    """The boxes and outlines of one prediction, each in the unit of its box."""
    known = [place for place in places if place is not None]
    corners = _order([place for place in known if place.form == "xyxy?"], "xyxy")
    centres = _order([place for place in known if place.form == "cxcywh?"], "cxcywh")
    forms: dict[Form, Form] = {"xyxy?": corners, "cxcywh?": centres}
    sides = [
        _corners(place, forms.get(place.form, place.form)) if place is not None else None
        for place in places
    ]
    unsaid = [
        side
        for place, side in zip(places, sides, strict=True)
        if place is not None and side is not None and place.relative is None
    ]
    relative = _fractions(chain.from_iterable(unsaid)) if unsaid else None
    return [
        _measured(place, side, relative) if place is not None else (None, ())
        for place, side in zip(places, sides, strict=True)
    ]


def _order(places: Sequence[Place], form: Form) -> Form:
    for place in places:
        match place.four, form:
            case (left, top, right, bottom), "xyxy" if right < left or bottom < top:
                return "xywh"
            case (x, y, width, height), "cxcywh" if x < 0.4 * width or y < 0.4 * height:
                return "xywh"  # a tenth of it would stand outside
    return form


def _corners(place: Place, form: Form) -> Four | None:
    """Left, top, right, bottom."""
    if place.four is None:
        if not place.points:
            return None
        xs, ys = zip(*place.points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)
    a, b, c, d = place.four
    match form:
        case "xywh":
            c, d = a + c, b + d
        case "cxcywh" | "cxcywh?":
            a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
        case "yxyx":
            a, b, c, d = b, a, d, c
        case "xyxy" | "xyxy?":
            pass
    if not all(map(math.isfinite, (a, b, c, d))):
        return None
    return min(a, c), min(b, d), max(a, c), max(b, d)


def _measured(
    place: Place, side: Four | None, relative: bool | None
) -> tuple[Box | None, tuple[Point, ...]]:
    if side is None:
        return None, ()
    fractions = place.relative if place.relative is not None else bool(relative)
    points = place.points if len(place.points) > 2 else ()  # noqa: PLR2004 - two are a box
    if place.four is not None and points and _fractions(chain.from_iterable(points)) != fractions:
        points = ()  # in another unit than the box: without the picture's size nothing to draw
    return Box(*side, relative=fractions), points


def _fractions(coordinates: Iterable[float]) -> bool:
    some = False
    for value in coordinates:
        if not -_BEYOND <= value <= 1 + _BEYOND:
            return False
        some = some or value != 0
    return some


def _from_thousandths(box: Place) -> Place:
    a, b, c, d = box.four or (0.0, 0.0, 0.0, 0.0)
    if not 1 + _BEYOND < max(a, b, c, d) <= _THOUSAND:
        return box
    four = (a / _THOUSAND, b / _THOUSAND, c / _THOUSAND, d / _THOUSAND)
    return replace(box, four=four, relative=True)


def _are_dicts(value: Json) -> bool:
    return is_list(value) and any(isinstance(part, Mapping) for part in value)


def _named(names: Mapping[str, Json], relative: bool | None, depth: int) -> Place | None:
    relative = unit_of(names, relative)
    if points := numbered(names):
        return Place(points=points, relative=relative)
    if (flat := _sides(names)) is not None:
        return Place(*flat, relative=relative)
    for first, last in _CORNERS:
        if first in names and last in names:
            points = finite(pairs([names[first], names[last]]))
            return Place(points=points, relative=relative) if points else None
    for name, inner in names.items():
        plain, normalized = base(name)
        if plain in BOXES and is_list(inner):
            return boxed(inner, BOXES[plain], True if normalized else relative, depth + 1)
    points = polygon(names)
    return Place(points=points, relative=relative) if points else None


def _sides(names: Mapping[str, Json]) -> tuple[Four, Form] | None:
    for keys, form in _SIDES:
        if keys[0] in names and all(key in names for key in keys):
            a, b, c, d = (number(names[key]) for key in keys)
            if a is None or b is None or c is None or d is None:
                continue
            centred = keys[0] == "x" and "detectionid" in names
            return (a, b, c, d), "cxcywh" if centred else form
    return None


@lru_cache(maxsize=1024)
def base(name: str) -> tuple[str, bool]:
    """The key without what says that its coordinates are fractions, and whether it does."""
    for word in ("normalized", "normalised", "relative"):
        if word in name:
            return name.replace(word, ""), True
    return (name[:-1], True) if name.endswith("n") and name[:-1] in BOXES else (name, False)
