"""The models and the photographs that come along."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from batchinfer.local.demo_images import BAD_IMAGES, write_demo_images
from batchinfer.local.models import echo, faces, make_command_model


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    good = write_demo_images(folder)
    assert good == sum(path.is_file() for path in folder.rglob("*")) - len(BAD_IMAGES)
    return folder


def test_no_two_photographs_are_the_same(photographs: Path):
    files = [path for path in photographs.rglob("*") if path.is_file()]
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in files}) == len(files)


@pytest.mark.parametrize(
    ("photograph", "expected"),
    [
        ("people/astronaut.png", ["face"]),
        ("animals/chelsea.png", ["cat face"]),
        ("surfaces/brick.png", []),
    ],
)
def test_faces_are_found_where_they_are(photographs: Path, photograph: str, expected: list[str]):
    found = faces(photographs / photograph)
    assert [each["name"] for each in found] == expected
    for each in found:
        box = each["box"]
        assert 0.5 <= each["confidence"] <= 1
        assert 0 <= box["x1"] < box["x2"]
        assert 0 <= box["y1"] < box["y2"]


@pytest.mark.parametrize(
    ("bad", "said"), list(zip(BAD_IMAGES, ["is empty", "cut off", "no image"], strict=True))
)
def test_what_is_no_image_is_said(photographs: Path, bad: str, said: str):
    with pytest.raises(ValueError, match=said):
        faces(photographs / bad)


def test_echo_says_what_arrived(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"one")
    assert echo(tmp_path / "x", colour="red") == {
        "size": 3,
        "sha256": hashlib.sha256(b"one").hexdigest(),
        "colour": "red",
    }


@pytest.mark.parametrize(
    ("template", "expected"), [("echo '[1]'", [1]), ("echo {word}", "hello\n")]
)
def test_what_a_command_prints_is_its_prediction(template: str, expected: object):
    assert make_command_model(template)(word="hello") == expected


def test_a_command_that_fails_is_an_error():
    with pytest.raises(RuntimeError, match="false ended with status 1"):
        make_command_model("false")()
