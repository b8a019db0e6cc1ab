"""Scores where a format knows only 0 to 1: of the whole run, never guessed, never falsified."""

import csv
import json
import math

import pytest
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image

from batchinfer.exports import ExportOptions, write_export
from support.books import book, result, thing, with_files


@pytest.fixture
def exported(tmp_path):
    """Exports predictions, each of one picture; the folder, and what was told."""
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 20)).save(path)

    def exported(form, *predictions, **options):
        notices = []
        results = [result(f"{number}.png", one) for number, one in enumerate(predictions)]
        made = with_files(book(results, notices), [str(path)] * len(results))
        write_export(made, tmp_path / form, form, ExportOptions(**options))
        return tmp_path / form, notices

    return exported


def box(*scores):
    return [thing("bear", score, 1, 2, 30, 12) for score in scores]


def studio_scores(folder):
    """Every prediction is what Label Studio takes."""
    interface = LabelInterface((folder / "label_config.xml").read_text("utf-8"))
    tasks = json.loads((folder / "tasks.json").read_bytes())
    for task in tasks:
        assert interface.validate_prediction(task["predictions"][0], return_errors=True) == []
    regions = [region for task in tasks for region in task["predictions"][0]["result"]]
    return [region.get("score") for region in regions], [
        task["predictions"][0].get("score") for task in tasks
    ]


def fiftyone_scores(folder):
    samples = json.loads((folder / "samples.json").read_bytes())["samples"]
    return [
        each.get("confidence") for sample in samples for each in sample["detections"]["detections"]
    ]


def yolo_scores(folder):
    files = sorted((folder / "scores").glob("*.txt")) if (folder / "scores").exists() else []
    return [float(line.split()[-1]) for file in files for line in file.read_text().splitlines()]


LEFT_OUT = (
    "Left out: 3 scores, as not all scores of the run are from 0 to 1; if they are percents, add"
    " --percent-scores (first: '0.png': {})."
)


@pytest.mark.parametrize("odd", [87.5, 1.5, -0.5, 1e300, 250.0])
def test_one_score_beyond_leaves_out_all_of_the_run(exported, odd):
    """A 0.5 beside an 87.5 is half a percent, in whichever picture."""
    folder, notices = exported("label-studio", box(0.5, 0.25), box(odd))
    assert studio_scores(folder) == ([None] * 3, [None] * 2)
    assert notices == [LEFT_OUT.format(0.5)]
    folder, notices = exported("fiftyone", box(0.5, 0.25), box(odd))
    assert fiftyone_scores(folder) == [None] * 3
    assert notices == [LEFT_OUT.format(0.5)]
    folder, notices = exported("yolo", box(0.5, 0.25), box(odd))
    assert yolo_scores(folder) == []
    assert len((folder / "labels" / "0.txt").read_text().splitlines()) == 2
    assert notices == [LEFT_OUT.format(0.5)]


def test_percents_are_divided_when_it_is_said(exported):
    given = (box(87.5, 0.5), box(100.0))
    folder, notices = exported("label-studio", *given, percent_scores=True)
    assert studio_scores(folder) == ([0.875, 0.005, 1.0], [0.44, 1.0])
    assert notices == []
    folder, _ = exported("fiftyone", *given, percent_scores=True)
    assert fiftyone_scores(folder) == [0.875, 0.005, 1.0]
    folder, _ = exported("yolo", *given, percent_scores=True)
    assert yolo_scores(folder) == [0.875, 0.005, 1.0]


def test_what_is_beyond_percents_too_is_left_out(exported):
    folder, notices = exported("label-studio", box(250.0), percent_scores=True)
    assert studio_scores(folder) == ([None], [None])
    assert notices[0].startswith("Left out: 1 score, ")


def test_scores_from_0_to_1_are_exact_and_a_rounding_error_is_no_percent(exported):
    rounded = math.nextafter(1.0, 2.0)
    folder, notices = exported("label-studio", box(0.123456789, 0, 1, rounded))
    assert studio_scores(folder)[0] == [0.123456789, 0, 1, 1]
    assert notices == []


def test_classes_in_percents_are_left_out_too(exported):
    classes = {"labels": ["cat", "dog"], "probabilities": [75.0, 25.0]}
    folder, notices = exported("label-studio", classes)
    (scores, _) = studio_scores(folder)
    assert scores == [None]
    assert "Left out: 1 score" in notices[0]
    folder, _ = exported("fiftyone", classes)
    (sample,) = json.loads((folder / "samples.json").read_bytes())["samples"]
    found = sample["classes"]["classifications"]
    assert [(one["label"], one.get("confidence")) for one in found] == [
        ("cat", None),
        ("dog", None),
    ]


def test_tables_and_coco_keep_scores_as_the_model_says_them(exported):
    table, _ = exported("csv-flat", box(87.5))
    with table.open(newline="") as file:
        assert [row["score"] for row in csv.DictReader(file)] == ["87.5"]
    coco, _ = exported("coco", box(87.5))
    assert json.loads(coco.read_bytes())["annotations"][0]["score"] == 87.5


def test_a_label_file_is_never_empty_because_a_box_fell_outside(exported):
    outside = [thing("bear", 0.5, 100, 100, 120, 120), thing("bear", 0.5, -9, -9, -3, -3)]
    partly = [thing("bear", 0.5, 30, 10, 120, 120), thing("bear", 0.5, 100, 100, 120, 120)]
    flat = [thing("bear", 0.5, 10, 10, 10, 12)]
    folder, notices = exported("yolo", outside, partly, [], flat)
    labels = {path.name: path.read_text() for path in (folder / "labels").iterdir()}
    assert labels == {"1.txt": "0 0.87500000 0.75000000 0.25000000 0.50000000\n", "2.txt": ""}
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["1.png", "2.png"]
    with (folder / "index.csv").open(newline="") as file:
        assert [row["key"] for row in csv.DictReader(file)] == ["1.png", "2.png"]
    assert notices == [
        "Left out: 3 detections, outside the picture (first: '0.png').",
        (
            "Left out: 2 images, whose detections all had to be left out, so that they would pass "
            "for empty (first: '0.png')."
        ),
        "Left out: 1 detection, without an area (first: '3.png').",
    ]


def test_label_studio_and_fiftyone_do_not_say_nothing_either(exported):
    outside = [thing("bear", 0.5, 100, 100, 120, 120)]
    folder, notices = exported("label-studio", outside, [])
    lost, empty = json.loads((folder / "tasks.json").read_bytes())
    assert "predictions" not in lost
    assert empty["predictions"][0]["result"] == []
    assert len(notices) == 2
    far = [thing("bear", 0.5, 1e12, 1e12, 2e12, 2e12)]
    folder, _ = exported("fiftyone", far, [])
    lost, empty = json.loads((folder / "samples.json").read_bytes())["samples"]
    assert "detections" not in lost
    assert empty["detections"]["detections"] == []
