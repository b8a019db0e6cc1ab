"""GeoJSON (RFC 7946), recognized by its `type`.

Its positions are degrees (WGS 84), unless it says otherwise. Some tools write metres or pixels
without saying so, which shows in positions beyond 180 and 90 degrees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from batchinfer.domain import Json
from batchinfer.predictions.coerce import is_list
from batchinfer.predictions.prediction_types import FeatureCollection

_GEOMETRY_TYPES: Final = frozenset(
    ("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon")
)


_MAX_DEGREES: Final = (180.000001, 90.000001)
_MAX_GEOJSON_DEPTH: Final = 8


def is_beyond_degrees(collection: FeatureCollection) -> bool:
    """Whether a position is beyond the range of degrees."""
    features = collection.collection.get("features")
    for feature in features if is_list(features) else ():
        geometry = feature.get("geometry") if isinstance(feature, Mapping) else None
        for x, y in _iter_positions(geometry, 0):
            if abs(x) > _MAX_DEGREES[0] or abs(y) > _MAX_DEGREES[1]:
                return True
    return False


def _iter_positions(value: Json, depth: int) -> Iterator[tuple[float, float]]:
    if depth > _MAX_GEOJSON_DEPTH:
        return
    if isinstance(value, Mapping):
        yield from _iter_positions(value.get("coordinates"), depth + 1)
        yield from _iter_positions(value.get("geometries"), depth + 1)
        return
    match value:
        case [int() | float() as x, int() | float() as y, *_]:
            yield x, y
        case _ if is_list(value):
            for inner in value:
                yield from _iter_positions(inner, depth + 1)


def read_geojson(value: Json) -> FeatureCollection | None:
    """A collection, as it is; else a feature, a geometry or a list of features, as a collection."""
    if isinstance(value, Mapping):
        if value.get("type") == "FeatureCollection" and is_list(value.get("features")):
            return FeatureCollection(value)
        if _is_feature(value):
            return _make_collection([value])
        if _is_geometry(value):
            return _make_collection([{"type": "Feature", "properties": {}, "geometry": value}])
    if is_list(value) and value and all(map(_is_feature, value)):
        return _make_collection(list(value))
    return None


def _make_collection(found: list[Json]) -> FeatureCollection:
    return FeatureCollection({"type": "FeatureCollection", "features": found})


def _is_feature(value: Json) -> bool:
    return isinstance(value, Mapping) and value.get("type") == "Feature" and "geometry" in value


def _is_geometry(value: Mapping[str, Json]) -> bool:
    kind = value.get("type")
    if kind == "GeometryCollection":
        return is_list(value.get("geometries"))
    return isinstance(kind, str) and kind in _GEOMETRY_TYPES and is_list(value.get("coordinates"))
