"""Thumbnails by real worker processes, of real files, with real kills."""

from __future__ import annotations

import io
import math
import os
import random
import signal
import subprocess
import sys
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image, features

from batchinfer.images import (
    ImageInfo,
    Thumbnail,
    ThumbnailJob,
    UnreadableImage,
    make_thumbnails,
    read_image_info,
)
from support.image_files import bomb, exif, photograph, quarters, scene, stored

UPRIGHT = ["red", "green", "blue", "gray"]


def shown(thumbnail: Thumbnail | UnreadableImage) -> Image.Image:
    assert isinstance(thumbnail, Thumbnail), thumbnail
    image = Image.open(io.BytesIO(thumbnail.data))
    image.load()
    assert image.size == (thumbnail.width, thumbnail.height)
    assert Image.MIME[image.format or ""] == thumbnail.media_type
    assert not image.getexif()
    return image


def one(path: str | Path, edge: int = 48, quality: int = 90) -> Thumbnail | UnreadableImage:
    (made,) = make_thumbnails([ThumbnailJob(str(path), edge, quality)], workers=1)
    return made


def children() -> set[int]:
    """Processes that this one started and has not waited for, zombies among them."""
    found = set()
    for thread in Path(f"/proc/{os.getpid()}/task").iterdir():
        with suppress(OSError):  # it has ended meanwhile, and its children are another one's
            found |= {int(child) for child in (thread / "children").read_text().split()}
    return found


@pytest.fixture(autouse=True)
def no_process_stays():
    before = children()
    yield
    assert children() == before


def test_many_in_their_order_with_the_broken_among_them(tmp_path):
    paths = [photograph(tmp_path / f"{n}.jpg") for n in range(12)]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(Path(paths[0]).read_bytes()[:900])
    paths[5] = str(broken)
    paths[7] = str(tmp_path / "gone.jpg")
    jobs = [ThumbnailJob(path, 8 + n) for n, path in enumerate(paths)]
    made = list(make_thumbnails(jobs, workers=2))
    widths = [each.width if isinstance(each, Thumbnail) else each.reason for each in made]
    expected = [8 + n for n in range(12)]
    assert widths[5] == "the picture is cut off"
    assert widths[7] == "the file is not there any more"
    assert [width for n, width in enumerate(widths) if n not in {5, 7}] == [
        width for n, width in enumerate(expected) if n not in {5, 7}
    ]


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_they_are_upright(tmp_path, ending, orientation):
    path = tmp_path / f"a.{ending}"
    stored(scene(), orientation or 1).save(path, exif=exif(orientation), quality=95)
    made = one(path)
    image = shown(made)
    assert image.size == (48, 32)
    assert quarters(image) == UPRIGHT
    assert isinstance(made, Thumbnail)
    assert made.info == read_image_info(str(path))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "LAB"])
def test_every_mode_becomes_something_a_browser_shows(tmp_path, mode):
    path = tmp_path / "a.tif"
    image = scene().convert("RGB").convert("P" if mode == "PA" else "RGB")
    try:
        image.convert(mode).save(path)
    except (OSError, ValueError):
        pytest.skip(f"this Pillow cannot write a TIFF of mode {mode}")
    image = shown(one(path))
    assert image.size == (48, 32)
    if mode not in {"1", "L", "LA", "LAB"}:
        assert quarters(image) == UPRIGHT


def test_what_is_transparent_is_white(tmp_path):
    for name, image in (
        ("a.png", Image.new("RGBA", (40, 40), (0, 0, 0, 0))),
        ("b.png", Image.new("LA", (40, 40), (0, 0))),
    ):
        image.save(tmp_path / name)
        assert shown(one(tmp_path / name)).convert("L").getextrema()[0] > 250
    palette = Image.new("P", (40, 40))
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.save(tmp_path / "c.png", transparency=0)
    assert shown(one(tmp_path / "c.png")).convert("L").getextrema()[0] > 250


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_measurements_are_stretched_to_shades(tmp_path, mode):
    values = [1000 + 10 * x for x in range(64)] * 64
    kind = {"I;16": "H", "I": "i", "F": "f"}[mode]
    image = Image.frombytes(mode, (64, 64), array(kind, values).tobytes())
    image.save(tmp_path / "a.tif")
    low, high = shown(one(tmp_path / "a.tif")).convert("L").getextrema()
    assert low < 10
    assert high > 245


def test_what_was_not_measured_is_black_and_does_not_blind_the_rest(tmp_path):
    values = [math.nan, -3.4e38, math.inf, *(float(x) for x in range(61))] * 64
    Image.frombytes("F", (64, 64), array("f", values).tobytes()).save(tmp_path / "a.tif")
    image = shown(one(tmp_path / "a.tif", 64)).convert("L")
    row = [image.getpixel((x, 32)) for x in range(64)]
    assert max(row[:2]) < 40
    assert row[63] > 230
    flat = array("f", [math.nan] * 64)
    Image.frombytes("F", (8, 8), flat.tobytes()).save(tmp_path / "b.tif")
    assert shown(one(tmp_path / "b.tif")).size == (8, 8)


def test_of_what_moves_the_first_picture(tmp_path):
    scene().save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (120, 80))] * 3)
    assert quarters(shown(one(tmp_path / "a.gif"))) == UPRIGHT


def test_they_never_grow_and_are_never_nothing(tmp_path):
    scene(20, 10).save(tmp_path / "a.png")
    assert shown(one(tmp_path / "a.png", 4000)).size == (20, 10)
    Image.new("RGB", (4000, 1)).save(tmp_path / "b.png")
    assert shown(one(tmp_path / "b.png")).size == (48, 1)


def test_webp_where_pillow_can(tmp_path):
    made = one(photograph(tmp_path / "a.jpg"))
    assert isinstance(made, Thumbnail)
    assert made.media_type == ("image/webp" if features.check("webp") else "image/jpeg")


def test_files_that_are_traps(tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")
    photograph(tmp_path / "fine.jpg")
    (tmp_path / "fine.jpg").rename(odd)
    paths = [str(pipe), bomb(tmp_path / "bomb.png"), bomb(tmp_path / "small.png", 14_000), odd]
    made = list(make_thumbnails([ThumbnailJob(path, 48) for path in paths], workers=2))
    assert made[0] == UnreadableImage("it is no regular file")
    assert made[1] == UnreadableImage(
        "it has 60000 x 60000 pixels, and more than 200 million are not decoded"
    )
    assert made[2] == UnreadableImage("the picture is cut off")
    assert quarters(shown(made[3])) == UPRIGHT


def test_a_worker_that_is_killed_as_it_starts_costs_its_picture_only(tmp_path):
    paths = [photograph(tmp_path / f"{n}.jpg") for n in range(4)]
    before = children()
    killed: list[int] = []

    def jobs():
        for path in paths:
            yield ThumbnailJob(path, 48)
            if not killed:
                killed.extend(children() - before)
                os.kill(killed[0], signal.SIGKILL)

    made = list(make_thumbnails(jobs(), workers=2))
    assert made[0] == UnreadableImage("the process that decoded it died")
    assert [quarters(shown(each)) for each in made[1:]] == [UPRIGHT] * 3


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_of_a_picture(tmp_path):
    large = tmp_path / "large.png"
    scene(12_000, 12_000).save(large, compress_level=1)
    paths = [photograph(tmp_path / "0.jpg"), str(large), photograph(tmp_path / "2.jpg")]
    before = children()

    def kill():
        while not any(map(decodes, children() - before)):
            time.sleep(0.001)
        (worker,) = children() - before
        os.kill(worker, signal.SIGSTOP)
        assert decodes(worker)
        os.kill(worker, signal.SIGKILL)

    def decodes(worker: int) -> bool:
        with suppress(OSError):  # gone meanwhile
            return str(large) in map(os.readlink, Path(f"/proc/{worker}/fd").iterdir())
        return False

    with ThreadPoolExecutor(1) as threads:
        killing = threads.submit(kill)
        made = list(make_thumbnails([ThumbnailJob(path, 48) for path in paths], workers=1))
        killing.result()
    assert made[1] == UnreadableImage("the process that decoded it died")
    assert [quarters(shown(made[n])) for n in (0, 2)] == [UPRIGHT] * 2


def test_a_worker_that_is_killed_between_two_pictures_costs_none(tmp_path):
    paths = [photograph(tmp_path / f"{n}.jpg") for n in range(3)]
    before = children()

    def jobs():
        for path in paths:
            for worker in children() - before:  # the only one; asked, so it has nothing to do
                os.kill(worker, signal.SIGKILL)
                os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
            yield ThumbnailJob(path, 48)

    made = list(make_thumbnails(jobs(), workers=1))
    assert [quarters(shown(each)) for each in made] == [UPRIGHT] * 3


def test_workers_that_never_start_are_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    path = photograph(tmp_path / "a.jpg")
    made = list(make_thumbnails([ThumbnailJob(path, 48)] * 5, workers=1))
    assert made[:3] == [UnreadableImage("the process that decoded it died")] * 3
    assert made[3:] == [UnreadableImage("the processes that decode pictures die as they start")] * 2
    monkeypatch.setattr("sys.executable", str(tmp_path / "gone"))
    assert one(path) == UnreadableImage(
        "no process to decode it could start: No such file or directory"
    )


def test_a_worker_may_use_so_much_memory_and_no_more(tmp_path):
    before = children()
    made = make_thumbnails(
        [ThumbnailJob(photograph(tmp_path / f"{n}.jpg"), 48) for n in range(3)], workers=1
    )
    next(made)
    (worker,) = children() - before
    limits = Path(f"/proc/{worker}/limits").read_text().splitlines()
    (memory,) = (line.split()[3] for line in limits if line.startswith("Max address space"))
    assert int(memory) == 2 << 30
    made.close()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_worker_that_hangs_costs_its_picture_only(tmp_path):
    paths = [photograph(tmp_path / f"{n}.jpg") for n in range(4)]
    before = children()
    stopped: list[int] = []

    def jobs():
        for path in paths:
            yield ThumbnailJob(path, 48)
            if not stopped:
                stopped.extend(children() - before)
                os.kill(stopped[0], signal.SIGSTOP)

    made = list(make_thumbnails(jobs(), workers=2, seconds=5))
    assert made[0] == UnreadableImage("decoding it took longer than 5 seconds")
    assert [quarters(shown(each)) for each in made[1:]] == [UPRIGHT] * 3


def test_files_broken_at_random_never_end_the_rest(tmp_path):
    whole = []
    for ending in ("jpg", "png", "tif", "webp", "gif", "bmp"):
        scene().save(tmp_path / f"a.{ending}")
        whole.append((tmp_path / f"a.{ending}").read_bytes())
    chance = random.Random(5)
    jobs = []
    for number in range(240):
        data = bytearray(whole[number % len(whole)])
        for _ in range(chance.randint(1, 12)):
            data[chance.randrange(min(len(data), 700))] = chance.randrange(256)
        path = tmp_path / f"{number}"
        path.write_bytes(data[: chance.randint(len(data) // 2, len(data))])
        jobs.append(ThumbnailJob(str(path), 48))
    jobs.append(ThumbnailJob(photograph(tmp_path / "sound.jpg"), 48))
    made = list(make_thumbnails(jobs, workers=2))
    assert len(made) == len(jobs)
    assert all(each.reason for each in made if isinstance(each, UnreadableImage))
    assert quarters(shown(made[-1])) == UPRIGHT


def test_jobs_are_drawn_as_they_are_needed(tmp_path):
    path = photograph(tmp_path / "a.jpg")
    drawn = []

    def jobs():
        for number in range(1_000_000):
            drawn.append(number)
            yield ThumbnailJob(path, 48)

    made = make_thumbnails(jobs(), workers=2)
    assert drawn == []
    for _ in range(10):
        shown(next(made))
    assert len(drawn) <= 10 + 2 * 4
    del made  # somebody who has seen enough; the fixture looks that no process stays


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_among_the_jobs_comes_out_and_leaves_nothing(tmp_path, error):
    path = photograph(tmp_path / "a.jpg")

    def jobs():
        yield ThumbnailJob(path, 48)
        raise error

    with pytest.raises(error):
        list(make_thumbnails(jobs(), workers=2))


def test_workers_see_no_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    before = children()
    made = make_thumbnails(
        [ThumbnailJob(photograph(tmp_path / f"{n}.jpg"), 48) for n in range(3)], workers=1
    )
    next(made)
    (worker,) = children() - before
    assert b"hush" not in Path(f"/proc/{worker}/environ").read_bytes()
    made.close()  # type: ignore[attr-defined]


PARENT = """
import sys, os, signal
from batchinfer.images import ThumbnailJob, make_thumbnails
made = make_thumbnails([ThumbnailJob(sys.argv[1], 48)] * 3, workers=1)
next(made)
print(open(f"/proc/self/task/{os.getpid()}/children").read(), flush=True)
signal.pause()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_worker_ends_with_its_parent(tmp_path, how):
    """Also where the parent has no chance to end it."""
    path = photograph(tmp_path / "a.jpg")
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert _is_worker(worker)
        parent.send_signal(how)
    while _is_worker(worker):
        time.sleep(0.01)


def _is_worker(process: int) -> bool:
    try:
        return (
            b"batchinfer.images.thumbnail_worker" in Path(f"/proc/{process}/cmdline").read_bytes()
        )
    except OSError:
        return False


def test_nothing_to_do():
    assert list(make_thumbnails([])) == []


def test_facts_travel_whole(tmp_path):
    gps = {1: "N", 2: (47.0, 22.0, 30.0), 3: "W", 4: (8.0, 33.0, 0.0)}
    made = one(photograph(tmp_path / "a.jpg", 6, gps=gps, taken={0x9003: "2026:05:04 03:02:01"}))
    assert isinstance(made, Thumbnail)
    assert made.info == ImageInfo(120, 80, 6, 47.375, -8.55, "2026-05-04T03:02:01", "JPEG")
