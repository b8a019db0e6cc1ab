"""`--map`: where things stand, said by hand."""

from __future__ import annotations

import pytest

from batchinfer.domain import JSON_MEDIA_TYPE, Json
from batchinfer.errors import ConfigError
from batchinfer.predictions import (
    Box,
    Classification,
    ClassScore,
    Detection,
    Detections,
    FieldMap,
    OtherData,
    PlainText,
    interpret,
)


def by_hand(prediction: Json, *texts: str):
    return interpret(prediction, JSON_MEDIA_TYPE, FieldMap.parse(texts))


def test_several_in_one_text_and_several_texts():
    fields = FieldMap.parse(["boxes=a[].b label=a[].c", "format=xywh unit=relative"])
    assert fields == FieldMap(
        boxes=("a", None, "b"), label=("a", None, "c"), format="xywh", relative=True
    )


def test_a_path_may_begin_with_a_list_and_hold_any_name():
    fields = FieldMap.parse(['label=[][2]."a b=c.d".e-f'])
    assert fields.label == (None, 2, "a b=c.d", "e-f")


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["boxes"], "`map=boxes` is not made of name=path"),
        (["boxes="], "not made of name=path"),
        (["box=a"], "`map` has no name box: use boxes, outline, label"),
        (["boxes=a..b"], "not a path: error at character 2"),
        (["boxes=.a"], "not a path: error at character 1"),
        (["boxes=a[x]"], "not a path: error at character 2"),
        (["boxes=a", "boxes=b"], "says boxes twice"),
        (["boxes=a format=ltrb"], "choose xyxy or xywh or cxcywh or yxyx"),
        (["boxes=a unit=cm"], "choose pixels or relative"),
        (["score=a"], "does not say where anything is"),
        ([], "does not say where anything is"),
        (["\x1b[31m"], "`map=\\x1b[31m` is not made"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(texts, says):
    with pytest.raises(ConfigError) as error:
        FieldMap.parse(texts)
    assert says in str(error.value)


def test_a_label_above_speaks_of_all_below():
    prediction: Json = {"frames": [{"kind": "cat", "at": [[1, 2, 3, 4], [5, 6, 7, 8]]}]}
    assert by_hand(prediction, "boxes=frames[].at[] label=frames[].kind") == Detections(
        (Detection("cat", None, Box(1, 2, 3, 4)), Detection("cat", None, Box(5, 6, 7, 8)))
    )


def test_parallel_lists_go_together_by_place_also_where_one_is_shorter():
    prediction: Json = {"at": [[1, 2, 3, 4], [5, 6, 7, 8]], "what": [7]}
    assert by_hand(prediction, "boxes=at[] label=what[]") == Detections(
        (Detection("7", None, Box(1, 2, 3, 4)), Detection(None, None, Box(5, 6, 7, 8)))
    )


def test_dicts_name_their_sides_and_the_format_tells_what_x_and_y_are():
    prediction: Json = [{"x": 50, "y": 60, "width": 20, "height": 10}]
    assert by_hand(prediction, "boxes=[]") == Detections((Detection(box=Box(50, 60, 70, 70)),))
    assert by_hand(prediction, "boxes=[] format=cxcywh") == Detections(
        (Detection(box=Box(40, 55, 60, 65)),)
    )


def test_the_unit_is_what_is_said():
    assert by_hand([[0, 0, 1, 1]], "boxes=[] unit=pixels") == Detections(
        (Detection(box=Box(0, 0, 1, 1)),)
    )
    assert by_hand([[0, 0, 5, 5]], "boxes=[] unit=relative") == Detections(
        (Detection(box=Box(0, 0, 5, 5, relative=True)),)
    )


def test_outlines_without_boxes():
    triangle = ((1.0, 1.0), (9.0, 1.0), (9.0, 5.0))
    prediction: Json = {"shapes": [[[1, 1], [9, 1], [9, 5]]]}
    assert by_hand(prediction, "outline=shapes[]") == Detections(
        (Detection(box=Box(1, 1, 9, 5), outlines=(triangle,)),)
    )


def test_labels_without_boxes_are_classes():
    prediction: Json = {"tags": [{"t": "a", "p": 0.1}, {"t": "b", "p": 0.9}]}
    assert by_hand(prediction, "label=tags[].t score=tags[].p") == Classification(
        (ClassScore("b", 0.9), ClassScore("a", 0.1))
    )


def test_text():
    assert by_hand({"out": [{"say": "hello"}]}, "text=out[0].say") == PlainText("hello")
    assert by_hand({"out": 3}, "text=out") == OtherData({"out": 3})


def test_a_path_to_nothing_means_that_nothing_was_found():
    assert by_hand({"other": 1}, "boxes=result.objects[].bbox") == Detections(())
    assert by_hand([1, 2], "boxes=[5].bbox") == Detections(())


def test_text_and_files_are_not_mapped():
    assert interpret("text", "text/plain", FieldMap.parse(["boxes=a"])) == PlainText("text")
