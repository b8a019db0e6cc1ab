import contextlib
import io
import json
from pathlib import Path

import pytest
from PIL import Image
from pycocotools.coco import COCO

from batchinfer.exports import ExportOptions, write_export
from batchinfer.text_format import escape_undecodable
from support.books import book, result, thing, with_files
from support.gallery import DETECTED, NASTY, ODD, OUTLINE, PREDICTIONS


def prediction(key):
    return PREDICTIONS.get(key, ["one thing"])


@pytest.fixture(scope="module")
def path(hung, tmp_path_factory):
    path = tmp_path_factory.mktemp("coco") / "instances.json"
    assert write_export(hung.book(), path, "coco") == sum(map(len, map(prediction, DETECTED)))
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
    assert [image["key"] for image in coco.imgs.values()] == list(DETECTED)
    assert found(coco, hung, "site-1/bear.jpg") == [
        ("bear", 0.9, [64, 48, 256, 192]),
        ("dog", 0.25, [0, 0, 64, 48]),
    ]
    image = {"id": 1, "file_name": "0.jpg", "width": 640, "height": 480, "key": "site-1/bear.jpg"}
    assert coco.imgs[1] == image
    assert min(coco.cats) == 1


def test_a_photograph_that_lies_on_its_side_is_upright(coco, hung):
    position = hung.position("site-1/turned.jpg")
    assert (coco.imgs[position]["width"], coco.imgs[position]["height"]) == (300, 400)
    assert found(coco, hung, "site-1/turned.jpg") == [("bear", 0.5, [30, 40, 120, 160])]


def test_what_was_measured_in_the_stored_pixels_is_turned(hung, tmp_path):
    write_export(hung.book(boxes="stored"), tmp_path / "x.json", "coco")
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
    write_export(hung.book(), io.BytesIO(), "coco")
    *notices, root = hung.notices
    assert root == f"file_name of each image is its path below {Path(hung.paths[ODD]).parent}"
    unreadable, spelled, undetected, unpredicted = sorted(notices, key=len, reverse=True)
    assert unreadable.startswith(
        "Left out: 2 items, no readable image, skipped (first: 'broken.jpg': "
    )
    assert undetected == (
        "Left out: 6 items, no detections in the prediction (first: 'classes.jpg')."
    )
    assert unpredicted == "Left out: 2 items, without a prediction (first: 'failed.jpg')."
    assert spelled.startswith("Left out: 1 path, bytes that are not UTF-8 (spelled \\xNN) (first: ")
    assert json.loads(path.read_bytes())["info"]["left_out"] == {
        "paths, bytes that are not UTF-8 (spelled \\xNN)": 1,
        "items, no readable image, skipped": 2,
        "items, no detections in the prediction": 6,
        "items, without a prediction": 2,
    }


def test_programs_that_open_pictures_by_file_name_find_them(coco, path):
    root = json.loads(path.read_bytes())["info"]["images_root"]
    for image in coco.imgs.values():
        if image["key"] != ODD:
            with Image.open(f"{root}/{image['file_name']}") as picture:
                assert sorted(picture.size) == sorted((image["width"], image["height"]))


def test_file_names_can_be_keys_as_before_or_absolute(hung, tmp_path):
    for kind in ("key", "absolute"):
        write_export(hung.book(), tmp_path / kind, "coco", ExportOptions(file_names=kind))
        written = json.loads((tmp_path / kind).read_bytes())
        assert "images_root" not in written["info"]
        for image in written["images"]:
            wanted = image["key"] if kind == "key" else escape_undecodable(hung.paths[image["key"]])
            assert image["file_name"] == wanted


ODD_NAMES = ("a b", "50%23", "who?#x", "ümläut", "a:b", "back\\slash", "'q\"")


@pytest.mark.parametrize(
    ("keys", "paths", "names", "root"),
    [
        # A folder, a pattern, a list of paths: keys are paths, and stay what they are.
        (["s/a.jpg", "s/b.jpg"], ["{}/s/a.jpg", "{}/s/b.jpg"], ["s/a.jpg", "s/b.jpg"], "{}"),
        # Keys of a manifest: below the deepest folder that holds all.
        (["1", "2"], ["{}/s/a.jpg", "{}/s/t/b.jpg"], ["a.jpg", "t/b.jpg"], "{}/s"),
        (["1", "b.jpg"], ["{}/a.jpg", "{}/t/b.jpg"], ["a.jpg", "t/b.jpg"], "{}"),
        (["s/a.jpg", "b.jpg"], ["{}/s/a.jpg", "{}/t/b.jpg"], ["s/a.jpg", "t/b.jpg"], "{}"),
        # One picture twice.
        (["1", "2"], ["{}/a.jpg", "{}/a.jpg"], ["a.jpg", "a.jpg"], "{}"),
        (
            [f"{name}.jpg" for name in ODD_NAMES],
            [f"{{}}/{name}.jpg" for name in ODD_NAMES],
            [f"{name}.jpg" for name in ODD_NAMES],
            "{}",
        ),
    ],
)
def test_the_folder_of_file_names(tmp_path, keys, paths, names, root):
    paths = [path.format(tmp_path) for path in paths]
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10)).save(path)
    notices = []
    results = [result(key, [thing("bear", 0.5, 1, 2, 3, 4)]) for key in keys]
    write_export(with_files(book(results, notices), paths), tmp_path / "c.json", "coco")
    written = json.loads((tmp_path / "c.json").read_bytes())
    assert [image["file_name"] for image in written["images"]] == names
    assert written["info"]["images_root"] == root.format(tmp_path)
    assert notices == [f"file_name of each image is its path below {root.format(tmp_path)}"]
    assert all(Path(root.format(tmp_path), name).exists() for name in names)


def test_a_picture_all_of_whose_detections_are_left_out_is_no_negative(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.jpg")
    notices = []
    results = [result("a", [{"name": "bear", "confidence": 0.5, "box": [1e9, 1e9, 2e9, 2e9]}])]
    write_export(
        with_files(book(results, notices), [str(tmp_path / "a.jpg")]), tmp_path / "c.json", "coco"
    )
    assert json.loads((tmp_path / "c.json").read_bytes())["images"] == []
    assert "Left out: 1 image, whose detections all had to be left out" in "".join(notices)
