import json
import urllib.parse
from xml.etree import ElementTree as ET

import pytest
from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface

from batchinfer.exports import ExportOptions
from batchinfer.exports.label_studio import LabelStudioExport
from support.gallery import NASTY, ODD


@pytest.fixture(scope="module")
def folder(hung, tmp_path_factory):
    folder = tmp_path_factory.mktemp("label-studio")
    assert LabelStudioExport().write(hung.book(), folder, ExportOptions()) == len(hung.keys) - 2
    return folder


@pytest.fixture(scope="module")
def config(folder):
    return (folder / "label_config.xml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tasks(folder):
    found = json.loads((folder / "tasks.json").read_bytes())
    return {task["data"]["key"]: task for task in found}


@pytest.fixture(scope="module")
def coco(tasks, config, tmp_path_factory):
    """What Label Studio's own converter makes of it, once somebody has accepted the predictions."""
    folder = tmp_path_factory.mktemp("converted")
    accepted = [
        {"id": number, "data": {"image": task["data"]["image"]}, "annotations": drawn(task)}
        for number, task in enumerate(tasks.values())
    ]
    (folder / "accepted.json").write_text(json.dumps(accepted), encoding="utf-8")
    converter = Converter(config, str(folder), download_resources=False)
    converter.convert_to_coco(str(folder / "accepted.json"), str(folder / "out"), is_dir=False)
    return json.loads((folder / "out" / "result.json").read_bytes())


def drawn(task):
    """Its predictions as annotations, without what the converter to COCO knows nothing of."""
    return [
        {"result": [one for one in each["result"] if one["type"].endswith("labels")]}
        for each in task.get("predictions", ())
    ]


def test_its_own_converter_finds_the_same_boxes(coco, tasks):
    categories = {one["id"]: one["name"] for one in coco["categories"]}
    ids = {image["file_name"]: image["id"] for image in coco["images"]}
    sizes = {image["id"]: (image["width"], image["height"]) for image in coco["images"]}

    def found(key):
        (number,) = [ids[name] for name in ids if name == tasks[key]["data"]["image"]]
        return sizes[number], [
            (categories[one["category_id"]], *(round(value, 3) for value in one["bbox"]))
            for one in coco["annotations"]
            if one["image_id"] == number
        ]

    assert found("site-1/bear.jpg") == (
        (640, 480),
        [("bear", 64, 48, 256, 192), ("dog", 0, 0, 64, 48)],
    )
    assert found("site-1/turned.jpg") == ((300, 400), [("bear", 30, 40, 120, 160)])
    assert found("site-2/relative.png") == ((200, 100), [("dog", 50, 50, 100, 50)])
    assert found("site-2/outside.png") == ((200, 100), [("dog", 0, 0, 20, 10)])
    assert sorted(found("site-2/outlined.png")[1]) == [
        ("cell", 20, 10, 100, 80),
        ("cell", 100, 50, 100, 50),
    ]


def test_its_own_checks_take_the_config_and_every_prediction(config, tasks):
    interface = LabelInterface(config)
    interface.validate()
    for task in tasks.values():
        for prediction in task.get("predictions", ()):
            assert interface.validate_prediction(prediction, return_errors=True) == []


def test_classes_are_choices_and_texts_are_texts(tasks):
    (prediction,) = tasks["classes.jpg"]["predictions"]
    (choice,) = prediction["result"]
    assert (choice["value"], choice["score"]) == ({"choices": ["cat"]}, 0.75)
    (prediction,) = tasks["caption.jpg"]["predictions"]
    assert prediction["result"][0]["value"] == {"text": ["A bear,\nin the snow"]}


def test_scores_are_kept_for_each_and_as_their_mean(tasks):
    (prediction,) = tasks["site-1/bear.jpg"]["predictions"]
    assert [region["score"] for region in prediction["result"]] == [0.9, 0.25]
    assert prediction["score"] == pytest.approx(0.575)


def test_what_failed_is_a_task_to_be_labelled(tasks):
    assert "predictions" not in tasks["failed.jpg"]
    assert tasks["failed.jpg"]["data"]["state"] == "failed"
    assert tasks["nothing.jpg"]["predictions"][0]["result"] == []


def test_the_address_leads_to_the_file(tasks, hung):
    for key, task in tasks.items():
        address = urllib.parse.urlsplit(task["data"]["image"])
        assert address.path == "/data/local-files/"
        (place,) = urllib.parse.parse_qs(address.query, errors="surrogateescape")["d"]
        assert "/" + place == hung.paths[key]
    assert ODD in tasks


def test_a_hostile_label_is_the_same_in_config_and_task(config, tasks):
    labels = [label.get("value") for label in ET.fromstring(config).iter("Label")]
    (region,) = tasks["../../etc/x.jpg"]["predictions"][0]["result"]
    (label,) = region["value"]["rectanglelabels"]
    assert label in labels
    assert label == NASTY.replace("\0", r"\x00")
    assert "<script>" not in config


def test_nothing_is_left_out_without_a_word(hung, tmp_path):
    LabelStudioExport().write(hung.book(), tmp_path, ExportOptions())
    assert [notice.partition(" (first")[0] for notice in hung.notices] == [
        "Left out: 1 detection, outside the picture",
        "Left out: 4 predictions, nothing that Label Studio has a control for",
        "Left out: 2 items, no readable image, skipped",
    ]
