"""Outlines: polygons around a thing, as models spell them.

`[[x, y], ...]`, `[{"x": ..., "y": ...}, ...]`, `[x, y, x, y, ...]` (COCO), `{"x": [...], "y":
[...]}` (ultralytics), `{"vertices": [...]}` (Google), a list of several of them, and the four
corners of a box that stands askew. A raster of pixels is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

from batchinfer.domain import Json
from batchinfer.meaning.values import is_list, number, spelled
from batchinfer.meaning.words import Point

OUTLINES: Final = (
    *("segments", "segmentation", "polygon", "outline", "contour", "xyxyxyxy", "quad", "points"),
    *("boundingpoly", "vertices"),
)
"""Keys (see `values.spelled`) of what can be an outline."""
_RASTER: Final = 8
"""So many rows of one length are pixels, and not polygons."""


def polygon(value: Json) -> tuple[Point, ...]:
    """The corners of an outline, of the largest if there are several; empty: it is none."""
    if isinstance(value, Mapping):
        return _of_dict(spelled(value))
    if not is_list(value):
        return ()
    if points := _enclosing(pairs(value)):
        return points
    parts = [part for part in value if is_list(part)]
    if len(parts) >= _RASTER and len(set(map(len, parts))) == 1:
        return ()
    return max((_enclosing(pairs(part)) for part in parts), key=_area, default=())


def numbered(names: Mapping[str, Json]) -> tuple[Point, ...]:
    """Four corners of a box that stands askew: x1, y1 to x4, y4 (ultralytics)."""
    if "x4" not in names or "y4" not in names:
        return ()
    return _enclosing((names.get(f"x{place}"), names.get(f"y{place}")) for place in range(1, 5))


def pairs(value: Sequence[Json]) -> Iterable[tuple[Json, Json]]:
    """`[[x, y], ...]`, `[{"x": ..., "y": ...}, ...]` or `[x, y, x, y, ...]`; else nothing."""
    if isinstance(value[0] if value else None, (int, float)):
        return zip(value[::2], value[1::2], strict=False) if len(value) % 2 == 0 else ()
    found: list[tuple[Json, Json]] = []
    for part in value:
        match part:
            case Mapping():
                names = spelled(part)
                found.append((names.get("x"), names.get("y")))
            case [x, y]:
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


def _of_dict(names: Mapping[str, Json]) -> tuple[Point, ...]:
    xs, ys = names.get("x"), names.get("y")
    if is_list(xs) and is_list(ys):
        return _enclosing(zip(xs, ys, strict=False)) if len(xs) == len(ys) else ()
    for name in ("vertices", "normalizedvertices", "points"):
        if is_list(inner := names.get(name)):
            return _enclosing(pairs(inner))
    return numbered(names)


def _enclosing(pairs: Iterable[tuple[Json, Json]]) -> tuple[Point, ...]:
    points = finite(pairs)
    return points if len(points) > 2 else ()  # noqa: PLR2004 - a line encloses nothing


def _area(points: Sequence[Point]) -> float:
    ahead = chain(points[1:], points[:1])
    area = sum(x * v - u * y for (x, y), (u, v) in zip(points, ahead, strict=True))
    return abs(area) if math.isfinite(area) else 0.0
