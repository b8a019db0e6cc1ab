import contextlib
import io
import json

import pytest
from gallery import DETECTED, NASTY, OUTLINE, PREDICTIONS
from pycocotools.coco import COCO

from batchinfer.sinks import export


def prediction(key):
    return PREDICTIONS.get(key, ["one thing"])


@pytest.fixture(scope="module")
def path(hung, tmp_path_factory):
    path = tmp_path_factory.mktemp("coco") / "instances.json"
    assert export(hung.book(), path, "coco") == sum(map(len, map(prediction, DETECTED)))
    return path


@pytest.fixture(scope="module")
def coco(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def found(coco, hung, key):
    """(Label, score, bbox) of each annotation of a picture."""
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[hung.position(key)]))
    return [
        (coco.cats[one["category_id"]]["name"], one["score"], one["bbox"]) for one in annotations
    ]


def test_pycocotools_reads_it(coco, hung):
    assert [image["file_name"] for image in coco.imgs.values()] == list(DETECTED)
    assert found(coco, hung, "site-1/bear.jpg") == [
        ("bear", 0.9, [64, 48, 256, 192]),
        ("dog", 0.25, [0, 0, 64, 48]),
    ]
    assert coco.imgs[1] == {"id": 1, "file_name": "site-1/bear.jpg", "width": 640, "height": 480}
    assert min(coco.cats) == 1


def test_a_photograph_that_lies_on_its_side_is_upright(coco, hung):
    position = hung.position("site-1/turned.jpg")
    assert (coco.imgs[position]["width"], coco.imgs[position]["height"]) == (300, 400)
    assert found(coco, hung, "site-1/turned.jpg") == [("bear", 0.5, [30, 40, 120, 160])]


def test_what_was_measured_in_the_stored_pixels_is_turned(hung, tmp_path):
    export(hung.book(boxes="stored"), tmp_path / "x.json", "coco")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "x.json"))
    # x is 300 less the old y, y is the old x
    assert found(coco, hung, "site-1/turned.jpg") == [("bear", 0.5, [100, 30, 160, 120])]
    assert found(coco, hung, "site-2/relative.png") == [("dog", 0.75, [50, 50, 100, 50])]


def test_fractions_become_pixels(coco, hung):
    assert found(coco, hung, "site-2/relative.png") == [("dog", 0.75, [50, 50, 100, 50])]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_an_outline_is_a_segmentation_of_its_area(coco, hung):
    outlined, boxed = coco.loadAnns(coco.getAnnIds(imgIds=[hung.position("site-2/outlined.png")]))
    x, y = OUTLINE["x"], OUTLINE["y"]
    assert outlined["segmentation"] == [[x[0], y[0], x[1], y[1], x[2], y[2]]]
    assert outlined["area"] == 100 * 80 / 2
    assert coco.annToMask(outlined).sum() == pytest.approx(4000, rel=0.03)
    assert (boxed["segmentation"], boxed["area"]) == ([], 100 * 50)


def test_a_picture_with_nothing_on_it_is_one_without_annotations(coco, hung):
    assert found(coco, hung, "nothing.jpg") == []
    assert hung.position("nothing.jpg") in coco.imgs


def test_its_annotations_are_results(coco):
    results = coco.loadRes([dict(one) for one in coco.dataset["annotations"]])
    assert [one["score"] for one in results.anns.values()][:2] == [0.9, 0.25]


def test_hostile_labels_are_only_labels(coco):
    assert NASTY in [category["name"] for category in coco.cats.values()]


def test_nothing_is_left_out_without_a_word(hung, path):
    export(hung.book(), io.BytesIO(), "coco")
    unreadable, undetected, unpredicted = sorted(hung.notices, key=len, reverse=True)
    assert unreadable.startswith(
        "Left out: 2 items, no readable image, skipped (first: 'broken.jpg': "
    )
    assert undetected == (
        "Left out: 6 items, no detections in the prediction (first: 'classes.jpg')."
    )
    assert unpredicted == "Left out: 2 items, without a prediction (first: 'failed.jpg')."
    assert json.loads(path.read_bytes())["info"]["left_out"] == {
        "items, no readable image, skipped": 2,
        "items, no detections in the prediction": 6,
        "items, without a prediction": 2,
    }
