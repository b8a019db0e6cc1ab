"""Places made into boxes, by the reading of the run. Total and pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, cast

from batchinfer.meaning.masks import extent
from batchinfer.meaning.orders import Four, Order
from batchinfer.meaning.places import Place, Scale
from batchinfer.meaning.run_reading import Reading, Unit
from batchinfer.meaning.words import Box, Detection, Keypoint, Point

BEYOND: Final = 0.1
"""How far outside 0 to 1 fractions of the picture may reach."""
_PARTS: Final = {"pixels": 1.0, "relative": 1.0, "thousandths": 1000.0, "percent": 100.0}


def settled(found: Detection, place: Place | None, reading: Reading) -> Detection:
    """The detection with its box and all else that `place` says of where it is."""
    if place is None:
        return found
    unit = unit_of(place.scale, reading)
    parts, relative = _PARTS[unit], unit != "pixels"
    sides = _sides(place, order_of(place, reading))
    unread = [*place.unread]
    outlines, keypoints = place.outlines, place.keypoints
    if place.four is not None:
        if outlines and not _same_unit(
            chain.from_iterable(chain.from_iterable(outlines)), relative, parts
        ):
            unread += ["outline"] * len(outlines)
            outlines = ()
        if keypoints and not _same_unit(
            chain.from_iterable((one.x, one.y) for one in keypoints), relative, parts
        ):
            unread += ["keypoint"] * len(keypoints)
            keypoints = ()
    if parts != 1:
        outlines = tuple(tuple((x / parts, y / parts) for x, y in each) for each in outlines)
        keypoints = tuple(Keypoint(p.x / parts, p.y / parts, p.score) for p in keypoints)
    box = None
    if sides is not None:
        left, top, right, bottom = sides if parts == 1 else [side / parts for side in sides]
        box = Box(left, top, right, bottom, relative)
    elif place.mask is not None and (around := extent(place.mask)) is not None:
        box = Box(*around)
    return Detection(
        found.label,
        found.score,
        box,
        outlines,
        place.mask,
        keypoints,
        found.start,
        found.end,
        tuple(unread),
    )


def order_of(place: Place, reading: Reading) -> Order:
    """In which order the four numbers of a place stand."""
    form = place.form
    return cast("Order", reading.of(form[1:]) if form.startswith("?") else form)


def unit_of(scale: Scale, reading: Reading) -> Unit:
    """In which unit the numbers of a place are."""
    return cast("Unit", reading.of(scale[1:]) if scale.startswith("?") else scale)


def corners(four: Four, order: Order) -> Four | None:
    """Left, top, right, bottom; None: no such box can be."""
    a, b, c, d = four
    match order:
        case "xywh":
            c, d = a + c, b + d
        case "cxcywh":
            a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
        case "yxyx":
            a, b, c, d = b, a, d, c
        case "xxyy":
            b, c = c, b
        case "xyxy":
            pass
    return (a, b, c, d) if all(map(math.isfinite, (a, b, c, d))) else None


def is_box(sides: Four | None) -> bool:
    """Whether a box ends where it begins, or behind."""
    return sides is not None and sides[0] <= sides[2] and sides[1] <= sides[3]


def coordinates(place: Place) -> Sequence[float]:
    """The numbers whose size tells the unit."""
    if place.four is not None:
        return place.four
    points: Iterable[Point] = chain(place.corners, *place.outlines)
    return list(chain.from_iterable(points))


def are_fractions(values: Iterable[float]) -> bool:
    """Whether numbers can be fractions of the picture; zeros alone say nothing."""
    some = False
    for value in values:
        if not -BEYOND <= value <= 1 + BEYOND:
            return False
        some = some or value != 0
    return some


def _sides(place: Place, order: Order) -> Four | None:
    if place.four is not None:
        sides = corners(place.four, order)
        # By names, and in rows whose order is sure, ends may stand in either order.
        if sides is not None and (is_box(sides) or not place.form.startswith("?")):
            left, top, right, bottom = sides
            return min(left, right), min(top, bottom), max(left, right), max(top, bottom)
        return None
    points: tuple[Point, ...] = (*place.corners, *chain.from_iterable(place.outlines))
    if not points:
        points = tuple((one.x, one.y) for one in place.keypoints)
        if len(points) < 2:  # noqa: PLR2004 - one point is no box
            return None
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _same_unit(values: Iterable[float], relative: bool, parts: float) -> bool:
    told = list(values)
    return not told or are_fractions(value / parts for value in told) == relative or not any(told)
