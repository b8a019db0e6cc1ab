"""Predictions as models really give them, and what they mean."""

from __future__ import annotations

import pytest

from batchinfer.domain import JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE, Json, Reply
from batchinfer.predictions import (
    Box,
    Classification,
    ClassScore,
    Detection,
    Detections,
    FeatureCollection,
    OtherData,
    PlainText,
    PredictionFile,
    interpret,
)
from batchinfer.protocols.ai4os.reply_parser import parse_body, parse_output
from support.paths import FIXTURES

BOX = Box(10, 20, 110, 220)
CAT = Detection("cat", 0.9, BOX)
SHARE = Box(0.1, 0.25, 0.5, 0.75, relative=True)


def found(*things: Detection) -> Detections:
    return Detections(things)


def named(**scores: float | None) -> Classification:
    return Classification(tuple(ClassScore(name, score) for name, score in scores.items()))


@pytest.mark.parametrize(
    "file",
    ["yolo_seed.body", "yolo_seed.json", "yolo_current.body", "yolo_current.json"],
)
def test_both_formats_of_the_yolo_module_are_detections(file):
    data = (FIXTURES / "captured/2.5.2" / file).read_bytes()
    reply = parse_body(data) if file.endswith(".body") else parse_output(data, "")
    assert isinstance(reply, Reply)
    meaning = interpret(reply.prediction, reply.media_type)
    # The capture is shortened: its boxes have a first corner only.
    bear = Detection("bear", 0.93346, None)
    assert meaning == (found(bear) if "seed" in file else found(bear, bear))


def test_ultralytics_json_with_segments():
    prediction: Json = [
        {
            "name": "cat",
            "class": 15,
            "confidence": 0.9,
            "box": {"x1": 10, "y1": 20, "x2": 110.0, "y2": 220},
            "segments": {"x": [10.0, 110.0, 60.0], "y": [20.0, 20.0, 220.0]},
        }
    ]
    outline = ((10.0, 20.0), (110.0, 20.0), (60.0, 220.0))
    assert interpret(prediction, JSON_MEDIA_TYPE) == found(Detection("cat", 0.9, BOX, (outline,)))


def test_ultralytics_json_of_a_rotated_box_has_the_box_around_it():
    box = {"x1": 60, "y1": 20, "x2": 110, "y2": 120, "x3": 60, "y3": 220, "x4": 10, "y4": 120}
    outline = ((60.0, 20.0), (110.0, 120.0), (60.0, 220.0), (10.0, 120.0))
    prediction: Json = [{"name": "ship", "class": 1, "confidence": 0.5, "box": box}]
    assert interpret(prediction, JSON_MEDIA_TYPE) == found(Detection("ship", 0.5, BOX, (outline,)))


@pytest.mark.parametrize(
    "thing",
    [
        {"label": "cat", "score": 0.9, "box": {"xmin": 10, "ymin": 20, "xmax": 110, "ymax": 220}},
        {"class_name": "cat", "confidence": 0.9, "bbox": [10, 20, 110, 220]},
        {"Label": "cat", "Conf": "0.9", "bounding_box": [[10, 20], [110, 220]]},
        {"species": "cat", "prob": 0.9, "xyxy": [[10, 20, 110, 220]]},
        {"cls": ["cat"], "conf": [0.9], "xyxy": [[10.0, 20.0, 110.0, 220.0]]},
        {"category": "cat", "probability": 0.9, "xywh": [60, 120, 100, 200]},
        {"category": "cat", "probability": 0.9, "tlwh": [10, 20, 100, 200]},
        {
            "name": "cat",
            "class": 1,
            "score": 0.9,
            "left": 10,
            "top": 20,
            "width": 100,
            "height": 200,
        },
        {"name": "cat", "score": 0.9, "x": 10, "y": 20, "w": 100, "h": 200},
        {"name": "cat", "score": 0.9, "x_center": 60, "y_center": 120, "width": 100, "height": 200},
        {"name": "cat", "score": 0.9, "bndbox": {"xmin": 10, "ymin": 20, "xmax": 110, "ymax": 220}},
        {"name": "cat", "score": 0.9, "box": {"xyxy": [10, 20, 110, 220]}},
        {"label": "cat", "confidence": 0.9, "topleft": {"x": 10, "y": 20}}
        | {"bbox": {"topleft": {"x": 10, "y": 20}, "bottomright": {"x": 110, "y": 220}}},
        {"category_id": 1, "category_name": "cat", "score": 0.9, "bbox": [10, 20, 100, 200]},
        {"boundingBox": {"originX": 10, "originY": 20, "width": 100, "height": 200}}
        | {"categories": [{"score": 0.9, "categoryName": "cat", "index": 0}]},
    ],
)
def test_a_cat_by_many_names(thing):
    for prediction in ([thing], thing, {"predictions": [thing]}, {"result": {"objects": [thing]}}):
        assert interpret(prediction, JSON_MEDIA_TYPE) == found(CAT)


@pytest.mark.parametrize(
    "thing",
    [
        {"box": [0.1, 0.25, 0.5, 0.75]},
        {"xywhn": [0.3, 0.5, 0.4, 0.5]},
        {"xyxyn": [0.1, 0.25, 0.5, 0.75]},
        {"normalized_box": [0.1, 0.25, 0.5, 0.75]},
        {"box_2d": [250, 100, 750, 500]},
        {"BoundingBox": {"Left": 0.1, "Top": 0.25, "Width": 0.4, "Height": 0.5}},
        {"boundingPoly": {"normalizedVertices": [{"x": 0.1, "y": 0.25}, {"x": 0.5, "y": 0.75}]}}
        | {"box": [0.1, 0.25, 0.5, 0.75]},
    ],
)
def test_boxes_in_fractions(thing):
    meaning = interpret([{"label": "cat", **thing}], JSON_MEDIA_TYPE)
    assert isinstance(meaning, Detections)
    box = meaning.detections[0].box
    assert box is not None
    assert box.relative
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.1, 0.25, 0.5, 0.75))


def test_the_unit_is_that_of_the_whole_prediction():
    prediction = [{"label": "a", "box": [0, 0, 1, 1]}, {"label": "b", "box": [3, 4, 50, 60]}]
    meaning = interpret(prediction, JSON_MEDIA_TYPE)
    assert meaning == found(
        Detection("a", None, Box(0, 0, 1, 1)), Detection("b", None, Box(3, 4, 50, 60))
    )


def test_the_unit_may_be_said():
    thing = {"label": "a", "box": [0.0, 0.0, 1.0, 3.0], "normalized": True}
    assert interpret([thing], JSON_MEDIA_TYPE) == found(
        Detection("a", None, Box(0, 0, 1, 3, relative=True))
    )
    said = {"normalized": False, "detections": [{"label": "a", "box": [0, 0, 1, 1]}]}
    assert interpret(said, JSON_MEDIA_TYPE) == found(Detection("a", None, Box(0, 0, 1, 1)))


def test_one_box_that_ends_before_it_begins_tells_that_all_have_width_and_height():
    prediction = {"boxes": [[10, 20, 100, 200], [300, 20, 30, 40]], "labels": ["a", "b"]}
    assert interpret(prediction, JSON_MEDIA_TYPE) == found(
        Detection("a", None, Box(10, 20, 110, 220)), Detection("b", None, Box(300, 20, 330, 60))
    )


def test_xywh_whose_centre_reading_would_begin_outside_is_left_and_top():
    assert interpret(
        [{"label": "cat", "score": 0.9, "xywh": [10, 20, 100, 200]}], JSON_MEDIA_TYPE
    ) == found(CAT)


def test_roboflow_gives_centres():
    image = {"width": 640, "height": 480}
    thing = {"x": 60, "y": 120, "width": 100, "height": 200, "confidence": 0.9, "class": "cat"}
    prediction: Json = {"image": image, "predictions": [{**thing, "detection_id": "f00d"}]}
    assert interpret(prediction, JSON_MEDIA_TYPE) == found(CAT)


def test_parallel_lists():
    two = found(Detection("1", 0.9, BOX), Detection("2", None, Box(1, 2, 3, 4)))
    boxes = [[10, 20, 110, 220], [1, 2, 3, 4]]
    prediction: Json = {"boxes": boxes, "labels": [1, 2.0], "scores": [0.9, "NaN"]}
    assert interpret(prediction, JSON_MEDIA_TYPE) == two
    assert interpret([prediction], JSON_MEDIA_TYPE) == two
    empty: Json = {"boxes": [], "labels": [], "scores": []}
    assert interpret([prediction, empty], JSON_MEDIA_TYPE) == two
    assert interpret([{**prediction, "labels": ["a"]}], JSON_MEDIA_TYPE) == found(
        Detection("a", 0.9, BOX), Detection(None, None, Box(1, 2, 3, 4))
    )


def test_tensorflow_puts_the_top_first_and_serves_batches_of_one():
    prediction: Json = {
        "detection_boxes": [[[0.25, 0.1, 0.75, 0.5]]],
        "detection_scores": [[0.9]],
        "detection_classes": [[17.0]],
        "num_detections": [1.0],
    }
    assert interpret(prediction, JSON_MEDIA_TYPE) == found(Detection("17", 0.9, SHARE))


def test_rows_of_yolo_and_their_names():
    row = [10.0, 20.0, 110.0, 220.0, 0.9, 15.0]
    assert interpret([row], JSON_MEDIA_TYPE) == found(Detection("15", 0.9, BOX))
    assert interpret([[0, 0, 0, 0, 1, 0]], JSON_MEDIA_TYPE) == OtherData([[0, 0, 0, 0, 1, 0]])
    columns: Json = {"xyxy": [row[:4]], "conf": [0.9], "cls": [15.0], "names": {"15": "cat"}}
    assert interpret(columns, JSON_MEDIA_TYPE) == found(CAT)


def test_coco_results_with_a_polygon():
    prediction: Json = [
        {
            "image_id": 1,
            "category_id": 18,
            "bbox": [10, 20, 100, 200],
            "score": 0.9,
            "segmentation": [[10, 20, 12, 20, 12, 22], [10, 20, 110, 20, 110, 220]],
        }
    ]
    small = ((10.0, 20.0), (12.0, 20.0), (12.0, 22.0))
    large = ((10.0, 20.0), (110.0, 20.0), (110.0, 220.0))
    detection = Detection("18", 0.9, BOX, (small, large))
    assert interpret(prediction, JSON_MEDIA_TYPE) == found(detection)
    assert detection.largest_outline == large


def test_an_outline_in_another_unit_than_its_box_cannot_be_kept():
    thing = {"label": "cat", "score": 0.9, "box": [10, 20, 110, 220]}
    outlined = {**thing, "polygon": [[0.1, 0.1], [0.2, 0.1], [0.2, 0.3]]}
    assert interpret([outlined], JSON_MEDIA_TYPE) == found(
        Detection("cat", 0.9, BOX, unsupported_parts=("outline",))
    )


@pytest.mark.parametrize("nothing", [[], [[]], {"predictions": []}, {"detections": [], "n": 0}])
def test_a_model_that_found_nothing(nothing):
    assert interpret(nothing, JSON_MEDIA_TYPE) == Detections(())


def test_empty_columns_found_nothing():
    assert interpret({"boxes": [], "labels": [], "scores": []}, JSON_MEDIA_TYPE) == Detections(())


def test_the_image_classifiers_of_ai4os():
    link = {"links": {"Google images": "https://www.google.es/search?q=Rosa"}, "metadata": ""}
    old = [
        {"label_id": 7, "label": "Rosa", "probability": 0.2, "info": link},
        {"label_id": 1, "label": "Bellis", "probability": 0.7, "info": link},
    ]
    assert interpret({"status": "ok", "predictions": old}, JSON_MEDIA_TYPE) == named(
        Bellis=0.7, Rosa=0.2
    )
    columns = {"title": "a.jpg", "labels": ["Bellis", "Rosa"], "probabilities": [0.7, 0.2]}
    new = {**columns, "labels_info": ["", ""], "links": {"Wikipedia": ["x", "y"]}}
    assert interpret([new], JSON_MEDIA_TYPE) == named(Bellis=0.7, Rosa=0.2)
    assert interpret({"status": "OK", "predictions": new}, JSON_MEDIA_TYPE) == named(
        Bellis=0.7, Rosa=0.2
    )
    plankton: Json = {
        "filenames": ["a.jpg"],
        "pred_lab": [["Acartia", "Bosmina"]],
        "pred_prob": [[0.2, 0.7]],
        "aphia_ids": [[104108, 106265]],
    }
    assert interpret({"status": "OK", "predictions": plankton}, JSON_MEDIA_TYPE) == named(
        Bosmina=0.7, Acartia=0.2
    )


@pytest.mark.parametrize(
    "prediction",
    [
        {"file_name": "a.jpg", "top5_prediction": {"cat": 0.9, "dog": 0.1}},
        {"cat": 0.9, "dog": 0.1},
        [{"cat": 0.9}, {"dog": 0.1}],
        [{"label": "cat", "score": 0.9}, {"label": "dog", "score": 0.1}],
        [{"name": "dog", "class": 2, "confidence": 0.1}, {"name": "cat", "confidence": 0.9}],
        [[["n01", "cat", 0.9], ["n02", "dog", 0.1]]],
        [["dog", 0.1], ["cat", 0.9]],
        {"predicted_class": "cat", "confidence": 0.9, "probabilities": {"dog": 0.1, "cat": 0.9}},
    ],
)
def test_classes_the_most_probable_first(prediction):
    assert interpret(prediction, JSON_MEDIA_TYPE) == named(cat=0.9, dog=0.1)


def test_a_class_alone_with_or_without_a_score():
    assert interpret({"label": "healthy"}, JSON_MEDIA_TYPE) == named(healthy=None)
    assert interpret({"class": 3.0, "confidence": "Infinity"}, JSON_MEDIA_TYPE) == Classification(
        (ClassScore("3"),)
    )
    assert interpret({"a": "NaN", "b": 1.0}, JSON_MEDIA_TYPE) == named(b=1.0, a=None)
    assert interpret({"a": "NaN"}, JSON_MEDIA_TYPE) == OtherData({"a": "NaN"})
    assert interpret({"sick": 7.5, "healthy": 92.5}, JSON_MEDIA_TYPE) == named(
        healthy=92.5, sick=7.5
    )


def test_classes_of_several_pictures_are_not_mixed():
    frames = [{"cat": 0.9, "dog": 0.1}, {"cat": 0.2, "dog": 0.8}]
    assert interpret(frames, JSON_MEDIA_TYPE) == OtherData(frames)


@pytest.mark.parametrize(
    "prediction",
    [
        None,
        3,
        True,
        {},
        {"score": 0.7},
        {"errors": []},
        {"width": 0.5, "height": 0.2},
        {"location": {"lat": 47.0, "lon": 8.0}},
        {"team": "x", "points": 3},
        {"size": 3, "sha256": "abc"},
        {"name": "model", "version": "1"},
        [1, 2, 3],
        [[0.1, 0.2], [0.3, 0.4]],
        [{"a": 1}, 2],
    ],
)
def test_what_nobody_can_tell_is_data(prediction):
    assert interpret(prediction, JSON_MEDIA_TYPE) == OtherData(prediction)


def test_words():
    assert interpret("a cat", TEXT_MEDIA_TYPE) == PlainText("a cat")
    assert interpret("a cat", JSON_MEDIA_TYPE) == PlainText("a cat")
    whisper = {"text": "hello", "segments": [{"id": 0, "text": "hello"}], "language": "en"}
    assert interpret(whisper, JSON_MEDIA_TYPE) == PlainText("hello")
    assert interpret([{"generated_text": "a cat"}], JSON_MEDIA_TYPE) == PlainText("a cat")


def test_files_and_what_has_no_reply():
    assert interpret("outputs/3-1.png", "image/png") == PredictionFile(
        "outputs/3-1.png", "image/png"
    )
    assert interpret(None, None) == OtherData(None)


def test_geojson():
    point = {"type": "Point", "coordinates": [8.5, 47.4]}
    feature = {"type": "Feature", "properties": {"n": 1}, "geometry": point}
    collection: Json = {"type": "FeatureCollection", "features": [feature], "crs": None}
    assert interpret(collection, JSON_MEDIA_TYPE) == FeatureCollection(collection)
    bare = {"type": "FeatureCollection", "features": [feature]}
    assert interpret(feature, JSON_MEDIA_TYPE) == FeatureCollection(bare)
    assert interpret([feature], JSON_MEDIA_TYPE) == FeatureCollection(bare)
    assert interpret({"result": feature}, JSON_MEDIA_TYPE) == FeatureCollection(bare)
    alone = {"type": "Feature", "properties": {}, "geometry": point}
    assert interpret(point, JSON_MEDIA_TYPE) == FeatureCollection(
        {"type": "FeatureCollection", "features": [alone]}
    )
    assert interpret({"type": ["Point"]}, JSON_MEDIA_TYPE) == OtherData({"type": ["Point"]})


def test_numbers_that_are_none():
    huge = 10**5000
    assert interpret(
        [{"label": huge, "score": huge, "box": [0, 0, huge, 1]}], JSON_MEDIA_TYPE
    ) == found(Detection(None, None, None))
    far: Json = [{"label": "a", "xywh": [1e308, 0, 1e308, 5], "score": float("nan")}]
    assert interpret([{"label": "a", "tlwh": [1.5e308, 0, 1e308, 5]}], JSON_MEDIA_TYPE) == found(
        Detection("a")
    )
    assert isinstance(interpret(far, JSON_MEDIA_TYPE), Detections)


def test_boxes_that_are_things_with_labels():
    thing = {"label": "cat", "score": 0.9, "x1": 10, "y1": 20, "x2": 110, "y2": 220}
    assert interpret({"boxes": [thing]}, JSON_MEDIA_TYPE) == found(CAT)
    assert interpret({"boxes": [thing, thing], "n": 2}, JSON_MEDIA_TYPE) == found(CAT, CAT)


def test_something_comes_before_nothing():
    thing = {"label": "cat", "score": 0.9, "box": [10, 20, 110, 220]}
    assert interpret({"predictions": [], "results": [thing]}, JSON_MEDIA_TYPE) == found(CAT)
    assert interpret({"predictions": [], "frames": [[thing]]}, JSON_MEDIA_TYPE) == found(CAT)


def test_a_mask_of_pixels_is_no_outline():
    mask = [[0, 1] * 16] * 16
    thing = {"label": "cat", "score": 0.9, "mask": mask}
    masked = found(Detection("cat", 0.9, unsupported_parts=("mask",)))
    assert interpret([thing], JSON_MEDIA_TYPE) == masked
    assert interpret([{**thing, "segmentation": mask}], JSON_MEDIA_TYPE) == masked


def test_a_text_with_a_verdict_is_classified():
    verdict = {"text": "I like it", "label": "positive", "score": 0.9}
    assert interpret(verdict, JSON_MEDIA_TYPE) == named(positive=0.9)


def test_a_box_nested_deeply_is_none():
    lists: Json = [1, 2, 3, 4]
    dicts: Json = {"x1": 1}
    for _ in range(100_000):
        lists, dicts = [lists], {"box": dicts}
    for deep in (lists, dicts):
        assert interpret([{"label": "cat", "box": deep}], JSON_MEDIA_TYPE) == found(
            Detection("cat")
        )
    for deep in (lists, dicts):
        assert isinstance(
            interpret({"a": deep, "label": deep}, JSON_MEDIA_TYPE), OtherData | Detections
        )


def test_deep_nesting_is_data():
    deep: Json = [{"label": "cat", "box": [10, 20, 110, 220]}]
    for _ in range(100_000):
        deep = [deep]
    assert isinstance(interpret(deep, JSON_MEDIA_TYPE), OtherData)
