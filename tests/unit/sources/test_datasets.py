"""COCO and YOLO data sets: which pictures they list, and where those are."""

import json
from pathlib import Path

import pytest

from batchinfer.errors import ConfigError, SourceError
from batchinfer.sources import open_source
from batchinfer.sources.source_specs import mark_format


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())


def coco(path: str, *names: object, **more: object) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": at, "file_name": name, "width": 1.5} for at, name in enumerate(names)]
    annotations = [{"id": 1, "image_id": 0, "bbox": [0, 0, 1, 1]}]
    Path(path).write_text(json.dumps({"annotations": annotations, "images": images, **more}))
    return path


def read(*specs: str):
    source = open_source(list(specs))
    source.check()
    return list(source)


def refusal(*specs: str) -> str:
    with pytest.raises(SourceError) as raised:
        read(*specs)
    return str(raised.value)


# ---- COCO ----


@pytest.mark.parametrize(
    ("annotations", "folder"),
    [
        ("ds/_annotations.coco.json", "ds"),
        ("ds/labels.json", "ds/data"),
        ("ds/result.json", "ds/images"),
        ("ds/annotations/instances_default.json", "ds/images"),
        ("ds/annotations/instances_train2017.json", "ds/train2017"),
        ("ds/annotations/person_keypoints_val2017.json", "ds/images/val2017"),
        ("ds/annotations/instances_default.json", "ds/images/default"),
    ],
)
def test_pictures_are_found_where_programs_leave_them(annotations, folder):
    make(f"{folder}/a.jpg", f"{folder}/sub/b.jpg", "ds/images/other.jpg")
    items = read(f"coco:{coco(annotations, 'a.jpg', 'sub/b.jpg')}")
    assert [item.key for item in items] == ["a.jpg", "sub/b.jpg"]
    assert [item.files[0].path for item in items] == [
        str(Path(folder, name).absolute()) for name in ("a.jpg", "sub/b.jpg")
    ]


def test_the_folder_is_the_one_that_has_most_of_the_pictures_or_is_named():
    make("a.jpg", "images/a.jpg", "images/b.jpg", "far/a.jpg", "far/b.jpg")
    path = coco("labels.json", "a.jpg", "b.jpg")
    assert {Path(item.files[0].path).parent.name for item in read(f"coco:{path}")} == {"images"}
    source = open_source([f"coco:{path}#far"])
    assert {Path(item.files[0].path).parent.name for item in source} == {"far"}
    assert source.specs == (f"coco:{Path.cwd()}/{path}#{Path.cwd()}/far",)
    assert list(open_source(source.specs, is_existing_run=True)) == list(source)
    said = refusal(f"coco:{coco('labels.json', 'x.jpg')}")
    assert "its first picture, x.jpg, is in none of" in said
    assert "labels.json#FOLDER" in said


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is damaged, or no JSON"),
        ("{}", "there is no item in it"),
        ('{"images": []}', "there is no item in it"),
        ('{"images": [{"file_name": 3}]}', "images[0]: there is no 'file_name' that is a text"),
        ('{"images": [{"id": 3}, "a.jpg"]}', "images[1]: there is no 'file_name'"),
        ('{"images": [{"file_name": "a.jpg"}, {"file_na', "images[0]: behind this the file is"),
        (
            '{"images": [{"file_name": "a.jpg"}], "annotations": [',
            "behind this the file is damaged",
        ),
        ('{"images": [{"file_name": "a.jpg"}, {"file_name": "b.jpg"}]}', "there is no such file"),
        ('{"images": [{"file_name": "a.jpg"}, {"file_name": "a.jpg"}]}', "'a.jpg' is already used"),
    ],
)
def test_what_is_wrong_with_annotations_is_said_of_the_picture(text, problem):
    make("a.jpg")
    Path("labels.json").write_text(text)
    assert problem in refusal("coco:labels.json")


def test_a_coco_file_is_asked_about():
    make("a.jpg")
    said = refusal(coco("labels.json", "a.jpg"))
    assert "To send the pictures of this COCO data set, add `source_format=coco`" in said
    assert '"as-file:labels.json"' in said
    assert "jq" in refusal(str(Path("plain.json").write_text("[1]") and "plain.json"))


# ---- YOLO ----


def yolo(text: str, path: str = "ds/data.yaml") -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return path


def test_every_split_is_read_once_below_the_folder_of_the_data_set():
    make("ds/images/train/b.jpg", "ds/images/train/a.png", "ds/images/val/a.png")
    make("ds/labels/train/b.txt", "ds/images/train/notes.txt")
    path = yolo("path: .\ntrain: images/train\nval: images/val\ntest: images/train\nnames: [x]\n")
    source = open_source([f"yolo:{path}"])
    source.check()
    keys = ["images/train/a.png", "images/train/b.jpg", "images/val/a.png"]
    assert [item.key for item in source] == keys
    assert source.specs == (f"yolo:{Path.cwd()}/{path}",)
    assert [item.key for item in read("yolo:ds")] == keys


@pytest.mark.parametrize(
    "text",
    [
        "path: /nowhere/of/ultralytics\ntrain: train/images\nval:\n",
        "train: ../train/images\nval: null\n",
        "train: [train/images]\n",
        "train: train/images/*.jpg\n",
        "train: lists/train.txt\n",
        "train: lists/dotted.txt\n",
    ],
)
def test_places_are_found_as_programs_write_them(text):
    make("ds/train/images/a.jpg", "ds/train/images/b.jpg")
    make("ds/lists/train.txt", "ds/lists/dotted.txt")
    Path("ds/lists/train.txt").write_text("train/images/a.jpg\ntrain/images/b.jpg\n")
    Path("ds/lists/dotted.txt").write_text("./../train/images/a.jpg\n./../train/images/b.jpg\n")
    items = read(f"yolo:{yolo(text)}")
    assert [item.key for item in items] == ["train/images/a.jpg", "train/images/b.jpg"]
    assert all(Path(item.files[0].path).is_file() for item in items)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no data.yaml: it must have keys"),
        ("[1]", "no data.yaml: it must have keys"),
        ("names: [x]", "none of train, val and test is in it"),
        ("train: {a: b", "is no YAML"),
        ("train: !!python/object/apply:os.system ['touch pwned']", "is no YAML"),
        ("train: 3", "'train' must be a path or several"),
        ("path: 3\ntrain: x", "'path' must be the path of a folder"),
        ("train: nowhere", "there is nothing at train: nowhere"),
        ("train: list.txt", "there is no such file"),
        ("train: empty", "there is no item in it"),
    ],
)
def test_what_is_wrong_with_a_data_yaml_is_said(text, problem):
    Path("ds/empty").mkdir(parents=True)
    Path("ds/list.txt").write_text("x.jpg\n")
    assert problem in refusal(f"yolo:{yolo(text)}")
    assert not Path("pwned").exists()


def test_a_data_yaml_is_asked_about():
    said = refusal(yolo("train: images\n"))
    assert "To send the pictures of this YOLO data set, add `source_format=yolo`" in said


# ---- formats ----


def test_a_format_is_put_before_what_has_none():
    assert mark_format(["a", "csv:b", "files-from:c", "s3://d"], "coco") == (
        "coco:a",
        "csv:b",
        "files-from:c",
        "s3://d",
    )
    assert mark_format(["a", "-"], "auto") == ("a", "-")
    with pytest.raises(ConfigError, match="goes with files and folders"):
        mark_format(["-"], "csv")


def test_a_manifest_of_any_name_is_read_by_its_format():
    make("a.jpg")
    Path("list.txt").write_text("path\na.jpg\n")
    Path("list.json").write_text('{"path": "a.jpg"}\n')
    assert [item.key for item in read("csv:list.txt")] == ["a.jpg"]
    assert [item.key for item in read("jsonl:list.json")] == ["a.jpg"]
    assert "no such file" in refusal("coco:nowhere.json")
    make("csv:odd.jpg")
    assert [item.key for item in read("csv:odd.jpg")] == ["csv:odd.jpg"]
