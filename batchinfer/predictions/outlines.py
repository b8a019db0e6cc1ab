"""Outlines: polygons around a detection, as models return them.

`[[x, y], ...]`, `[{"x": ..., "y": ...}, ...]`, `[x, y, x, y, ...]` (COCO), `{"x": [...], "y":
[...]}` (ultralytics), `{"vertices": [...]}` (Google), a list of several of them, and the four
corners of a rotated box. A raster of pixels is none.

Google's JSON omits what is zero: a vertex without `x` is at the left edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from batchinfer.domain import Json
from batchinfer.predictions.coerce import is_list, normalize_keys, to_number
from batchinfer.predictions.prediction_types import Outline, Point

OUTLINE_KEYS: Final = (
    *("segments", "segmentation", "polygon", "polygons", "outline", "contour", "contours"),
    *("xyxyxyxy", "quad", "points", "boundingpoly", "vertices", "polys", "recpolys", "dtpolys"),
    *("boundarypoints", "polyline"),
)
"""Keys (see `values.spelled`) of what can be an outline."""
_VERTEX_KEYS: Final = ("vertices", "normalizedvertices", "points")
_MIN_RASTER_ROWS: Final = 8
"""So many rows of one length are pixels, and not polygons."""


def read_outlines(value: Json) -> tuple[Outline, ...]:
    """The polygons of an outline, in their order; empty: it is none."""
    if isinstance(value, Mapping):
        return _as_outlines(_outline_from_dict(normalize_keys(value)))
    if not is_list(value) or is_raster(value):
        return ()
    if points := to_outline(to_coordinate_pairs(value)):
        return (points,)
    parts = [to_outline(to_coordinate_pairs(part)) for part in value if is_list(part)]
    parts += [
        _outline_from_dict(normalize_keys(part)) for part in value if isinstance(part, Mapping)
    ]
    return tuple(filter(None, parts))


def is_raster(value: Json) -> bool:
    """Whether it is rows of pixels, as a mask may be given."""
    if not is_list(value) or len(value) < _MIN_RASTER_ROWS:
        return False
    lengths = {len(part) if is_list(part) else -1 for part in value}
    return len(lengths) == 1 and min(lengths) > 2  # noqa: PLR2004 - pairs are points


def read_numbered_corners(names: Mapping[str, Json]) -> Outline:
    """Four corners of a rotated box: x1, y1 to x4, y4 (ultralytics)."""
    if "x4" not in names or "y4" not in names:
        return ()
    return to_outline((names.get(f"x{place}"), names.get(f"y{place}")) for place in range(1, 5))


def to_coordinate_pairs(value: Sequence[Json]) -> Iterable[tuple[Json, Json]]:
    """`[[x, y], ...]`, `[{"x": ..., "y": ...}, ...]` or `[x, y, x, y, ...]`; else nothing."""
    if isinstance(value[0] if value else None, (int, float)):
        return zip(value[::2], value[1::2], strict=False) if len(value) % 2 == 0 else ()
    if value and all(isinstance(part, Mapping) for part in value):
        return _read_named_points(
            [normalize_keys(part) for part in value if isinstance(part, Mapping)]
        )
    found: list[tuple[Json, Json]] = []
    for part in value:
        match part:
            case [x, y]:
                found.append((x, y))
            case [[x, y]]:  # OpenCV's contours
                found.append((x, y))
            case _:
                return ()
    return found


def to_points(pairs: Iterable[tuple[Json, Json]]) -> tuple[Point, ...]:
    """The points that pairs of numbers are; none if one of them is no point."""
    points: list[Point] = []
    for first, second in pairs:
        x, y = to_number(first), to_number(second)
        if x is None or y is None:
            return ()
        points.append((x, y))
    return tuple(points)


def to_outline(pairs: Iterable[tuple[Json, Json]]) -> Outline:
    """The points, if they can enclose something."""
    points = to_points(pairs)
    return points if len(points) > 2 else ()  # noqa: PLR2004 - a line encloses nothing


def read_vertices(names: Mapping[str, Json]) -> tuple[Point, ...]:
    """The points of a dict that lists them by name; also two, as of a box."""
    for name in _VERTEX_KEYS:
        if is_list(inner := names.get(name)):
            return to_points(to_coordinate_pairs(inner))
    return ()


def _read_named_points(parts: Sequence[Mapping[str, Json]]) -> Iterable[tuple[Json, Json]]:
    """Points that name their coordinates; one that is left out is zero, as in Google's JSON."""
    keys = {key for part in parts for key in part}
    zero: Json = 0 if {"x", "y"} <= keys <= {"x", "y", "z"} else None
    return [(part.get("x", zero), part.get("y", zero)) for part in parts]


def _outline_from_dict(names: Mapping[str, Json]) -> Outline:
    xs, ys = names.get("x"), names.get("y")
    if is_list(xs) and is_list(ys):
        return to_outline(zip(xs, ys, strict=False)) if len(xs) == len(ys) else ()
    points = read_vertices(names)
    return points if len(points) > 2 else read_numbered_corners(names)  # noqa: PLR2004 - a line


def _as_outlines(points: Outline) -> tuple[Outline, ...]:
    return (points,) if points else ()
