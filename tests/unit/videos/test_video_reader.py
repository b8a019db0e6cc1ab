"""Frames of real videos: the right one, turned as it should be, in one pass, or an error."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from batchinfer.inputs import open_input, stat_input
from batchinfer.videos.frame_scheme import FrameScheme
from batchinfer.videos.frame_uris import make_frame_uri
from batchinfer.videos.video_reader import VideoReader
from support.videos import read_number, write_video

CONTAINERS = [
    ("mp4", "libx264"),
    ("mkv", "libx264"),
    ("mov", "mpeg4"),
    ("avi", "mpeg4"),
    ("webm", "libvpx-vp9"),
    ("ts", "libx264"),
    ("mpg", "mpeg2video"),
]


def read_or_fail(reader: VideoReader, milliseconds: int) -> int | str:
    """The number of the frame, or what is said."""
    try:
        return read_number(reader.read_frame(milliseconds))
    except OSError as error:
        return str(error)


@pytest.mark.parametrize(("kind", "codec"), CONTAINERS)
def test_each_frame_is_the_one_that_is_seen_at_its_time(tmp_path, kind, codec):
    path = write_video(tmp_path / f"a.{kind}", 100, codec=codec)
    reader = VideoReader(str(path))
    assert abs(reader.find_duration() - 4) <= Fraction(1, 12)
    found = [read_number(reader.read_frame(number * 40 + 1)) for number in range(100)]
    assert found == list(range(100))
    assert reader.seek_count == 1  # to its beginning


@pytest.mark.parametrize(("kind", "codec"), CONTAINERS)
def test_a_frame_is_the_same_however_it_is_come_to(tmp_path, kind, codec):
    path = write_video(tmp_path / f"a.{kind}", 100, codec=codec)
    forwards = VideoReader(str(path))
    in_order = {ms: forwards.read_frame(ms) for ms in range(0, 3900, 130)}
    backwards = VideoReader(str(path))
    assert {ms: backwards.read_frame(ms) for ms in reversed(in_order)} == in_order


def test_varying_rates_need_no_other_rule(tmp_path):
    times = [Fraction(0), Fraction(1, 10), Fraction(5), Fraction(51, 10), Fraction(8)]
    path = write_video(tmp_path / "a.mp4", 5, times=times)
    reader = VideoReader(str(path))
    asked = [0, 99, 100, 4999, 5000, 5100, 7999, 8000]
    assert [read_number(reader.read_frame(ms)) for ms in asked] == [0, 0, 1, 1, 2, 3, 3, 4]


def test_times_count_from_the_first_frame(tmp_path):
    path = write_video(tmp_path / "a.ts", 50, start=Fraction(10))
    reader = VideoReader(str(path))
    assert read_number(reader.read_frame(0)) == 0
    assert read_number(reader.read_frame(1000)) == 25


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "libx264"), ("mkv", "libx264")])
def test_sound_that_goes_on_is_not_the_video(tmp_path, kind, codec):
    path = write_video(tmp_path / f"a.{kind}", 25, codec=codec, sound=10)
    assert abs(VideoReader(str(path)).find_duration() - 1) <= Fraction(1, 12)


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_frames_are_turned_as_the_video_says(tmp_path, rotation):
    path = write_video(tmp_path / "a.mp4", 5, rotation=rotation)
    image = Image.open(BytesIO(VideoReader(str(path)).read_frame(120)))
    assert image.size == ((64, 160) if abs(rotation) == 90 else (160, 64))
    upright = image.rotate(-rotation, expand=True)  # counterclockwise, as the metadata count
    target = BytesIO()
    upright.save(target, "PNG")
    assert read_number(target.getvalue()) == 3


def test_far_ahead_it_seeks_and_with_few_key_frames_it_does_not(tmp_path):
    path = write_video(tmp_path / "a.mp4", 1000, gop=25)
    reader = VideoReader(str(path))
    assert [read_number(reader.read_frame(ms)) for ms in (0, 15_000, 30_000)] == [0, 375, 750]
    assert reader.seek_count == 3
    path = write_video(tmp_path / "b.mp4", 1000, gop=10_000)
    reader = VideoReader(str(path))
    found = [read_number(reader.read_frame(ms)) for ms in range(0, 40_000, 11_000)]
    assert found == [0, 275, 550, 825]
    assert reader.seek_count == 2


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
def test_of_a_video_that_breaks_off_the_frames_behind_it_fail(tmp_path, kind):
    fast = {"movflags": "faststart"} if kind == "mp4" else {}
    path = write_video(tmp_path / f"a.{kind}", 500, options=fast)
    whole = VideoReader(str(path)).find_duration()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    reader = VideoReader(str(path))
    duration = reader.find_duration()
    assert duration <= whole
    assert read_number(reader.read_frame(2_000)) == 50
    found = {ms: read_or_fail(reader, ms) for ms in range(0, 20_000, 1_000)}
    good = {ms: each for ms, each in found.items() if isinstance(each, int)}
    last = max(good)  # which may be seen a little longer than it lasts
    assert {ms: each for ms, each in good.items() if ms < last} == {
        ms: ms // 40 for ms in good if ms < last
    }
    assert good[last] in {last // 40 - 1, last // 40}
    assert len(good) >= 8
    bad = [each for each in found.values() if isinstance(each, str)]
    assert len(bad) >= 5
    assert all("breaks off" in each or "damaged" in each for each in bad)


def test_damage_in_the_middle_spares_what_is_behind_it(tmp_path):
    path = write_video(tmp_path / "a.mkv", 500, codec="mpeg4")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    reader = VideoReader(str(path))
    assert read_number(reader.read_frame(1_000)) == 25
    assert read_number(reader.read_frame(19_000)) == 475


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no video at all" * 100, "cannot be read as a video"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n", "cannot be read"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_what_is_no_video_says_so(tmp_path, data, reason):
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(OSError, match=reason):
        VideoReader(str(path))


def test_a_file_of_sound_says_so(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8_000)
        samples = np.zeros((1, 8_000), np.float32)
        silence = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        silence.sample_rate, silence.pts = 8_000, 0
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    with pytest.raises(OSError, match="there is no video"):
        VideoReader(str(path))


@pytest.fixture
def clip(tmp_path) -> Path:
    return write_video(tmp_path / "a @ b.mp4", 50)


def test_a_frame_is_opened_as_every_input(clip):
    uri = make_frame_uri(str(clip), 1_000)
    seen = stat_input(uri)
    opened = open_input(uri)
    assert (opened.size, opened.mtime_ns, opened.fingerprint, opened.is_regular) == seen
    data = opened.read(10) + opened.read(1 << 20)
    assert len(data) == seen.size
    assert read_number(data) == 25
    assert not opened.has_changed()
    write_video(clip, 60)
    assert opened.has_changed()
    opened.close()


def test_what_is_not_there_is_said_as_of_every_input(clip):
    with pytest.raises(FileNotFoundError):
        stat_input(make_frame_uri(f"{clip}.not", 0))
    with pytest.raises(OSError, match="could not be listed"):
        open_input(make_frame_uri(str(clip), None))
    with pytest.raises(OSError, match="breaks off after 2"):
        open_input(make_frame_uri(str(clip), 5_000))
    with pytest.raises(OSError, match="--frames"):
        FrameScheme().list_inputs(make_frame_uri(str(clip), None))
