import io
import json

import geopandas
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchinfer.exports import write_export
from support.books import HOSTILE, book, result, thing
from support.gallery import POINT, SQUARE

# GDAL takes a property named `id` for a feature's number; that of two items may be the same.
pytestmark = pytest.mark.filterwarnings("ignore:Several features with id:RuntimeWarning")

KINDS = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
NUMBERS = st.integers(-200, 200) | st.floats(-1e13, 1e13) | st.sampled_from([0, 1, 10**400, "1"])
POSITIONS = st.lists(NUMBERS, max_size=4) | st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(
    list
)
RINGS = st.lists(POSITIONS, max_size=5) | st.lists(
    st.tuples(*[st.integers(-9, 9)] * 2).map(list), min_size=3, max_size=4
).map(lambda corners: [*corners, corners[0]])
COORDINATES = st.recursive(POSITIONS | RINGS, lambda inner: st.lists(inner, max_size=3))
SHAPES = st.recursive(
    st.builds(
        lambda kind, coordinates: {"type": kind, "coordinates": coordinates},
        st.sampled_from([*KINDS, "Circle", None]),
        COORDINATES,
    ),
    lambda inner: st.builds(
        lambda parts: {"type": "GeometryCollection", "geometries": parts},
        st.lists(inner, max_size=3),
    ),
    max_leaves=3,
)


def feature(geometry, /, **properties):
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def read(*results, notices=None):
    """What geopandas makes of these results, and the file as it is."""
    stream = io.BytesIO()
    count = write_export(book(results, notices), stream, "geojson")
    frame = geopandas.read_file(io.BytesIO(stream.getvalue()))
    features = json.loads(stream.getvalue())["features"]
    assert count == len(frame) == len(features)
    return frame, features


@pytest.fixture(scope="module")
def frame(hung, tmp_path_factory):
    path = tmp_path_factory.mktemp("geojson") / "run.geojson"
    count = write_export(hung.book(), path, "geojson")
    frame = geopandas.read_file(path)
    assert len(frame) == count == len(hung.keys) + 2  # a map brings three features
    return frame


@pytest.fixture(scope="module")
def rows(frame):
    return {row["key"]: row for row in frame.to_dict("records")}


def test_every_item_is_there_in_input_order(frame, hung):
    assert tuple(dict.fromkeys(frame["key"])) == hung.keys
    assert frame.crs == "EPSG:4326"


def test_a_position_in_the_picture_is_a_point(frame, rows):
    assert rows["site-1/turned.jpg"]["geometry"].coords[:] == [pytest.approx(POINT, abs=1e-6)]
    assert rows["failed.jpg"]["geometry"].coords[:] == [pytest.approx(POINT, abs=1e-6)]
    assert str(rows["site-1/turned.jpg"]["taken_at"]) == "2026-05-17 06:31:07"
    placed = frame[frame.geometry.notna()]["key"]
    assert list(placed) == ["site-1/turned.jpg", "map.jpg", "failed.jpg"]


def test_what_the_model_said_stands_in_the_properties(rows, hung):
    bear = rows["site-1/bear.jpg"]
    assert (bear["state"], bear["detections"], bear["label"], bear["score"]) == (
        *("succeeded", 2, "bear", 0.9),
    )
    assert bear["labels"] == {"bear": 1, "dog": 1}
    assert bear["path"] == hung.paths["site-1/bear.jpg"]
    assert (rows["nothing.jpg"]["detections"], rows["nothing.jpg"]["labels"]) == (0, {})
    assert (rows["classes.jpg"]["label"], rows["classes.jpg"]["score"]) == ("cat", 0.75)
    assert rows["caption.jpg"]["text"] == "A bear,\nin the snow"
    assert rows["failed.jpg"]["code"] == "model_error"
    assert rows["failed.jpg"]["message"] == "No <b>bear</b>."
    assert rows["pending.jpg"]["state"] == "pending"


def test_a_prediction_that_is_geojson_brings_its_own_features(frame):
    crop, theirs, broken = frame[frame["key"] == "map.jpg"].to_dict("records")
    assert crop["geometry"].equals(shapely.geometry.shape(SQUARE))
    assert (crop["crop"], crop["id"]) == ("wheat", 1)
    assert (theirs["prediction_key"], theirs["geometry"]) == ("theirs", None)
    assert broken["geometry"] is None


def test_another_coordinate_system_is_left_out_and_told(rows, hung):
    assert rows["projected.jpg"]["geometry"] is None
    write_export(hung.book(), io.BytesIO(), "geojson")
    assert hung.notices == [
        "Left out: 1 feature, not valid GeoJSON (first: 'map.jpg').",
        "Left out: 1 shape, not valid GeoJSON (first: 'map.jpg').",
        (
            "Left out: 1 prediction, GeoJSON in another coordinate system than WGS 84 (first: "
            "'projected.jpg')."
        ),
    ]


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326"])
def test_a_system_that_is_wgs84_is_taken(name):
    crs = {"type": "name", "properties": {"name": name}}
    collection = {"type": "FeatureCollection", "crs": crs, "features": [feature(SQUARE, n=1)]}
    frame, _ = read(result("a", collection))
    assert frame.geometry[0].area == 1


def test_an_item_whose_features_are_all_invalid_is_there_all_the_same():
    notices = []
    frame, _ = read(result("a", {"type": "FeatureCollection", "features": [1]}), notices=notices)
    assert list(frame["key"]) == ["a"]
    assert notices == ["Left out: 1 feature, not valid GeoJSON (first: 'a')."]


@settings(deadline=None)
@given(SHAPES)
@example({"type": "Point", "coordinates": [1, 2, 3, 4]})
@example({"type": "LineString", "coordinates": [[1, 2], [1, 2, 3]]})
@example({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [2, 2]]]})
@example({"type": "MultiPolygon", "coordinates": [[]]})
def test_every_shape_that_is_exported_means_the_same_to_shapely_and_to_gdal(shape):
    notices = []
    frame, (made,) = read(result("a", feature(shape)), notices=notices)
    if made["geometry"] is None:
        assert frame.geometry[0] is None
        assert notices == ["Left out: 1 shape, not valid GeoJSON (first: 'a')."]
    else:
        assert notices == []
        found = shapely.geometry.shape(made["geometry"])
        assert shapely.get_coordinates(found).tolist() == (
            shapely.get_coordinates(frame.geometry[0]).tolist()
        )


def test_hostile_labels_and_keys_are_only_texts():
    frame, features = read(*(result(f"{n}{text}", [thing(text)]) for n, text in enumerate(HOSTILE)))
    spelled = [text.replace("\ud800", r"\ud800") for text in HOSTILE]
    assert [one["properties"]["label"] for one in features] == spelled
    assert [one["properties"]["key"] for one in features] == [
        f"{n}{text}" for n, text in enumerate(spelled)
    ]
    # GDAL ends a text at a NUL.
    assert list(frame["label"]) == [text.partition("\0")[0] for text in spelled]


def test_hostile_properties_of_the_model_stay_its_own():
    names = ("", "type", "geometry", "__proto__", "a\0b", "\ud800", "x" * 5000)
    frame, (made,) = read(result("a", feature(SQUARE, **dict.fromkeys(names, "=1+1"))))
    assert made["geometry"] == SQUARE
    assert set(made["properties"]) == {"key", *names} - {"\ud800"} | {r"\ud800"}
    assert frame["type"][0] == "=1+1"


def test_what_is_nested_too_deeply_is_told_and_stops_nothing():
    deep = []
    for _ in range(5000):
        deep = [deep]
    notices = []
    frame, _ = read(result("a", feature(None, deep=deep)), result("b"), notices=notices)
    assert list(frame["key"]) == ["b"]
    assert notices == ["Left out: 1 feature, nested too deeply (first: 'a')."]
    while deep:  # taken apart by hand: freeing it is recursive too
        deep = deep.pop()


def test_a_run_without_items_is_a_valid_file():
    frame, _ = read()
    assert len(frame) == 0
