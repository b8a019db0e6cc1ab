"""One reading a run: decided from all its predictions together, whatever their order."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import JSON_MEDIA_TYPE, Json
from batchinfer.predictions import (
    Box,
    Classification,
    Detections,
    FeatureCollection,
    FieldMap,
    OtherData,
    PredictionFormat,
    decide_prediction_format,
    interpret,
    make_evidence,
    parse_prediction_format,
)

WIDE, HIGH = 1000, 800


def decided(
    predictions: Sequence[Json], size: tuple[float, float] | None = None
) -> PredictionFormat:
    return decide_prediction_format(
        [make_evidence(each, None, lambda: size) for each in predictions]
    )


def all_read(predictions: Sequence[Json], size: tuple[float, float] | None = None):
    reading = decided(predictions, size)
    return [interpret(each, JSON_MEDIA_TYPE, None, reading) for each in predictions]


def boxes(predictions: Sequence[Json], size: tuple[float, float] | None = None):
    return [
        None if one.box is None else (one.box.left, one.box.top, one.box.right, one.box.bottom)
        for meaning in all_read(predictions, size)
        if isinstance(meaning, Detections)
        for one in meaning.detections
    ]


PLACES = st.lists(
    st.tuples(
        st.integers(0, 700), st.integers(0, 500), st.integers(100, 300), st.integers(100, 300)
    ),
    min_size=1,
    max_size=12,
)
"""Left, top, width, height in a picture of 1000 by 800."""
WRITTEN = {
    "xyxy": lambda x, y, w, h: [x, y, x + w, y + h],
    "xywh": lambda x, y, w, h: [x, y, w, h],
    "cxcywh": lambda x, y, w, h: [x + w / 2, y + h / 2, w, h],
}


def as_predictions(order: str, places: Sequence[tuple[int, int, int, int]]) -> list[Json]:
    return [[{"label": "cat", "score": 0.5, "bbox": WRITTEN[order](*each)}] for each in places]


@pytest.mark.parametrize("order", WRITTEN)
@given(places=PLACES, seed=st.integers(0, 99))
def test_all_predictions_are_read_by_one_order_whatever_theirs_is(order, places, seed):
    predictions = as_predictions(order, places)
    reading = decided(predictions, (WIDE, HIGH))
    mixed = random.Random(seed).sample(predictions, len(predictions))
    assert decided(mixed, (WIDE, HIGH)) == reading
    answer = reading.choices["list"]
    assert order == answer.value or order in answer.alternatives or answer.basis == "default"
    # Each is read as the run's order has it, and none as another.
    for prediction, (x, y, w, h) in zip(predictions, places, strict=True):
        meaning = interpret(prediction, JSON_MEDIA_TYPE, None, reading)
        assert isinstance(meaning, Detections)
        (one,) = meaning.detections
        if answer.value == order:
            assert one.box == Box(x, y, x + w, y + h)


@pytest.mark.parametrize("order", WRITTEN)
def test_boxes_all_over_a_picture_tell_their_order(order):
    places = [(20, 500, 100, 150), (700, 40, 250, 300), (400, 300, 200, 120), (700, 500, 280, 280)]
    reading = decided(as_predictions(order, places), (WIDE, HIGH))
    assert (reading.value_of("list"), reading.choices["list"].basis) == (order, "evidence")
    assert reading.is_decided
    assert reading.choices["list"].contradictions[order] == 0
    assert boxes(as_predictions(order, places), (WIDE, HIGH)) == [
        (x, y, x + w, y + h) for x, y, w, h in places
    ]


def test_what_cannot_be_told_is_said():
    predictions = as_predictions("xyxy", [(10, 10, 300, 300)])
    reading = decided(predictions)
    assert not reading.is_decided
    (said,) = reading.describe_doubts()
    assert "cannot be told from 1 box whether four numbers in a list are corners" in said
    assert "--map format=xywh" in said
    assert boxes(predictions) == [(10, 10, 310, 310)]


def test_the_size_of_the_pictures_tells_what_the_numbers_alone_do_not():
    predictions = as_predictions("xyxy", [(350, 300, 600, 400)])  # as a width, 950 were too wide
    assert not decided(predictions).is_decided
    assert decided(predictions, (WIDE, HIGH)).is_decided


def test_boxes_of_another_picture_than_ours_do_not_decide():
    """Of a model that sees a larger one."""
    predictions = as_predictions("xyxy", [(400, 300, 300, 300), (600, 500, 300, 300)])
    reading = decided(predictions, (100, 80))
    assert reading.value_of("list") == "xyxy"
    assert reading.choices["list"].basis == "default"


def test_a_few_flaws_of_a_model_do_not_turn_the_order():
    places = [(x, y, 100, 100) for x in range(0, 900, 90) for y in range(0, 700, 70)]
    predictions = as_predictions("xyxy", places)
    flawed: Json = [{"label": "cat", "score": 0.5, "bbox": [500, 500, 400, 600]}]
    reading = decided([*predictions, flawed], (WIDE, HIGH))
    assert (reading.value_of("list"), reading.choices["list"].basis) == ("xyxy", "evidence")
    assert any(
        said.startswith("1 box of 101 cannot be corners") for said in reading.describe_doubts()
    )
    meaning = interpret(flawed, JSON_MEDIA_TYPE, None, reading)
    assert isinstance(meaning, Detections)
    assert meaning.detections[0].box is None  # neither turned about, nor made up


def test_the_unit_is_that_of_the_run():
    predictions: list[Json] = [
        [{"label": "cat", "score": 0.5, "box": [10, 20, 300, 400]}] for _ in range(60)
    ]
    small: Json = [{"label": "cat", "score": 0.5, "box": [0.1, 0.2, 0.9, 1.0]}]
    reading = decided([*predictions, small])
    meaning = interpret(small, JSON_MEDIA_TYPE, None, reading)
    assert isinstance(meaning, Detections)
    assert meaning.detections[0].box == Box(0.1, 0.2, 0.9, 1.0)
    assert any("1 box of 61 cannot be in pixels" in said for said in reading.describe_doubts())


def test_x_and_y_beside_width_are_the_centre_where_the_corner_cannot_be():
    things = [(950, 400, 100, 100), (500, 730, 100, 100), (100, 100, 100, 100)]
    predictions: list[Json] = [
        [{"label": "cat", "score": 0.5, "x": x, "y": y, "width": w, "height": h}]
        for x, y, w, h in things
    ]
    # 950 + 100 is only a little beyond: a hint, but no proof
    assert decided(predictions, (WIDE, HIGH)).value_of("named") == "xywh"
    wide: list[Json] = [
        [{"label": "cat", "score": 0.5, "x": 880, "y": 400, "width": 240, "height": 100}]
    ]
    reading = decided(wide, (WIDE, HIGH))
    assert (reading.value_of("named"), reading.choices["named"].basis) == ("cxcywh", "evidence")


def test_a_format_by_its_names_only_gives_way_to_evidence():
    thing = {"width": 100, "height": 80, "confidence": 0.5, "class": "cat"}
    corner: list[Json] = [[{**thing, "x": 0, "y": 0}], [{**thing, "x": 1, "y": 300}]]
    assert decided(corner, (WIDE, HIGH)).value_of("named") == "xywh"
    inside: Json = {"predictions": corner[0], "image": {"width": WIDE, "height": HIGH}}
    assert decided([inside], (WIDE, HIGH)).value_of("named") == "cxcywh"  # documented as the centre


def test_thousandths_of_a_model_that_speaks():
    def thing(*corners: int) -> Json:
        return [{"bbox_2d": [*corners], "label": "cat"}]

    assert decided([thing(10, 10, 500, 900)], (600, 400)).value_of("bbox_2d") == "thousandths"
    assert decided([thing(10, 10, 500, 1200)], (600, 400)).value_of("bbox_2d") == "pixels"
    unsure = decided([thing(10, 10, 500, 300)], (600, 400))
    assert (unsure.value_of("bbox_2d"), unsure.is_decided) == ("pixels", False)
    meaning = interpret(
        thing(100, 200, 500, 1000), JSON_MEDIA_TYPE, None, decided([thing(1, 1, 9, 999)], (60, 40))
    )
    assert isinstance(meaning, Detections)
    assert meaning.detections[0].box == Box(0.1, 0.2, 0.5, 1.0, relative=True)


def test_numbers_by_name_are_classes_if_those_of_the_run_add_up_to_one():
    sure: list[Json] = [{"cat": 0.75, "dog": 0.25}, {"cat": 0.5, "dog": 0.5}, {"cat": 1, "dog": 0}]
    assert all(isinstance(meaning, Classification) for meaning in all_read(sure))
    unsure: list[Json] = [{"a": 0.25, "b": 0.75}, {"a": 0.9, "b": 0.7}, {"a": 1.4, "b": -3}]
    assert all_read(unsure) == [OtherData(each) for each in unsure]
    assert "as data" in " ".join(decided(unsure).describe())


@pytest.mark.parametrize(
    "prediction",
    [
        {"ndvi_mean": 0.41, "ndvi_sd": 0.08},
        {"ndvi_mean": 1.41, "ndvi_sd": 0.08},
        {"cover": 0.41, "depth": 0.08},
        {"height": 0.6, "age": 0.4},
        {"pm10": 0.3, "ozone": 0.02, "no2": 0.1},
        {"temperature": 0.9},
        {"precision": 0.5, "recall": 0.5},
    ],
)
def test_measurements_are_no_classes(prediction):
    assert interpret(prediction, JSON_MEDIA_TYPE) == OtherData(prediction)
    assert interpret([prediction], JSON_MEDIA_TYPE) == OtherData([prediction])


@pytest.mark.parametrize("name", ["probabilities", "top5_prediction", "scores", "classes"])
def test_numbers_under_a_name_for_probabilities_are_classes(name):
    assert isinstance(interpret({name: {"cat": 0.9, "dog": 0.7}}, JSON_MEDIA_TYPE), Classification)


def test_numbers_are_what_is_said_by_hand():
    numbers: Json = {"cat": 0.9, "dog": 0.7}
    assert isinstance(
        interpret(numbers, JSON_MEDIA_TYPE, FieldMap.parse(["numbers=classes"])), Classification
    )
    shares: Json = {"forest": 0.25, "water": 0.75}
    assert interpret(shares, JSON_MEDIA_TYPE, FieldMap.parse(["numbers=data"])) == OtherData(shares)


def test_a_place_that_is_null_does_not_make_classes_of_detections():
    placed: Json = [{"label": "cat", "score": 0.9, "box": [1, 2, 30, 40]}]
    unplaced: Json = [{"label": "none", "score": 0.9, "box": None}]
    for meaning in all_read([placed, unplaced, []]):
        assert isinstance(meaning, Detections)


def test_nothing_found_by_a_classifier_is_no_detection():
    labelled: Json = [{"label": "cat", "score": 0.9}]
    assert all_read([labelled, []])[1] == Classification(())


def test_the_order_is_what_is_said_by_hand():
    prediction: Json = [{"label": "cat", "score": 0.5, "bbox": [10, 20, 100, 200]}]
    for order, box in (
        ("xyxy", Box(10, 20, 100, 200)),
        ("xywh", Box(10, 20, 110, 220)),
        ("cxcywh", Box(-40, -80, 60, 120)),
        ("xxyy", Box(10, 100, 20, 200)),
    ):
        meaning = interpret(
            prediction, JSON_MEDIA_TYPE, FieldMap.parse([f"format={order} unit=pixels"])
        )
        assert isinstance(meaning, Detections)
        assert meaning.detections[0].box == box


def test_sides_by_name_stay_what_they_are_called_whatever_is_said():
    prediction: Json = [{"label": "cat", "score": 0.5, "x1": 10, "y1": 20, "x2": 100, "y2": 200}]
    meaning = interpret(prediction, JSON_MEDIA_TYPE, FieldMap.parse(["format=xywh"]))
    assert isinstance(meaning, Detections)
    assert meaning.detections[0].box == Box(10, 20, 100, 200)


def test_metres_are_no_degrees():
    def collection(*position: float) -> Json:
        return {"type": "Point", "coordinates": [*position]}

    near, far = collection(8.5, 47.4), collection(456789.1, 5432100.2)
    for meaning in all_read([near, far]):
        assert isinstance(meaning, FeatureCollection)
        assert not meaning.in_degrees
    (alone,) = all_read([near])
    assert isinstance(alone, FeatureCollection)
    assert alone.in_degrees
    polygon: Json = {"type": "Polygon", "coordinates": [[[0, 0], [0, 91], [1, 1], [0, 0]]]}
    assert decided([polygon]).value_of("degrees") == "no"


def test_what_a_run_keeps_is_what_is_read_back():
    predictions = as_predictions("xywh", [(700, 500, 100, 100), (10, 20, 300, 200)])
    reading = decided(predictions, (WIDE, HIGH))
    assert parse_prediction_format(reading.as_json()) == reading


@pytest.mark.parametrize(
    "kept",
    [
        None,
        3,
        {},
        {"version": 99, "answers": {}, "predictions": 3},
        {
            "version": 1,
            "answers": {"list": {"is": "sideways", "how": "evidence"}},
            "predictions": 3,
        },
        {"version": 1, "answers": {"list": 3}, "predictions": 3},
        {"version": 1, "answers": [], "predictions": 3},
    ],
)
def test_what_nobody_understands_is_decided_again(kept):
    assert parse_prediction_format(kept) is None


def test_questions_of_a_later_version_are_passed_over():
    kept: Json = {
        "version": 1,
        "predictions": 3,
        "format": "of the future",
        "answers": {"depth": {"is": "near"}, "list": {"is": "xywh", "how": "evidence"}},
    }
    reading = parse_prediction_format(kept)
    assert reading is not None
    assert (reading.value_of("list"), reading.known_format, [*reading.choices]) == (
        "xywh",
        None,
        ["list"],
    )
