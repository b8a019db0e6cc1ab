"""Outlines: polygons around a thing, as models spell them.

`[[x, y], ...]`, `[{"x": ..., "y": ...}, ...]`, `[x, y, x, y, ...]` (COCO), `{"x": [...], "y":
[...]}` (ultralytics), `{"vertices": [...]}` (Google), a list of several of them, and the four
corners of a box that stands askew. A raster of pixels is none.

Google's JSON leaves out what is zero: a vertex without `x` lies at the left edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from batchinfer.domain import Json
from batchinfer.meaning.values import is_list, number, spelled
from batchinfer.meaning.words import Outline, Point

OUTLINES: Final = (
    *("segments", "segmentation", "polygon", "polygons", "outline", "contour", "contours"),
    *("xyxyxyxy", "quad", "points", "boundingpoly", "vertices", "polys", "recpolys", "dtpolys"),
    *("boundarypoints", "polyline"),
)
"""Keys (see `values.spelled`) of what can be an outline."""
_VERTICES: Final = ("vertices", "normalizedvertices", "points")
_RASTER: Final = 8
"""So many rows of one length are pixels, and not polygons."""


def polygons(value: Json) -> tuple[Outline, ...]:
    """The polygons of an outline, in their order; empty: it is none."""
    if isinstance(value, Mapping):
        return _one(_of_dict(spelled(value)))
    if not is_list(value) or is_raster(value):
        return ()
    if points := enclosing(pairs(value)):
        return (points,)
    parts = [enclosing(pairs(part)) for part in value if is_list(part)]
    parts += [_of_dict(spelled(part)) for part in value if isinstance(part, Mapping)]
    return tuple(filter(None, parts))


def is_raster(value: Json) -> bool:
    """Whether it is rows of pixels, as a mask may be given."""
    if not is_list(value) or len(value) < _RASTER:
        return False
    lengths = {len(part) if is_list(part) else -1 for part in value}
    return len(lengths) == 1 and min(lengths) > 2  # noqa: PLR2004 - pairs are points


def numbered(names: Mapping[str, Json]) -> Outline:
    """Four corners of a box that stands askew: x1, y1 to x4, y4 (ultralytics)."""
    if "x4" not in names or "y4" not in names:
        return ()
    return enclosing((names.get(f"x{place}"), names.get(f"y{place}")) for place in range(1, 5))


def pairs(value: Sequence[Json]) -> Iterable[tuple[Json, Json]]:
    """`[[x, y], ...]`, `[{"x": ..., "y": ...}, ...]` or `[x, y, x, y, ...]`; else nothing."""
    if isinstance(value[0] if value else None, (int, float)):
        return zip(value[::2], value[1::2], strict=False) if len(value) % 2 == 0 else ()
    if value and all(isinstance(part, Mapping) for part in value):
        return _named([spelled(part) for part in value if isinstance(part, Mapping)])
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


def finite(pairs: Iterable[tuple[Json, Json]]) -> tuple[Point, ...]:
    """The points that pairs of numbers are; none if one of them is no point."""
    points: list[Point] = []
    for first, second in pairs:
        x, y = number(first), number(second)
        if x is None or y is None:
            return ()
        points.append((x, y))
    return tuple(points)


def enclosing(pairs: Iterable[tuple[Json, Json]]) -> Outline:
    """The points, if they can enclose something."""
    points = finite(pairs)
    return points if len(points) > 2 else ()  # noqa: PLR2004 - a line encloses nothing


def vertices(names: Mapping[str, Json]) -> tuple[Point, ...]:
    """The points of a dict that lists them by name; also two, as of a box."""
    for name in _VERTICES:
        if is_list(inner := names.get(name)):
            return finite(pairs(inner))
    return ()


def _named(parts: Sequence[Mapping[str, Json]]) -> Iterable[tuple[Json, Json]]:
    """Points that name their coordinates; one that is left out is zero, as in Google's JSON."""
    keys = {key for part in parts for key in part}
    zero: Json = 0 if {"x", "y"} <= keys <= {"x", "y", "z"} else None
    return [(part.get("x", zero), part.get("y", zero)) for part in parts]


def _of_dict(names: Mapping[str, Json]) -> Outline:
    xs, ys = names.get("x"), names.get("y")
    if is_list(xs) and is_list(ys):
        return enclosing(zip(xs, ys, strict=False)) if len(xs) == len(ys) else ()
    points = vertices(names)
    return points if len(points) > 2 else numbered(names)  # noqa: PLR2004 - a line


def _one(points: Outline) -> tuple[Outline, ...]:
    return (points,) if points else ()
