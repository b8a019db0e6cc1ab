"""Whatever a model returns: reading it never raises, and what was written is what is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import JSON_MEDIA_TYPE, Json
from batchinfer.predictions import (
    Box,
    Classification,
    Detection,
    Detections,
    FieldMap,
    Interpretation,
    interpret,
)
from batchinfer.predictions.box_formats import BOX_KEY_FORMATS
from batchinfer.predictions.detections import LABEL_KEYS, SCORE_KEYS
from batchinfer.predictions.interpreter import WRAPPER_KEYS
from batchinfer.predictions.outlines import OUTLINE_KEYS

SIDES = ("x", "y", "w", "h", "x1", "y1", "x2", "y2", "left", "top", "width", "height", "normalized")
KEYS = (
    st.sampled_from(
        [*BOX_KEY_FORMATS, *OUTLINE_KEYS, *WRAPPER_KEYS, *LABEL_KEYS, *SCORE_KEYS, *SIDES]
    )
    | st.text()
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.just(10**400)
    | st.sampled_from(["NaN", "Infinity", "-Infinity", "0.5", "\udc80"])
)
ANY: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(KEYS, inner, max_size=6)
        | st.lists(st.floats(-1e308, 1e308) | st.integers(0, 1000), min_size=4, max_size=8)
    ),
    max_leaves=40,
)
PLACES = st.builds(
    lambda left, top, width, height: Box(left, top, left + width, top + height),
    *(st.integers(0, 4000).map(float), st.integers(0, 4000).map(float)),
    *(st.integers(2, 4000).map(lambda size: size * 2.0),) * 2,
)
FOUND = st.lists(
    st.builds(
        Detection,
        label=st.text(min_size=1),
        score=st.floats(0, 1),
        box=PLACES,
    ),
    min_size=1,
    max_size=8,
)


def sound(meaning: Interpretation) -> bool:
    match meaning:
        case Detections(found):
            return all(_sound(one) for one in found)
        case Classification(found):
            scores = [math.inf if one.score is None else -one.score for one in found]
            return scores == sorted(scores) and all(isinstance(one.label, str) for one in found)
        case _:
            return True


def _sound(one: Detection) -> bool:
    box = one.box
    points = [part for outline in one.outlines for point in outline for part in point]
    finite = box is None or all(
        map(math.isfinite, (box.left, box.top, box.right, box.bottom, *points))
    )
    ordered = box is None or (box.left <= box.right and box.top <= box.bottom)
    scored = one.score is None or math.isfinite(one.score)
    return finite and ordered and scored and (one.label is None or isinstance(one.label, str))


@given(ANY)
def test_any_json_has_a_sound_meaning(prediction):
    assert sound(interpret(prediction, JSON_MEDIA_TYPE))


@given(ANY)
def test_any_json_has_a_sound_meaning_by_hand(prediction):
    fields = FieldMap.parse(["boxes=[].box label=[].label score=[].score outline=[].points"])
    assert sound(interpret(prediction, JSON_MEDIA_TYPE, fields))
    assert sound(interpret(prediction, JSON_MEDIA_TYPE, FieldMap.parse(["label=[][] score=[][]"])))


def corners(box: Box) -> list[float]:
    return [box.left, box.top, box.right, box.bottom]


def sized(box: Box) -> list[float]:
    return [box.left, box.top, box.width, box.height]


def centred(box: Box) -> list[float]:
    return [box.left + box.width / 2, box.top + box.height / 2, box.width, box.height]


def boxes(found: Sequence[Detection]) -> list[Box]:
    return [one.box for one in found if one.box is not None]


def each(write: Callable[[Box], dict[str, Json]]) -> Callable[[Sequence[Detection]], Json]:
    def written(found: Sequence[Detection]) -> Json:
        pairs = zip(found, boxes(found), strict=True)
        return [{"label": one.label, "score": one.score, **write(box)} for one, box in pairs]

    return written


def columns(found: Sequence[Detection]) -> Json:
    return {
        "boxes": [corners(box) for box in boxes(found)],
        "labels": [one.label for one in found],
        "scores": [one.score for one in found],
    }


FORMATS: dict[str, Callable[[Sequence[Detection]], Json]] = {
    "ultralytics": each(
        lambda box: {"box": dict(zip(("x1", "y1", "x2", "y2"), corners(box), strict=True))}
    ),
    "hugging face": each(
        lambda box: {"box": dict(zip(("xmin", "ymin", "xmax", "ymax"), corners(box), strict=True))}
    ),
    "corners in a list": each(lambda box: {"bbox": corners(box)}),
    "xyxy": each(lambda box: {"xyxy": corners(box)}),
    "xywh": each(lambda box: {"xywh": centred(box)}),
    "cxcywh": each(lambda box: {"cxcywh": centred(box)}),
    "tlwh": each(lambda box: {"tlwh": sized(box)}),
    "coco": each(lambda box: {"category_id": 1, "bbox": sized(box)}),
    "flat": each(
        lambda box: dict(zip(("left", "top", "width", "height"), sized(box), strict=True))
    ),
    "columns": columns,
    "wrapped": lambda found: {"status": "ok", "predictions": {"detections": columns(found)}},
}


@pytest.mark.parametrize("name", FORMATS)
@given(found=FOUND)
def test_what_is_written_in_a_documented_format_is_read_back(name, found):
    assert interpret(FORMATS[name](found), JSON_MEDIA_TYPE) == Detections(tuple(found))


@given(found=FOUND)
def test_by_hand_every_format_is_read_back(found):
    for form, write in (("xyxy", corners), ("xywh", sized), ("cxcywh", centred)):
        things = [
            {"what": {"it is": one.label}, "p": one.score, "where": write(box)}
            for one, box in zip(found, boxes(found), strict=True)
        ]
        fields = FieldMap.parse(
            [f'boxes=a[0][].where label=a[0][].what."it is" score=a[0][].p format={form}']
        )
        assert interpret({"a": [things]}, JSON_MEDIA_TYPE, fields) == Detections(tuple(found))
