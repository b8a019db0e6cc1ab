"""GeoJSON (RFC 7946), told by its `type`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from batchinfer.domain import Json
from batchinfer.meaning.values import is_list
from batchinfer.meaning.words import Features

_GEOMETRIES: Final = frozenset(
    ("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon")
)


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
