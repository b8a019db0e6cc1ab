import csv
import os
from pathlib import Path

import pytest
import yaml

from batchinfer.exports import write_export
from support.gallery import DETECTED, HOSTILE, NASTY, ODD, SIZES

EXACT = 1e-7


@pytest.fixture(scope="module")
def folder(hung, tmp_path_factory):
    folder = tmp_path_factory.mktemp("yolo") / "images" / "set"
    folder.parent.mkdir()
    assert write_export(hung.book(), folder, "yolo") == len(DETECTED)
    return folder


@pytest.fixture(scope="module")
def index(folder):
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return {row["key"].removeprefix("'"): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def names(folder):
    return yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))["names"]


def label_path(image):
    """Where Ultralytics looks for the labels of a picture."""
    above, below = str(image).rsplit("/images/", 1)
    return Path(f"{above}/labels/{below}".rsplit(".", 1)[0] + ".txt")


def lines(folder, place):
    rows = (folder / place).read_text(encoding="ascii").splitlines()
    return [tuple(map(float, row.split(" "))) for row in rows]


def test_each_picture_has_its_labels_where_ultralytics_looks(folder, index, hung):
    assert tuple(index) == DETECTED
    for key, row in index.items():
        image = folder / row["image"]
        assert os.path.realpath(image) == os.path.realpath(hung.paths[key])
        assert label_path(image) == folder / row["labels"]
        assert (folder / row["labels"]).is_file()


def test_boxes_are_fractions_of_the_upright_picture(folder, index, names):
    bear, dog = lines(folder, index["site-1/bear.jpg"]["labels"])
    assert (names[int(bear[0])], names[int(dog[0])]) == ("bear", "dog")
    assert bear[1:] == pytest.approx((0.3, 0.3, 0.4, 0.4), abs=EXACT)
    assert dog[1:] == pytest.approx((0.05, 0.05, 0.1, 0.1), abs=EXACT)
    (turned,) = lines(folder, index["site-1/turned.jpg"]["labels"])
    assert turned[1:] == pytest.approx((0.3, 0.3, 0.4, 0.4), abs=EXACT)
    assert lines(folder, index["nothing.jpg"]["labels"]) == []


def test_beside_an_outline_boxes_are_outlines_too(folder, index):
    outlined, boxed = lines(folder, index["site-2/outlined.png"]["labels"])
    assert outlined[1:] == pytest.approx((0.1, 0.1, 0.6, 0.1, 0.6, 0.9))
    assert boxed[1:] == pytest.approx((0.5, 0.5, 1, 0.5, 1, 1, 0.5, 1))


def test_what_reaches_outside_is_cut_and_what_lies_outside_left_out(folder, index, hung):
    (cut,) = lines(folder, index["site-2/outside.png"]["labels"])
    assert cut[1:] == pytest.approx((0.05, 0.05, 0.1, 0.1), abs=EXACT)
    told = [notice for notice in hung.notices if "outside the picture" in notice]
    assert told in (
        [],
        ["Left out: 1 detection, outside the picture (first: 'site-2/outside.png')."],
    )


def test_scores_stand_in_a_folder_of_their_own(folder, index):
    place = index["site-1/bear.jpg"]["labels"]
    scored = lines(folder, place.replace("labels/", "scores/", 1))
    assert [row[:-1] for row in scored] == lines(folder, place)
    assert [row[-1] for row in scored] == [0.9, 0.25]


def test_a_hostile_label_is_one_yaml_text_and_nothing_else(folder, names):
    data = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert set(data) == {"train", "val", "names"}
    assert NASTY in names.values()
    assert list(names) == list(range(len(names)))


def test_hostile_keys_stay_in_the_folder(folder, index):
    assert sorted(path.name for path in folder.iterdir()) == [
        *(".batchinfer-export", "data.yaml", "images", "index.csv", "labels", "scores")
    ]
    places = [index[key]["labels"] for key in (*HOSTILE, ODD)]
    assert len({place.casefold() for place in places}) == len(places)
    for place in places:
        assert (folder / place).resolve().is_relative_to(folder.resolve())
        assert ".." not in place.split("/")
    assert index["images/images/inside.jpg"]["image"] == "images/_images/_images/inside.jpg"


def test_cells_of_the_index_cannot_become_formulas(folder):
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        assert not [cell for row in csv.reader(file) for cell in row if cell[0] in "=+-@\t\r"]


def test_ultralytics_reads_it(folder, index, names):
    utils = pytest.importorskip(
        "ultralytics.data.utils", reason="ultralytics is not installed: needs torch, 1 GB"
    )
    data = utils.check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    assert data["names"] == names
    for key, row in index.items():
        image = str(folder / row["image"])
        (label_file,) = utils.img2label_paths([image])
        checked = utils.verify_image_label((image, label_file, "", 0, len(names), 0, 0, 0))
        _, rows, shape, _, _, missing, found, _, corrupt, message = checked
        assert (missing, found, corrupt, message) == (0, 1, 0, "")
        width, height = (300, 400) if "turned" in key else SIZES.get(key, (100, 50))
        assert shape == (height, width)
        if key == "site-1/turned.jpg":
            assert rows[0][1:] == pytest.approx((0.3, 0.3, 0.4, 0.4))
