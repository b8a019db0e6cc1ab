"""Locations turned into boxes, by the prediction format of the run. Total and pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, cast

from batchinfer.predictions.box_formats import BoxFormat, FourNumbers
from batchinfer.predictions.draft_locations import DraftLocation, UnitOrQuestion
from batchinfer.predictions.format_choices import CoordinateUnit, PredictionFormat
from batchinfer.predictions.masks import mask_bounds
from batchinfer.predictions.prediction_types import Box, Detection, Keypoint, Point

MAX_FRACTION_OVERSHOOT: Final = 0.1
"""How far outside 0 to 1 fractions of the picture may reach."""
_UNIT_SCALES: Final = {"pixels": 1.0, "relative": 1.0, "thousandths": 1000.0, "percent": 100.0}


def resolve_detection(
    found: Detection, location: DraftLocation | None, prediction_format: PredictionFormat
) -> Detection:
    """The detection with its box and everything else that its location says."""
    if location is None:
        return found
    unit = resolve_unit(location.unit, prediction_format)
    scale, relative = _UNIT_SCALES[unit], unit != "pixels"
    sides = _resolve_sides(location, resolve_box_format(location, prediction_format))
    unread = [*location.unsupported_parts]
    outlines, keypoints = location.outlines, location.keypoints
    if location.four_numbers is not None:
        if outlines and not _has_same_unit(
            chain.from_iterable(chain.from_iterable(outlines)), relative, scale
        ):
            unread += ["outline"] * len(outlines)
            outlines = ()
        if keypoints and not _has_same_unit(
            chain.from_iterable((one.x, one.y) for one in keypoints), relative, scale
        ):
            unread += ["keypoint"] * len(keypoints)
            keypoints = ()
    if scale != 1:
        outlines = tuple(tuple((x / scale, y / scale) for x, y in each) for each in outlines)
        keypoints = tuple(Keypoint(p.x / scale, p.y / scale, p.score) for p in keypoints)
    box = None
    if sides is not None:
        left, top, right, bottom = sides if scale == 1 else [side / scale for side in sides]
        box = Box(left, top, right, bottom, relative)
    elif location.mask is not None and (around := mask_bounds(location.mask)) is not None:
        box = Box(*around)
    return Detection(
        found.label,
        found.score,
        box,
        outlines,
        location.mask,
        keypoints,
        found.start,
        found.end,
        tuple(unread),
    )


def resolve_box_format(location: DraftLocation, prediction_format: PredictionFormat) -> BoxFormat:
    """The order of the four numbers of a location."""
    form = location.box_format
    return cast("BoxFormat", prediction_format.value_of(form[1:]) if form.startswith("?") else form)


def resolve_unit(unit: UnitOrQuestion, prediction_format: PredictionFormat) -> CoordinateUnit:
    """The unit of the numbers of a location."""
    return cast(
        "CoordinateUnit", prediction_format.value_of(unit[1:]) if unit.startswith("?") else unit
    )


def to_corners(four: FourNumbers, box_format: BoxFormat) -> FourNumbers | None:
    """Left, top, right, bottom; None: the numbers are no valid box."""
    a, b, c, d = four
    match box_format:
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


def is_valid_box(sides: FourNumbers | None) -> bool:
    """Whether the right and bottom sides are not before the left and top ones."""
    return sides is not None and sides[0] <= sides[2] and sides[1] <= sides[3]


def location_coordinates(location: DraftLocation) -> Sequence[float]:
    """The numbers whose magnitude shows the unit."""
    if location.four_numbers is not None:
        return location.four_numbers
    points: Iterable[Point] = chain(location.corners, *location.outlines)
    return list(chain.from_iterable(points))


def are_fractions(values: Iterable[float]) -> bool:
    """Whether numbers can be fractions of the picture; zeros alone say nothing."""
    some = False
    for value in values:
        if not -MAX_FRACTION_OVERSHOOT <= value <= 1 + MAX_FRACTION_OVERSHOOT:
            return False
        some = some or value != 0
    return some


def _resolve_sides(location: DraftLocation, box_format: BoxFormat) -> FourNumbers | None:
    if location.four_numbers is not None:
        sides = to_corners(location.four_numbers, box_format)
        # By names, and in rows whose order is sure, ends may stand in either order.
        if sides is not None and (is_valid_box(sides) or not location.box_format.startswith("?")):
            left, top, right, bottom = sides
            return min(left, right), min(top, bottom), max(left, right), max(top, bottom)
        return None
    points: tuple[Point, ...] = (*location.corners, *chain.from_iterable(location.outlines))
    if not points:
        points = tuple((one.x, one.y) for one in location.keypoints)
        if len(points) < 2:  # noqa: PLR2004 - one point is no box
            return None
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _has_same_unit(values: Iterable[float], relative: bool, scale: float) -> bool:
    numbers = list(values)
    return (
        not numbers
        or are_fractions(value / scale for value in numbers) == relative
        or not any(numbers)
    )
