"""GeoJSON (RFC 7946) for QGIS, geopandas, any map: where the pictures were taken, what is on them.

A feature per item, at the position in its EXIF data; without one its geometry is null, so that no
item is missing. A prediction that is GeoJSON itself brings its own features instead, with the
item's key among their properties. A geometry that readers choke on becomes null, and is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, TypeGuard

from batchinfer.domain import Dossier, Json, State
from batchinfer.images import Facts, Unseen
from batchinfer.marks import GENERATOR
from batchinfer.meaning import Class, Classes, Detection, Detections, Features, Meaning, Words
from batchinfer.meaning.geography import is_beyond
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import json_text, printable
from batchinfer.sinks.left_out import LeftOut
from batchinfer.sinks.pictures import UNLABELLED, items

_NESTED: Final = {
    "Point": 0,
    "MultiPoint": 1,
    "LineString": 1,
    "MultiLineString": 2,
    "Polygon": 2,
    "MultiPolygon": 3,
}
"""Kinds of geometry -> how many lists stand around a position."""
_FARTHEST: Final = 1e12
_RING: Final = 4
"""Positions of the smallest ring: a triangle, closed."""
_DEEPEST: Final = 8
"""Collections in collections."""


def write(book: Book, file: BinaryIO) -> int:
    """One FeatureCollection; how many features."""
    left_out, written = LeftOut(), 0
    file.write(b'{"type":"FeatureCollection","generator":"%s","features":[' % GENERATOR.encode())
    for dossier, seen in items(book):
        for feature in _features(book, dossier, seen, left_out):
            text = json_text(feature)
            if not text.startswith(b"{"):
                left_out.add("feature", "nested too deeply", dossier.result.key)
                continue
            file.write((b",\n" if written else b"\n") + text)
            written += 1
    file.write(b"\n]}\n")
    left_out.tell(book)
    return written


def _features(
    book: Book, dossier: Dossier, seen: Facts | Unseen, left_out: LeftOut
) -> Iterator[Json]:
    result = dossier.result
    meaning = book.meaning(result) if result.state is State.SUCCEEDED else None
    if not isinstance(meaning, Features):
        yield _own(dossier, seen, meaning)
        return
    theirs = meaning.collection.get("features")
    found = theirs if _is_list(theirs) else ()
    if not _is_wgs84(meaning.collection):
        why = "GeoJSON in another coordinate system than WGS 84"
        left_out.add("prediction", why, result.key)
        found = ()
    valid = [feature for feature in found if isinstance(feature, Mapping)]
    left_out.add("feature", "not valid GeoJSON", result.key, count=len(found) - len(valid))
    # A glitch in one of many items is not the system of all of them.
    in_degrees = meaning.in_degrees and not is_beyond(meaning)
    for feature in valid:
        yield _theirs(result.key, feature, left_out, in_degrees=in_degrees)
    if not valid:
        yield _own(dossier, seen, meaning)


def _own(dossier: Dossier, seen: Facts | Unseen, meaning: Meaning | None) -> Json:
    """The item's own feature."""
    result = dossier.result
    known: dict[str, Json] = {
        "key": result.key,
        "state": result.state.value,
        "code": result.code,
        "message": result.message,
        **_said(meaning),
        "path": result.path,
    }
    point: Json = None
    if isinstance(seen, Facts):
        known["taken_at"] = seen.taken_at
        if seen.longitude is not None and seen.latitude is not None:
            point = {"type": "Point", "coordinates": [seen.longitude, seen.latitude]}
    properties = {name: value for name, value in known.items() if value is not None}
    return {"type": "Feature", "geometry": point, "properties": properties}


def _said(meaning: Meaning | None) -> dict[str, Json]:
    """What the model said of the item as a whole."""
    match meaning:
        case Detections(found):
            best = max(found, key=_sureness, default=None)
            counts = Counter(one.label or UNLABELLED for one in found)
            return {"detections": len(found), "labels": counts, **_top(best)}
        case Classes(found):
            return _top(found[0] if found else None)
        case Words(text):
            return {"text": text}
        case _:
            return {}


def _sureness(found: Detection) -> float:
    return float("-inf") if found.score is None else found.score


def _top(best: Detection | Class | None) -> dict[str, Json]:
    return {} if best is None else {"label": best.label or UNLABELLED, "score": best.score}


def _theirs(key: str, feature: Mapping[str, Json], left_out: LeftOut, *, in_degrees: bool) -> Json:
    """A feature of a prediction; of its members those that readers agree about."""
    given = feature.get("properties")
    properties = (
        {printable(str(n)): value for n, value in given.items()}
        if isinstance(given, Mapping)
        else {}
    )
    if "key" in properties:
        properties["prediction_key"] = properties.pop("key")
    if "id" in feature:  # numbers that repeat from item to item cannot stay the features' own
        properties.setdefault("id", feature["id"])
    geometry = feature.get("geometry")
    if geometry is not None and not _is_sound(geometry):
        left_out.add("shape", "not valid GeoJSON", key)
        geometry = None
    if geometry is not None and not in_degrees:
        why = "not in WGS 84: positions lie beyond 180 and 90 degrees"
        left_out.add("shape", why, key)
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


def _is_sound(geometry: Any, depth: int = 0) -> bool:
    """Whether every reader takes it.

    Positions are two or three numbers, all of a shape as many; lines have two, rings are closed.
    """
    if not isinstance(geometry, Mapping) or depth > _DEEPEST:
        return False
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        parts = geometry.get("geometries")
        return _is_list(parts) and all(_is_sound(part, depth + 1) for part in parts)
    if not isinstance(kind, str) or kind not in _NESTED:
        return False
    coordinates, nested = geometry.get("coordinates"), _NESTED[kind]
    return _is_nested(coordinates, nested, kind) and len(set(_sizes(coordinates, nested))) <= 1


def _is_nested(value: Any, depth: int, kind: str) -> bool:
    if not _is_list(value):
        return False
    if depth == 0:
        return len(value) in {2, 3} and all(map(_is_coordinate, value))
    if not all(_is_nested(inner, depth - 1, kind) for inner in value):
        return False
    if depth > 1 or kind == "MultiPoint":
        return True
    if kind.endswith("Polygon"):
        return len(value) >= _RING and list(value[0]) == list(value[-1])
    return len(value) > 1


def _sizes(value: Any, depth: int) -> Iterator[int]:
    """Of each position, how many numbers it has."""
    if depth == 0:
        yield len(value)
    else:
        for inner in value:
            yield from _sizes(inner, depth - 1)


def _is_coordinate(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -_FARTHEST <= value <= _FARTHEST


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
