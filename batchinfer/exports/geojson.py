"""GeoJSON (RFC 7946) for QGIS, geopandas, any map: where images were taken, what is on them.

One feature per item, at the position in its EXIF data; without one its geometry is null, so that no
item is missing. A prediction that is GeoJSON itself contributes its own features instead, with the
item's key among their properties. A geometry that readers cannot handle becomes null, and is
reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, TypeGuard

from batchinfer.artifacts import GENERATOR
from batchinfer.domain import Json, ResultDetails, State
from batchinfer.exports.export_format import INTERPRETATION_OPTIONS, FileExport
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.exports.image_items import UNLABELLED_CLASS, iter_items
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.exports.safe_text import encode_strict_json
from batchinfer.images import ImageInfo, UnreadableImage
from batchinfer.predictions import (
    Classification,
    ClassScore,
    Detection,
    Detections,
    FeatureCollection,
    Interpretation,
    PlainText,
)
from batchinfer.predictions.geojson_features import is_beyond_degrees
from batchinfer.text_format import escape_undecodable

_NESTING_BY_GEOMETRY: Final = {
    "Point": 0,
    "MultiPoint": 1,
    "LineString": 1,
    "MultiLineString": 2,
    "Polygon": 2,
    "MultiPolygon": 3,
}
"""Kinds of geometry -> how many lists stand around a position."""
_MAX_COORDINATE: Final = 1e12
_MIN_RING_POSITIONS: Final = 4
"""Positions of the smallest ring: a triangle, closed."""
_MAX_GEOMETRY_DEPTH: Final = 8
"""Collections in collections."""


class GeoJsonExport(FileExport):
    """One FeatureCollection."""

    name = "geojson"
    extensions = (".geojson",)
    unit = "feature"
    description = "a feature per item, where it was taken"
    consumers = "QGIS, geopandas"
    options = INTERPRETATION_OPTIONS

    def write(self, source: ExportSource, file: BinaryIO, options: ExportOptions) -> int:  # noqa: ARG002
        """See `FileExport`."""
        omissions, written = ExportOmissions(), 0
        file.write(
            b'{"type":"FeatureCollection","generator":"%s","features":[' % GENERATOR.encode()
        )
        for details, image_info in iter_items(source):
            for feature in _iter_features(source, details, image_info, omissions):
                text = encode_strict_json(feature)
                if not text.startswith(b"{"):
                    omissions.add("feature", "nested too deeply", details.result.key)
                    continue
                file.write((b",\n" if written else b"\n") + text)
                written += 1
        file.write(b"\n]}\n")
        omissions.report(source)
        return written


def _iter_features(
    source: ExportSource,
    details: ResultDetails,
    image_info: ImageInfo | UnreadableImage,
    omissions: ExportOmissions,
) -> Iterator[Json]:
    result = details.result
    interpretation = source.interpret_result(result) if result.state is State.SUCCEEDED else None
    if not isinstance(interpretation, FeatureCollection):
        yield _make_item_feature(details, image_info, interpretation)
        return
    given_features = interpretation.collection.get("features")
    features = given_features if _is_list(given_features) else ()
    if not _is_wgs84(interpretation.collection):
        reason = "GeoJSON in another coordinate system than WGS 84"
        omissions.add("prediction", reason, result.key)
        features = ()
    valid = [feature for feature in features if isinstance(feature, Mapping)]
    omissions.add("feature", "not valid GeoJSON", result.key, count=len(features) - len(valid))
    # A glitch in one of many items is not the system of all of them.
    in_degrees = interpretation.in_degrees and not is_beyond_degrees(interpretation)
    for feature in valid:
        yield _copy_prediction_feature(result.key, feature, omissions, in_degrees=in_degrees)
    if not valid:
        yield _make_item_feature(details, image_info, interpretation)


def _make_item_feature(
    details: ResultDetails,
    image_info: ImageInfo | UnreadableImage,
    interpretation: Interpretation | None,
) -> Json:
    """The item's own feature."""
    result = details.result
    optional: dict[str, Json] = {
        "key": result.key,
        "state": result.state.value,
        "code": result.code,
        "message": result.message,
        **_summarize_prediction(interpretation),
        "path": result.path,
    }
    point: Json = None
    if isinstance(image_info, ImageInfo):
        optional["taken_at"] = image_info.taken_at
        if image_info.longitude is not None and image_info.latitude is not None:
            point = {"type": "Point", "coordinates": [image_info.longitude, image_info.latitude]}
    properties = {name: value for name, value in optional.items() if value is not None}
    return {"type": "Feature", "geometry": point, "properties": properties}


def _summarize_prediction(interpretation: Interpretation | None) -> dict[str, Json]:
    """A summary of the item's prediction."""
    match interpretation:
        case Detections(found):
            top_detection = max(found, key=_get_sort_score, default=None)
            counts = Counter(one.label or UNLABELLED_CLASS for one in found)
            return {"detections": len(found), "labels": counts, **_make_top_label(top_detection)}
        case Classification(found):
            return _make_top_label(found[0] if found else None)
        case PlainText(text):
            return {"text": text}
        case _:
            return {}


def _get_sort_score(found: Detection) -> float:
    return float("-inf") if found.score is None else found.score


def _make_top_label(best: Detection | ClassScore | None) -> dict[str, Json]:
    return {} if best is None else {"label": best.label or UNLABELLED_CLASS, "score": best.score}


def _copy_prediction_feature(
    key: str, feature: Mapping[str, Json], omissions: ExportOmissions, *, in_degrees: bool
) -> Json:
    """A feature of a prediction, with the members that all readers know."""
    given_properties = feature.get("properties")
    properties = (
        {escape_undecodable(str(n)): value for n, value in given_properties.items()}
        if isinstance(given_properties, Mapping)
        else {}
    )
    if "key" in properties:
        properties["prediction_key"] = properties.pop("key")
    if "id" in feature:  # numbers that repeat from item to item cannot stay the features' own
        properties.setdefault("id", feature["id"])
    geometry = feature.get("geometry")
    if geometry is not None and not _is_valid_geometry(geometry):
        omissions.add("shape", "not valid GeoJSON", key)
        geometry = None
    if geometry is not None and not in_degrees:
        reason = "not in WGS 84: positions lie beyond 180 and 90 degrees"
        omissions.add("shape", reason, key)
        geometry = None
    return {"type": "Feature", "geometry": geometry, "properties": {"key": key, **properties}}


def _is_wgs84(collection: Mapping[str, Json]) -> bool:
    """Whether it says no other system; `crs` is from before RFC 7946."""
    crs = collection.get("crs")
    if crs is None:
        return True
    properties = crs.get("properties") if isinstance(crs, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    return isinstance(name, str) and name.upper().endswith(("CRS84", ":4326"))


def _is_valid_geometry(geometry: Any, depth: int = 0) -> bool:
    """Whether every reader accepts it.

    Positions are two or three numbers, all of a shape as many; lines have two, rings are closed.
    """
    if not isinstance(geometry, Mapping) or depth > _MAX_GEOMETRY_DEPTH:
        return False
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        parts = geometry.get("geometries")
        return _is_list(parts) and all(_is_valid_geometry(part, depth + 1) for part in parts)
    if not isinstance(kind, str) or kind not in _NESTING_BY_GEOMETRY:
        return False
    coordinates, nesting = geometry.get("coordinates"), _NESTING_BY_GEOMETRY[kind]
    return (
        _is_valid_nesting(coordinates, nesting, kind)
        and len(set(_iter_position_sizes(coordinates, nesting))) <= 1
    )


def _is_valid_nesting(value: Any, depth: int, kind: str) -> bool:
    if not _is_list(value):
        return False
    if depth == 0:
        return len(value) in {2, 3} and all(map(_is_coordinate, value))
    if not all(_is_valid_nesting(inner, depth - 1, kind) for inner in value):
        return False
    if depth > 1 or kind == "MultiPoint":
        return True
    if kind.endswith("Polygon"):
        return len(value) >= _MIN_RING_POSITIONS and list(value[0]) == list(value[-1])
    return len(value) > 1


def _iter_position_sizes(value: Any, depth: int) -> Iterator[int]:
    """Of each position, how many numbers it has."""
    if depth == 0:
        yield len(value)
    else:
        for inner in value:
            yield from _iter_position_sizes(inner, depth - 1)


def _is_coordinate(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -_MAX_COORDINATE <= value <= _MAX_COORDINATE


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
