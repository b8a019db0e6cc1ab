"""Formats documented in public: for each row of the table a sample made after its source."""

from __future__ import annotations

import pytest

from batchinfer.domain import JSON_MEDIA_TYPE, Json
from batchinfer.predictions import (
    Box,
    Classification,
    Detections,
    decide_prediction_format,
    interpret,
    make_evidence,
)
from batchinfer.predictions.signatures import FORMAT_SIGNATURES, matching_formats

PIXELS = (40.0, 30.0, 200.0, 90.0)
PARTS = (0.04, 0.03, 0.2, 0.09)
CORNERS = dict(zip(("x1", "y1", "x2", "y2"), PIXELS, strict=True))
SIZED = [40, 30, 160, 60]

FORMATS: dict[str, tuple[Json, tuple[float, float, float, float], str | None]] = {
    "MegaDetector": (
        {
            "file": "a.jpg",
            "detections": [{"category": "2", "conf": 0.8, "bbox": [0.04, 0.03, 0.16, 0.06]}],
            "detection_categories": {"1": "animal", "2": "person"},
        },
        PARTS,
        "person",
    ),
    "COCO results": (
        [{"image_id": 7, "category_id": 3, "bbox": SIZED, "score": 0.8}],
        PIXELS,
        "3",
    ),
    "Segment Anything": (
        [{"segmentation": [[1, 1, 9, 1, 9, 9]], "bbox": SIZED, "predicted_iou": 0.8, "area": 9}],
        PIXELS,
        None,
    ),
    "Roboflow": (
        {
            "predictions": [{"x": 120, "y": 60, "width": 160, "height": 60, "confidence": 0.8}],
            "image": {"width": 1000, "height": 1000},
        },
        PIXELS,
        None,
    ),
    "Roboflow (a detection)": (
        [
            {"x": 120, "y": 60, "width": 160, "height": 60, "confidence": 0.8, "label": "cat"}
            | {"detection_id": "beef"}
        ],
        PIXELS,
        "cat",
    ),
    "Roboflow (its names)": (
        [{"x": 120, "y": 60, "width": 160, "height": 60, "confidence": 0.8, "class": "cat"}],
        PIXELS,
        "cat",
    ),
    "Qwen-VL": ([{"bbox_2d": [40, 30, 200, 90], "label": "cat"}], PIXELS, "cat"),
    "Gemini": ([{"box_2d": [30, 40, 90, 200], "label": "cat"}], PARTS, "cat"),
    "Google Vision": (
        {
            "responses": [
                {
                    "localizedObjectAnnotations": [
                        {
                            "name": "cat",
                            "score": 0.8,
                            "boundingPoly": {
                                "normalizedVertices": [
                                    {"x": 0.04, "y": 0.03},
                                    {"x": 0.2, "y": 0.03},
                                    {"x": 0.2, "y": 0.09},
                                    {"x": 0.04, "y": 0.09},
                                ]
                            },
                        }
                    ]
                }
            ]
        },
        PARTS,
        "cat",
    ),
    "Vertex AI AutoML": (
        {"displayNames": ["cat"], "confidences": [0.8], "bboxes": [[0.04, 0.2, 0.03, 0.09]]},
        PARTS,
        "cat",
    ),
    "CVAT nuclio": (
        [{"confidence": "0.8", "label": "cat", "points": [*PIXELS], "type": "rectangle"}],
        PIXELS,
        "cat",
    ),
    "CVAT nuclio (masks)": (
        [
            {
                "label": "cat",
                "confidence": "0.8",
                "type": "mask",
                "mask": [*[1] * 9600, 40, 30, 199, 89],
            }
        ],
        PIXELS,
        "cat",
    ),
    "AWS Rekognition": (
        {
            "Labels": [
                {
                    "Name": "cat",
                    "Confidence": 98.0,
                    "Instances": [
                        {
                            "BoundingBox": {
                                "Left": 0.04,
                                "Top": 0.03,
                                "Width": 0.16,
                                "Height": 0.06,
                            },
                            "Confidence": 80.0,
                        }
                    ],
                }
            ]
        },
        PARTS,
        "cat",
    ),
    "Azure Custom Vision": (
        {
            "predictions": [
                {
                    "probability": 0.8,
                    "tagName": "cat",
                    "boundingBox": {"left": 0.04, "top": 0.03, "width": 0.16, "height": 0.06},
                }
            ]
        },
        PARTS,
        "cat",
    ),
    "Azure Vision": (
        {
            "objects": [
                {
                    "rectangle": {"x": 40, "y": 30, "w": 160, "h": 60},
                    "object": "cat",
                    "confidence": 0.8,
                }
            ]
        },
        PIXELS,
        "cat",
    ),
    "Azure Vision 4": (
        {
            "objectsResult": {
                "values": [
                    {
                        "boundingBox": {"x": 40, "y": 30, "w": 160, "h": 60},
                        "tags": [{"name": "cat", "confidence": 0.8}],
                    }
                ]
            }
        },
        PIXELS,
        "cat",
    ),
    "Ultralytics": (
        [{"name": "cat", "class": 15, "confidence": 0.8, "box": CORNERS}],
        PIXELS,
        "cat",
    ),
    "Hugging Face pipeline": (
        [
            {
                "score": 0.8,
                "label": "cat",
                "box": {"xmin": 40, "ymin": 30, "xmax": 200, "ymax": 90},
            }
        ],
        PIXELS,
        "cat",
    ),
    "Label Studio": (
        {
            "result": [
                {
                    "from_name": "label",
                    "to_name": "image",
                    "type": "rectanglelabels",
                    "score": 0.8,
                    "value": {"x": 4, "y": 3, "width": 16, "height": 6, "rectanglelabels": ["cat"]},
                }
            ]
        },
        PARTS,
        "cat",
    ),
    "OpenMMLab": (
        {"predictions": [{"labels": [15], "scores": [0.8], "bboxes": [[*PIXELS]]}]},
        PIXELS,
        "15",
    ),
    "TensorFlow": (
        {
            "detection_boxes": [[0.03, 0.04, 0.09, 0.2]],
            "detection_scores": [0.8],
            "detection_classes": [17],
        },
        PARTS,
        "17",
    ),
    "torchvision": ({"boxes": [[*PIXELS]], "labels": [17], "scores": [0.8]}, PIXELS, "17"),
    "Detectron2": (
        {"pred_boxes": [[*PIXELS]], "pred_classes": [16], "scores": [0.8]},
        PIXELS,
        "16",
    ),
    "supervision": (
        {
            "xyxy": [[*PIXELS]],
            "confidence": [0.8],
            "class_id": [1],
            "data": {"class_name": ["cat"]},
        },
        PIXELS,
        "cat",
    ),
    "Clarifai": (
        {
            "data": {
                "regions": [
                    {
                        "region_info": {
                            "bounding_box": {
                                "top_row": 0.03,
                                "left_col": 0.04,
                                "bottom_row": 0.09,
                                "right_col": 0.2,
                            }
                        },
                        "data": {"concepts": [{"name": "cat", "value": 0.8}]},
                    }
                ]
            }
        },
        PARTS,
        "cat",
    ),
    "PaddleOCR": (
        {"rec_texts": ["cat"], "rec_scores": [0.8], "rec_boxes": [[40, 30, 200, 90]]},
        PIXELS,
        "cat",
    ),
    "MediaPipe": (
        {
            "detections": [
                {
                    "boundingBox": {"originX": 40, "originY": 30, "width": 160, "height": 60},
                    "categories": [{"categoryName": "cat", "score": 0.8}],
                }
            ]
        },
        PIXELS,
        "cat",
    ),
    "Instill": (
        [
            {
                "bounding_box": {"left": 40, "top": 30, "width": 160, "height": 60},
                "category": "cat",
                "score": 0.8,
            }
        ],
        PIXELS,
        "cat",
    ),
}


def only(prediction: Json):
    meaning = interpret(prediction, JSON_MEDIA_TYPE)
    assert isinstance(meaning, Detections)
    (one,) = meaning.detections
    return one


def test_every_row_has_a_sample():
    assert FORMATS.keys() | {"BirdNET"} == FORMAT_SIGNATURES.keys()
    assert all(row.documentation.startswith("https://") for row in FORMAT_SIGNATURES.values())


@pytest.mark.parametrize("name", FORMATS)
def test_a_documented_format_is_read_as_it_is_documented(name):
    prediction, (left, top, right, bottom), label = FORMATS[name]
    assert name in matching_formats(prediction)
    one = only(prediction)
    assert one.label == label
    assert one.box is not None
    sides = (one.box.left, one.box.top, one.box.right, one.box.bottom)
    assert sides == pytest.approx((left, top, right, bottom))
    assert one.box.relative is (max(left, top, right, bottom) <= 1)
    if name not in {"Qwen-VL", "Gemini"}:
        assert one.score in {0.8, 80.0}


@pytest.mark.parametrize("name", FORMATS)
def test_the_format_is_named(name):
    reading = decide_prediction_format([make_evidence(FORMATS[name][0])])
    assert reading.known_format is not None
    assert reading.known_format.partition(" (")[0] == name.partition(" (")[0]


def test_what_is_heard_has_its_time():
    heard = {"scientific_name": "Turdus merula", "common_name": "Blackbird", "confidence": 0.8}
    prediction = [{**heard, "start": 3.0, "end": 6.0}, {**heard, "start": 6.0, "end": 9.0}]
    meaning = interpret(prediction, JSON_MEDIA_TYPE)
    assert isinstance(meaning, Detections)
    assert [(one.label, one.start, one.end) for one in meaning.detections] == [
        ("Turdus merula", 3.0, 6.0),
        ("Turdus merula", 6.0, 9.0),
    ]
    assert "BirdNET" in matching_formats(prediction)


@pytest.mark.parametrize(
    ("vertices", "box"),
    [
        ([{}, {"x": 0.5}, {"x": 0.5, "y": 0.8}, {"y": 0.8}], (0.0, 0.0, 0.5, 0.8)),
        ([{"x": 0.5}, {"x": 1}, {"x": 1, "y": 0.4}, {"x": 0.5, "y": 0.4}], (0.5, 0.0, 1.0, 0.4)),
        ([{"y": 0.5}, {"x": 0.3, "y": 0.5}, {"x": 0.3, "y": 1}, {"y": 1}], (0.0, 0.5, 0.3, 1.0)),
    ],
)
def test_a_coordinate_that_is_left_out_is_zero(vertices, box):
    found = {"name": "cat", "score": 0.8, "boundingPoly": {"normalizedVertices": vertices}}
    assert only({"localizedObjectAnnotations": [found]}).box == Box(*box, relative=True)


@pytest.mark.parametrize(
    ("given", "box"),
    [
        ({"left": 64, "width": 290, "height": 400}, (64, 0, 354, 400)),
        ({"top": 64, "width": 290, "height": 400}, (0, 64, 290, 464)),
        ({"width": 290, "height": 400}, (0, 0, 290, 400)),
        ({"xMax": 290, "yMin": 7, "yMax": 400}, (0, 7, 290, 400)),
    ],
)
def test_a_side_that_is_left_out_is_zero(given, box):
    assert only([{"bounding_box": given, "category": "cat", "score": 0.8}]).box == Box(*box)


def test_a_picture_beside_a_label_is_no_place():
    thing = {"label": "cat", "score": 0.9, "image": {"width": 640, "height": 480}}
    assert isinstance(interpret([thing], JSON_MEDIA_TYPE), Classification)


@pytest.mark.parametrize(
    ("kind", "points", "box"),
    [
        ("rectangle", [12, 13, 120, 200.5], (12, 13, 120, 200.5)),
        ("polygon", [12, 13, 120, 13, 120, 90], (12, 13, 120, 90)),
        ("polyline", [12, 13, 120, 20], (12, 13, 120, 20)),
        ("points", [12, 13, 120, 20, 30, 40], (12, 13, 120, 40)),
        ("ellipse", [50, 40, 60, 10], (40, 10, 60, 70)),
    ],
)
def test_every_shape_of_a_cvat_function_has_a_place(kind, points, box):
    shape = {"confidence": "0.93", "label": "cat", "points": points, "type": kind}
    one = only([shape])
    assert one.box == Box(*box)
    assert len(one.outlines) == (kind == "polygon")
    assert len(one.keypoints) == (3 if kind == "points" else 0)
    assert one.unsupported_parts == (("shape",) if kind in {"polyline", "ellipse"} else ())


@pytest.mark.parametrize(
    "row",
    [
        [[[1, 1], [9, 1], [9, 5], [1, 5]], "cat", 0.8],
        [[[1, 1], [9, 1], [9, 5], [1, 5]], ["cat", 0.8]],
        [[[1, 1], [9, 1], [9, 5], [1, 5]], "cat", "0.8"],
    ],
)
def test_rows_of_text_readers(row):
    meaning = interpret([row, row], JSON_MEDIA_TYPE)
    assert isinstance(meaning, Detections)
    assert [(one.label, one.score, one.box) for one in meaning.detections] == [
        ("cat", 0.8, Box(1, 1, 9, 5))
    ] * 2


@pytest.mark.parametrize(
    "where",
    [
        {"extent": [10, 20, 110, 220]},
        {"where it is": [[10, 20], [110, 220]]},
        {"hull": [[10, 20], [110, 20], [110, 220], [10, 220]]},
        {"frame": {"left": 10, "top": 20, "right": 110, "bottom": 220}},
        {
            "silhouette": {
                "vertices": [{"x": 10, "y": 20}, {"x": 110, "y": 20}, {"x": 110, "y": 220}]
            }
        },
    ],
)
def test_a_place_of_whatever_name_is_one(where):
    one = only([{"label": "cat", "score": 0.9, **where}])
    assert (one.label, one.score, one.box) == ("cat", 0.9, Box(10, 20, 110, 220))


def test_four_numbers_by_names_that_nobody_knows_are_no_class():
    one = only([{"label": "cat", "score": 0.9, "spot": {"a": 1, "b": 2, "c": 3, "d": 4}}])
    assert (one.box, one.unsupported_parts) == (None, ("place",))


@pytest.mark.parametrize(
    "beside",
    [
        {"color": [255, 0, 0, 255]},
        {"probs": [0.1, 0.2, 0.3, 0.4]},
        {"all": [0.1, 0.2, 0.3, 0.4]},
        {"embedding": [0.5, -0.2, 0.3, 0.1]},
        {"image_size": [640, 480, 3, 1]},
    ],
)
def test_four_numbers_that_say_no_place(beside):
    assert isinstance(
        interpret([{"label": "cat", "score": 0.9, **beside}], JSON_MEDIA_TYPE), Classification
    )


def test_what_is_inside_comes_before_a_label_outside():
    """SpeciesNet's answer: a label of the whole picture, and what was found on it."""
    prediction = {
        "predictions": [
            {
                "filepath": "a.jpg",
                "classifications": {"classes": ["cat"], "scores": [0.7]},
                "detections": [
                    {"category": "1", "label": "animal", "conf": 0.8, "bbox": [0.5, 0.5, 0.2, 0.2]}
                ],
                "prediction": "cat",
                "prediction_score": 0.7,
            }
        ]
    }
    one = only(prediction)
    assert one.label == "animal"
    assert one.box is not None
    assert (one.box.right, one.box.bottom) == pytest.approx((0.7, 0.7))
