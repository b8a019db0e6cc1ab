"""Masks, outlines and keypoints: all that a model says of a thing's place is kept, or named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.domain import JSON_MEDIA_TYPE, Json
from batchinfer.predictions import Box, Detection, Detections, Keypoint, Mask, interpret
from batchinfer.predictions.masks import mask_bounds, parse_mask

coding = pytest.importorskip("pycocotools.mask")

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def only(prediction: Json) -> Detection:
    meaning = interpret(prediction, JSON_MEDIA_TYPE)
    assert isinstance(meaning, Detections)
    (one,) = meaning.detections
    return one


@settings(deadline=None)
@given(size=SIZES, seed=st.integers(0, 999), share=st.floats(0, 1))
def test_a_compressed_mask_has_the_area_and_extent_that_coco_says(size, seed, share):
    pixels = np.asfortranarray(np.random.default_rng(seed).random(size) < share, dtype=np.uint8)
    encoded = coding.encode(pixels)
    found = parse_mask({"size": [*size], "counts": encoded["counts"].decode()})
    assert found is not None
    assert found.area == int(coding.area(encoded))
    left, top, width, height = coding.toBbox(encoded)
    if found.area:
        assert mask_bounds(found) == (left, top, left + width, top + height)
    else:
        assert mask_bounds(found) is None


@settings(deadline=None)
@given(size=SIZES, seed=st.integers(0, 999))
def test_an_uncompressed_mask_is_the_same(size, seed):
    pixels = np.random.default_rng(seed).integers(0, 2, size)
    flat, runs, last = pixels.flatten(order="F"), [0], 0
    for value in flat:
        if value != last:
            runs.append(0)
            last = value
        runs[-1] += 1
    found = parse_mask({"size": [*size], "counts": runs})
    assert found == Mask(*size, tuple(runs), int(pixels.sum()))


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        {},
        {"size": [2, 2]},
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": [5, -1]},
        {"size": [2, 2], "counts": "PPYo1"},
        {"size": [2, 2], "counts": "\x00"},
        {"size": [2, 2], "counts": "o" * 99},
        {"size": [0, 2], "counts": []},
        {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": ["2", 2], "counts": [4]},
        {"size": [2, 2], "counts": [1.0, 3.0]},
        {"size": [2, 2], "counts": [True, 3]},
    ],
)
def test_what_is_no_mask(value):
    assert parse_mask(value) is None


@given(st.text(max_size=60), SIZES)
def test_any_text_is_a_mask_or_none(text, size):
    found = parse_mask({"size": [*size], "counts": text})
    assert found is None or 0 <= found.area <= size[0] * size[1]


def test_a_mask_alone_has_a_box_around_it():
    runs = [9, 2, 6, 2, 45]  # rows 1 and 2 of columns 1 and 2
    one = only([{"label": "cat", "score": 0.9, "mask": {"size": [8, 8], "counts": runs}}])
    assert one.mask == Mask(8, 8, (9, 2, 6, 2, 45), 4)
    assert one.box == Box(1, 1, 3, 3)


@pytest.mark.parametrize(
    "part",
    [
        {"mask": [[0, 1] * 16] * 16},
        {"segmentation": {"size": [2, 2], "counts": "PPYo1"}},
        {"mask": "iVBORw0KGgoAAAANSUhEUgAA"},
        {"rle_mask": {"width": 3, "rows": [1, 2]}},
    ],
)
def test_a_mask_that_cannot_be_read_is_named(part):
    one = only(
        [{"label": "cat", "score": 0.9, "box": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}, **part}]
    )
    assert (one.box, one.mask, one.unsupported_parts) == (Box(1, 2, 30, 40), None, ("mask",))


@pytest.mark.parametrize(
    "given_as",
    [
        {"segmentation": [[1, 1, 9, 1, 9, 9], [20, 20, 30, 20, 30, 30, 20, 30]]},
        {"polygons": [[[1, 1], [9, 1], [9, 9]], [[20, 20], [30, 20], [30, 30], [20, 30]]]},
        {
            "segments": [
                {"x": [1, 9, 9], "y": [1, 1, 9]},
                {"x": [20, 30, 30, 20], "y": [20, 20, 30, 30]},
            ]
        },
        {
            "contours": [
                [[[1, 1]], [[9, 1]], [[9, 9]]],
                [[[20, 20]], [[30, 20]], [[30, 30]], [[20, 30]]],
            ]
        },
    ],
)
def test_every_outline_of_a_thing_is_kept_in_its_order(given_as):
    one = only([{"label": "cat", "score": 0.9, **given_as}])
    assert one.outlines == (
        ((1.0, 1.0), (9.0, 1.0), (9.0, 9.0)),
        ((20.0, 20.0), (30.0, 20.0), (30.0, 30.0), (20.0, 30.0)),
    )
    assert one.largest_outline == one.outlines[1]
    assert one.box == Box(1, 1, 30, 30)


@pytest.mark.parametrize(
    ("keypoints", "found"),
    [
        ([10, 20, 2, 30, 40, 0], (Keypoint(10, 20, 2), Keypoint(30, 40, 0))),
        ([[10, 20], [30, 40]], (Keypoint(10, 20), Keypoint(30, 40))),
        ([[10, 20, 0.5], [30, 40, 0.25]], (Keypoint(10, 20, 0.5), Keypoint(30, 40, 0.25))),
        (
            {"x": [10, 30], "y": [20, 40], "visible": [0.5, 0.25]},
            (Keypoint(10, 20, 0.5), Keypoint(30, 40, 0.25)),
        ),
        ([{"x": 10, "y": 20, "name": "nose"}], (Keypoint(10, 20),)),
    ],
)
def test_keypoints_are_kept(keypoints, found):
    thing = {"label": "cat", "score": 0.9, "box": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}
    assert only([{**thing, "keypoints": keypoints}]).keypoints == found


def test_keypoints_that_nobody_knows_are_named():
    thing = {"label": "cat", "score": 0.9, "box": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}
    assert only([{**thing, "keypoints": {"nose": [1, 2]}}]).unsupported_parts == ("keypoint",)


def test_parallel_lists_have_masks_and_keypoints_too():
    runs = [9, 2, 6, 2, 45]
    prediction: Json = {
        "bboxes": [[1, 1, 30, 30], [2, 2, 40, 40]],
        "labels": [1, 2],
        "scores": [0.5, 0.25],
        "masks": [{"size": [8, 8], "counts": runs}, [[0] * 9] * 9],
        "keypoints": [[[1, 2]], [[3, 4]]],
    }
    meaning = interpret(prediction, JSON_MEDIA_TYPE)
    assert isinstance(meaning, Detections)
    first, second = meaning.detections
    assert (first.mask, first.unsupported_parts) == (Mask(8, 8, tuple(runs), 4), ())
    assert (second.mask, second.unsupported_parts) == (None, ("mask",))
    assert (first.keypoints, second.keypoints) == ((Keypoint(1, 2),), (Keypoint(3, 4),))
