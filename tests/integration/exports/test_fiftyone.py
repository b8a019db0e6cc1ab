"""A folder in FiftyOne's format, read by a small reader of our own.

FiftyOne itself is not installed: it brings a MongoDB server, and some hundred megabytes of other
packages. The reader stands on its user guide ("FiftyOneDataset", "Using datasets") instead: what a
folder holds, which labels there are, the fields that each may have and their types, coordinates in
fractions; a field of samples has one type throughout. That FiftyOne opens the folder is therefore
not shown here.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from batchinfer.exports import write_export
from support.gallery import NASTY, ODD, POINT

EXACT = 1e-7


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class Labelled(Document):
    label: str
    confidence: float | None = None


class Classification(Labelled):
    kind: Literal["Classification"] = Field(alias="_cls")


class Detection(Labelled):
    kind: Literal["Detection"] = Field(alias="_cls")
    bounding_box: Annotated[list[float], Field(min_length=4, max_length=4)]
    """Left, top, width, height."""


class Polyline(Labelled):
    kind: Literal["Polyline"] = Field(alias="_cls")
    points: list[list[Annotated[list[float], Field(min_length=2, max_length=2)]]]
    closed: bool
    filled: bool


class Classifications(Document):
    kind: Literal["Classifications"] = Field(alias="_cls")
    classifications: list[Classification]


class Detections(Document):
    kind: Literal["Detections"] = Field(alias="_cls")
    detections: list[Detection]


class Polylines(Document):
    kind: Literal["Polylines"] = Field(alias="_cls")
    polylines: list[Polyline]


class ImageMetadata(Document):
    kind: Literal["ImageMetadata"] = Field(alias="_cls")
    width: int
    height: int


class GeoLocation(Document):
    kind: Literal["GeoLocation"] = Field(alias="_cls")
    point: Annotated[list[float], Field(min_length=2, max_length=2)]
    """Longitude, latitude."""


class Sample(BaseModel):
    """The fields that every sample has, and any others: labels, locations, plain values."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[
        str, Detections | Polylines | Classifications | GeoLocation | str | int | float
    ]
    filepath: str
    tags: list[str]
    metadata: ImageMetadata


@pytest.fixture(scope="module")
def folder(hung, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fiftyone") / "out"
    # All but two that are no pictures, and one whose path JSON cannot hold.
    assert write_export(hung.book(), folder, "fiftyone") == len(hung.keys) - 3
    return folder


@pytest.fixture(scope="module")
def samples(folder):
    found = json.loads((folder / "samples.json").read_bytes())
    assert list(found) == ["samples"]
    read = [Sample.model_validate(each) for each in found["samples"]]
    return {each.key: each for each in read}


def test_the_folder_holds_what_the_older_form_has_and_says_no_version(folder, hung):
    assert sorted(path.name for path in folder.iterdir()) == [
        *(".batchinfer-export", "metadata.json", "samples.json")
    ]
    metadata = json.loads((folder / "metadata.json").read_bytes())
    assert metadata == {"media_type": "image", "info": {"run": "abc", "sources": ["/data"]}}


def test_every_picture_is_a_sample_with_its_state_and_size(samples, hung):
    left_out = {"broken.jpg", "missing.jpg", ODD}
    assert list(samples) == [key for key in hung.keys if key not in left_out]
    for key, sample in samples.items():
        assert Path(sample.filepath).is_absolute()
        assert Path(sample.filepath).samefile(hung.paths[key])
        assert sample.position == hung.position(key)
    assert samples["site-1/bear.jpg"].tags == ["succeeded"]
    assert samples["site-1/bear.jpg"].seconds == 0.5
    assert samples["failed.jpg"].tags == ["failed"]
    assert (samples["failed.jpg"].code, samples["failed.jpg"].message) == (
        *("model_error", "No <b>bear</b>."),
    )
    assert samples["pending.jpg"].tags == ["pending"]
    turned = samples["site-1/turned.jpg"].metadata
    assert (turned.width, turned.height) == (300, 400)


def test_boxes_are_fractions_of_the_upright_picture(samples):
    bear, dog = samples["site-1/bear.jpg"].detections.detections
    assert (bear.label, bear.confidence, dog.label, dog.confidence) == ("bear", 0.9, "dog", 0.25)
    assert bear.bounding_box == pytest.approx((0.1, 0.1, 0.4, 0.4), abs=EXACT)
    assert dog.bounding_box == pytest.approx((0, 0, 0.1, 0.1), abs=EXACT)
    (turned,) = samples["site-1/turned.jpg"].detections.detections
    assert turned.bounding_box == pytest.approx((0.1, 0.1, 0.4, 0.4), abs=EXACT)
    (relative,) = samples["site-2/relative.png"].detections.detections
    assert relative.bounding_box == [0.25, 0.5, 0.5, 0.5]
    assert samples["nothing.jpg"].detections.detections == []


def test_outlines_are_polylines_beside_the_boxes(samples):
    sample = samples["site-2/outlined.png"]
    assert [one.bounding_box for one in sample.detections.detections] == [
        pytest.approx((0.1, 0.1, 0.5, 0.8), abs=EXACT),
        pytest.approx((0.5, 0.5, 0.5, 0.5), abs=EXACT),
    ]
    (outline,) = sample.outlines.polylines
    (points,) = outline.points
    assert points == [pytest.approx(p, abs=EXACT) for p in ((0.1, 0.1), (0.6, 0.1), (0.6, 0.9))]
    assert (outline.label, outline.confidence, outline.closed) == ("cell", 0.5, True)


def test_classes_texts_and_positions_are_fields(samples):
    classes = samples["classes.jpg"].classes.classifications
    assert [(one.label, one.confidence) for one in classes] == [("cat", 0.75), ("dog", 0.25)]
    assert samples["caption.jpg"].text == "A bear,\nin the snow"
    assert samples["site-1/turned.jpg"].location.point == pytest.approx(POINT, abs=1e-6)


def test_each_field_has_one_type_and_a_name_that_fiftyone_takes(samples):
    kinds = {}
    labels = {"detections": Detections, "outlines": Polylines, "classes": Classifications}
    plain = {"position": int, "seconds": float, "location": GeoLocation}
    for sample in samples.values():
        for name, value in sample.__pydantic_extra__.items():
            assert name.isidentifier()
            assert not name.startswith("_")
            assert kinds.setdefault(name, type(value)) is type(value)
    assert kinds == labels | plain | dict.fromkeys(("key", "code", "message", "text"), str)


def test_what_was_measured_in_the_stored_pixels_is_turned(hung, tmp_path):
    write_export(hung.book(boxes="stored"), tmp_path / "out", "fiftyone")
    found = json.loads((tmp_path / "out" / "samples.json").read_bytes())["samples"]
    (turned,) = (each for each in found if each["key"] == "site-1/turned.jpg")
    (box,) = Sample.model_validate(turned).detections.detections
    assert box.bounding_box == pytest.approx((1 / 3, 0.075, 160 / 300, 0.3), abs=EXACT)


def test_hostile_labels_are_only_labels(samples):
    (hostile,) = samples["../../etc/x.jpg"].detections.detections
    assert hostile.label == NASTY


def test_nothing_is_left_out_without_a_word(hung, tmp_path):
    write_export(hung.book(), tmp_path / "out", "fiftyone")
    assert [notice.partition(" (first")[0] for notice in hung.notices] == [
        "Left out: 4 predictions, nothing that FiftyOne has a label for",
        "Left out: 2 items, no readable image, skipped",
        "Left out: 1 item, a path that JSON cannot hold",
    ]
