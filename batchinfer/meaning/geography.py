"""GeoJSON (RFC 7946), told by its `type`.

Its positions are degrees (WGS 84), unless it says otherwise. Some tools write metres or pixels and
say nothing: positions beyond 180 and 90 degrees tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from batchinfer.domain import Json
from batchinfer.meaning.values import is_list
from batchinfer.meaning.words import Features

_GEOMETRIES: Final = frozenset(
    ("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon")
)


_DEGREES: Final = (180.000001, 90.000001)
_DEEPEST: Final = 8


def is_beyond(found: Features) -> bool:
    """Whether a position is none on earth in degrees."""
    theirs = found.collection.get("features")
    for feature in theirs if is_list(theirs) else ():
        geometry = feature.get("geometry") if isinstance(feature, Mapping) else None
        for x, y in _positions(geometry, 0):
            if abs(x) > _DEGREES[0] or abs(y) > _DEGREES[1]:
                return True
    return False


def _positions(value: Json, depth: int) -> Iterator[tuple[float, float]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        yield from _positions(value.get("coordinates"), depth + 1)
        yield from _positions(value.get("geometries"), depth + 1)
        return
    match value:
        case [int() | float() as x, int() | float() as y, *_]:
            yield x, y
        case _ if is_list(value):
            for inner in value:
                yield from _positions(inner, depth + 1)


def features(value: Json) -> Features | None:
    """A collection, as it is; else a feature, a geometry or a list of features, as a collection."""
    if isinstance(value, Mapping):
        if value.get("type") == "FeatureCollection" and is_list(value.get("features")):
            return Features(value)
        if _is_feature(value):
            return _collection([value])
        if _is_geometry(value):
            return _collection([{"type": "Feature", "properties": {}, "geometry": value}])
    if is_list(value) and value and all(map(_is_feature, value)):
        return _collection(list(value))
    return None


def _collection(found: list[Json]) -> Features:
    return Features({"type": "FeatureCollection", "features": found})


def _is_feature(value: Json) -> bool:
    return isinstance(value, Mapping) and value.get("type") == "Feature" and "geometry" in value


def _is_geometry(value: Mapping[str, Json]) -> bool:
    kind = value.get("type")
    if kind == "GeometryCollection":
        return is_list(value.get("geometries"))
    return isinstance(kind, str) and kind in _GEOMETRIES and is_list(value.get("coordinates"))
