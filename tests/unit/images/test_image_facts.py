"""Headers of real files, sound and broken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batchinfer.images import ImageInfo, UnreadableImage, read_image_info
from support.image_files import bomb, exif, photograph, ratio, scene, stored

HERE = {1: "N", 2: (47.0, 22.0, 30.0), 3: "W", 4: (8.0, 33.0, 0.0)}


def test_a_photograph(tmp_path):
    taken = {0x9003: "2026:05:04 03:02:01", 0x9011: "+02:00"}
    path = photograph(tmp_path / "a.jpg", 6, gps=HERE, taken=taken)
    found = read_image_info(path)
    assert found == ImageInfo(120, 80, 6, 47.375, -8.55, "2026-05-04T03:02:01+02:00", "JPEG")
    assert isinstance(found, ImageInfo)
    assert found.stored_size == (80, 120)


@pytest.mark.parametrize("ending", ["png", "tif", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_width_and_height_are_upright_in_every_format_that_is_turned(tmp_path, ending, orientation):
    path = tmp_path / f"a.{ending}"
    stored(scene(), orientation).save(path, exif=exif(orientation))
    found = read_image_info(str(path))
    assert isinstance(found, ImageInfo)
    assert (found.width, found.height, found.orientation) == (120, 80, orientation)
    assert found.stored_size == ((80, 120) if orientation >= 5 else (120, 80))


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_where_and_when_in_every_format(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    scene().save(path, exif=exif(gps=HERE, taken={0x9003: "2026:05:04 03:02:01"}))
    expected = ending.upper() if ending != "tif" else "TIFF"
    assert read_image_info(str(path)) == ImageInfo(
        120, 80, 1, 47.375, -8.55, "2026-05-04T03:02:01", expected
    )


@pytest.mark.parametrize("ending", ["gif", "bmp", "ppm", "png", "jp2", "avif"])
def test_other_formats(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    try:
        scene().save(path)
    except (KeyError, OSError, ValueError):
        pytest.skip(f"this Pillow cannot write {ending}")
    found = read_image_info(str(path))
    assert isinstance(found, ImageInfo)
    assert (found.width, found.height, found.orientation) == (120, 80, 1)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_makes_no_sense_is_none(tmp_path, orientation):
    found = read_image_info(photograph(tmp_path / "a.jpg", orientation))
    assert isinstance(found, ImageInfo)
    assert (found.orientation, found.stored_size) == (1, (120, 80))


@pytest.mark.parametrize(
    "gps",
    [
        {},
        {1: "N", 2: (47.0, 22.0, 30.0)},
        HERE | {1: "X"},
        HERE | {1: ""},
        HERE | {2: (ratio(47, 0), ratio(22, 1), ratio(30, 1))},
        HERE | {2: (ratio(0, 0), ratio(0, 0), ratio(0, 0))},
        HERE | {2: (90.0, 0.0, 1.0)},
        HERE | {4: (181.0, 0.0, 0.0)},
        HERE | {2: (47.0, 22.0)},
        HERE | {2: 47.0},
        {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)},
    ],
)
def test_a_position_that_makes_no_sense_is_none(tmp_path, gps):
    found = read_image_info(photograph(tmp_path / "a.jpg", gps=gps))
    assert isinstance(found, ImageInfo)
    assert (found.latitude, found.longitude) == (None, None)


@pytest.mark.parametrize(
    ("tags", "taken"),
    [
        ({0x9004: "2026:05:04 03:02:01"}, "2026-05-04T03:02:01"),
        ({0x9003: "    :  :     :  :  ", 0x9004: "2026:05:04 03:02:01"}, "2026-05-04T03:02:01"),
        ({0x9003: "2026:05:04 03:02:01", 0x9011: "+99:99"}, "2026-05-04T03:02:01"),
        ({0x9003: "2026:05:04 03:02:01", 0x9011: "<script>"}, "2026-05-04T03:02:01"),
        ({0x9003: "0000:00:00 00:00:00"}, None),
        ({0x9003: "<script>alert(1)</script>"}, None),
        ({0x9003: "=cmd|' /C calc'!A0"}, None),
    ],
)
def test_times_are_times_or_none(tmp_path, tags, taken):
    found = read_image_info(photograph(tmp_path / "a.jpg", taken=tags))
    assert isinstance(found, ImageInfo)
    assert found.taken_at == taken


def test_a_picture_of_any_size_is_known_by_its_header(tmp_path):
    found = read_image_info(bomb(tmp_path / "bomb.png"))
    assert isinstance(found, ImageInfo)
    assert (found.width, found.height) == (60_000, 60_000)


def test_pillow_is_left_as_it_was(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    read_image_info(bomb(tmp_path / "bomb.png"))
    assert before == Image.MAX_IMAGE_PIXELS


def test_what_is_no_picture_is_unseen_with_a_reason(tmp_path):
    text = tmp_path / "a.jpg"
    text.write_text("no picture")
    empty = tmp_path / "b.jpg"
    empty.write_bytes(b"")
    postscript = tmp_path / "c.eps"
    scene().save(postscript)
    unknown = UnreadableImage("its image format is not supported")
    assert [read_image_info(str(path)) for path in (text, empty, postscript)] == [unknown] * 3
    assert read_image_info(str(tmp_path / "gone.jpg")) == UnreadableImage(
        "the file is not there any more"
    )
    assert read_image_info(str(tmp_path)) == UnreadableImage("it is no regular file")
    assert read_image_info("/dev/zero") == UnreadableImage("it is no regular file")
    assert read_image_info("a\0b") == UnreadableImage(
        "the file cannot be opened: no name of a file"
    )


def test_a_named_pipe_is_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    assert read_image_info(str(pipe)) == UnreadableImage("it is no regular file")


def test_names_that_are_not_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png")
    with open(path, "wb") as file:  # noqa: PTH123 - a path of bytes
        scene().save(file, "PNG")
    assert isinstance(read_image_info(path), ImageInfo)


PICTURES: dict[str, bytes] = {}


def picture(ending: str, folder: Path) -> bytes:
    if ending not in PICTURES:
        path = folder / f"a.{ending}"
        scene().save(path, exif=exif(6, gps=HERE, taken={0x9003: "2026:05:04 03:02:01"}))
        PICTURES[ending] = path.read_bytes()
    return PICTURES[ending]


@settings(deadline=None)
@given(
    ending=st.sampled_from(["jpg", "png", "tif", "webp"]),
    cut=st.integers(0, 3000),
    changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=20),
)
def test_broken_headers_never_raise(tmp_path_factory, ending, cut, changes):
    folder = tmp_path_factory.getbasetemp()
    data = bytearray(picture(ending, folder))
    for place, value in changes:
        data[place % len(data)] = value
    path = folder / "broken"
    path.write_bytes(data[: len(data) - cut] if cut < len(data) else b"")
    found = read_image_info(str(path))
    if isinstance(found, ImageInfo):
        assert found.width > 0
        assert found.height > 0
        assert found.orientation in range(1, 9)
        assert (found.latitude is None) == (found.longitude is None)
        assert found.latitude is None or -90 <= found.latitude <= 90
    else:
        assert found.reason
