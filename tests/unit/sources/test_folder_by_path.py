"""What is told of one path is what a walk finds there."""

import os

import pytest

from batchinfer.sources.combined_source import open_source
from batchinfer.sources.own_files import OwnFiles
from batchinfer.sources.selection import Selection

FILES = [
    "a.jpg",
    "b.PNG",
    ".hidden.jpg",
    "Thumbs.db",
    "thumbs/c.jpg",
    "x/y/d.jpg",
    "x/.git/e.jpg",
    "x/@eaDir/f.jpg",
    "run/run.db",
    "caf\udce9.jpg",
]
SELECTIONS = [
    Selection(),
    Selection.of(include=["*.jpg"]),
    Selection.of(exclude=["thumbs/", "x/y/d.jpg"]),
    Selection.of(only=["images"]),
    Selection.of(include=["Thumbs.db"]),
]


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "in" / "link.jpg").symlink_to("a.jpg")
    (tmp_path / "in" / "gone.jpg").symlink_to("nowhere")
    (tmp_path / "in" / "linked").symlink_to("x")
    return tmp_path / "in"


@pytest.mark.parametrize("selection", SELECTIONS, ids=lambda each: " ".join(each.as_typed))
@pytest.mark.parametrize("pattern", ["", "**/*.jpg", "*"])
def test_one_path_is_taken_as_a_walk_takes_it(folder, selection, pattern):
    own_files = OwnFiles.of([str(folder / "run")])
    spec = str(folder / pattern) if pattern else str(folder)
    source = open_source([spec], selection=selection, own_files=own_files)
    walked = {item.files[0].path: item for item in source}
    (part,) = source.parts
    found = {}
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = f"{place}/{name}"
            if (item := part.find_item(path)) is not None:
                found[path] = item
    assert found == walked
    assert part.find_item(str(folder)) is part.find_item(str(folder / "x")) is None
    assert part.find_item(str(folder.parent / "other.jpg")) is None
