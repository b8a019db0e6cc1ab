"""The report as a file: true, harmless, of a bounded size."""

import json
import random
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from io import BytesIO

import pytest
from PIL import Image

from batchinfer.api.result_export import build_export_source
from batchinfer.errors import ConfigError
from batchinfer.exports.atomic import atomic_file
from batchinfer.report import write_report
from batchinfer.report.html_page import content_security_policy
from batchinfer.store.run_reader import RunReader
from support.records import failed, failure, reply
from support.report_runs import T0, detection, item, made, photograph, report

pytestmark = pytest.mark.event_loops("asyncio", "trio")

BLOCK = re.compile(r'<script type="application/json" id="(\w+)">(.*?)</script>', re.DOTALL)


def blocks(path):
    found = {name: json.loads(text) for name, text in BLOCK.findall(path.read_text("utf-8"))}
    assert set(found) == {"about", "items", "pictures"}
    return found


async def a_run(tmp_path, count=30):
    photo = photograph(tmp_path / "photo.jpg")
    items = [item(f"site/{place:03}.jpg", photo) for place in range(1, count + 1)]
    records = []
    for place in range(1, count + 1):
        at = T0 + place
        if place % 10 == 0:
            records.append(failed(place, at=at, message="it said no", log="Traceback"))
        elif place % 10 == 1:
            records += [
                failure(place, at=at),
                reply(place, 2, at=at + 5, prediction=[], seconds=2.0, server_seconds=0.5),
            ]
        else:
            found = [detection("cat", 0.9), detection("dog", 0.3)]
            records.append(reply(place, at=at, prediction=found, server_seconds=0.1))
    return await made(tmp_path / "run", items, records)


@pytest.mark.slow
async def test_its_counts_are_those_of_the_store(tmp_path):
    run = await a_run(tmp_path)
    done = report(run, tmp_path / "r.html")
    text = done.path.read_text("utf-8")
    with RunReader(run) as reader:
        counts, groups = reader.read_counts(), reader.read_failure_groups()

    assert (done.items, done.shown_items, done.size_bytes) == (30, 30, done.path.stat().st_size)
    assert (counts.succeeded, counts.failed) == (27, 3)
    assert "27 of 30 images have a prediction; 3 failed with model_error: it said no." in text
    assert "something was found in 24, and nothing in 3." in text
    assert [f">{group.count}</b>" in text for group in groups] == [True]
    assert f"batchinfer retry {run} --code model_error" in text
    assert "3 attempts failed and were followed by another." in text
    assert ">24</span>" in text  # each of the two classes
    assert "half within" in text


async def test_nothing_in_it_that_could_be_a_secret(tmp_path):
    text = report(await a_run(tmp_path, 3), tmp_path / "r.html").path.read_text("utf-8")

    assert "birds" in text
    assert "example.org" in text
    assert "swordfish" not in text
    assert "TOKEN" not in text


async def test_the_policy_allows_this_style_and_this_script_only(tmp_path):
    text = report(await a_run(tmp_path, 3), tmp_path / "r.html").path.read_text("utf-8")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    script = re.search(r'<script type="module">(.*?)</script>', text, re.DOTALL)[1]

    assert content_security_policy(style, script).replace("'", "&#39;") in text
    assert b64encode(sha256(script.encode()).digest()).decode() in text
    assert " style=" not in text
    assert not re.search(r"\son[a-z]+=", text[: text.index("<script")])
    assert "http:" not in style + script.replace("http://www.w3.org/2000/svg", "")
    assert "innerHTML" not in script


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\x1b[31m\n\u2028"


@pytest.mark.slow
async def test_hostile_texts_are_harmless(tmp_path):
    photo = photograph(tmp_path / "photo.jpg")
    items = [item(f"{place}{HOSTILE}", photo) for place in range(1, 5)]
    huge = "L" * 1_000_000
    records = [
        reply(1, at=T0, prediction=[detection(HOSTILE, 0.5), detection(huge, 0.6)], log=HOSTILE),
        failed(2, at=T0, code="model_error", message=HOSTILE, log=huge),
        reply(3, at=T0, prediction=HOSTILE, media_type="text/plain"),
        reply(4, at=T0, prediction={HOSTILE: huge}),
    ]
    run = await made(tmp_path / "run", items, records)
    done = report(run, tmp_path / "r.html", title=HOSTILE)
    text = done.path.read_text("utf-8")

    assert text.count("<script") == 4
    assert text.count("</script") == 4
    assert "<img" not in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u2028\x1b\x00]", text)
    assert done.size_bytes < 400_000
    cards = {card["n"]: card for card in blocks(done.path)["items"]}
    assert cards[2]["log"][1] == 1_000_000
    assert len(cards[1]["found"][1][0]) <= 240
    assert "</script><script>alert(1)" in cards[3]["prediction"]


@pytest.mark.slow
async def test_boxes_stand_in_the_upright_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: what is stored lies on its side
    photo = photograph(tmp_path / "turned.jpg", (400, 200), exif=exif)
    items = [item("turned.jpg", photo)]
    found = [detection("cat", 0.9, (20, 40, 60, 120))]
    run = await made(tmp_path / "run", items, [reply(1, at=T0, prediction=found)])

    def boxes(how):
        with RunReader(run) as reader:
            book = build_export_source(run, "all", boxes=how)
            done = write_report(book, reader, tmp_path / f"{how}.html")
        data = blocks(done.path)
        assert data["items"][0]["size"] == [200, 400]
        source, width, height = data["pictures"]["1"]
        picture = Image.open(BytesIO(b64decode(source.partition(",")[2])))
        assert picture.size == (width, height)
        assert width < height
        return data["items"][0]["found"][0][2]

    # Parts of 10,000. Upright: the box as it is, in 200 x 400.
    assert boxes("upright") == [1000, 1000, 2000, 2000]
    # Stored: (x, y) of 400 x 200 comes to (200 - y, x).
    assert boxes("stored") == [4000, 500, 4000, 1000]


@pytest.mark.slow
async def test_it_never_gets_larger_than_allowed(tmp_path):
    chance = random.Random(1)
    items, records = [], []
    for place in range(1, 201):
        noise = Image.frombytes("RGB", (300, 300), chance.randbytes(270_000))
        path = tmp_path / "photos" / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        noise.save(path, compress_level=1)
        items.append(item(f"{place}.png", path))
        text = "<" * 100_000
        records.append(reply(place, at=T0 + place, prediction={"text": text}, log=text))
    run = await made(tmp_path / "run", items, records)
    done = report(run, tmp_path / "r.html", max_bytes=2_000_000)

    assert done.path.stat().st_size == done.size_bytes <= 2_000_000
    assert done.items == 200
    assert 50 < done.shown_items < 200
    assert f"{done.shown_items} of 200 items are shown" in done.path.read_text("utf-8")
    pictures = blocks(done.path)["pictures"]
    assert sum(isinstance(each, list) for each in pictures.values()) >= 40


async def test_too_little_room_is_said(tmp_path):
    run = await a_run(tmp_path, 3)
    (tmp_path / "r.html").write_text("what was there")

    with pytest.raises(ConfigError, match="Allow more with `size`"):
        report(run, tmp_path / "r.html", max_bytes=10_000)
    assert (tmp_path / "r.html").read_text() == "what was there"


async def test_pictures_that_are_gone_or_broken_say_why(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    items = [item("broken.jpg", tmp_path / "broken.jpg"), item("gone.jpg", tmp_path / "gone.jpg")]
    records = [reply(1, at=T0, prediction="a"), reply(2, at=T0, prediction="b")]
    run = await made(tmp_path / "run", items, records)

    pictures = blocks(report(run, tmp_path / "r.html").path)["pictures"]
    assert {name: isinstance(why, str) and bool(why) for name, why in pictures.items()} == {
        "1": True,
        "2": True,
    }


async def test_what_came_back_as_a_picture_is_shown_beside_what_was_sent(tmp_path):
    photo = photograph(tmp_path / "photo.jpg")
    answer = BytesIO()
    Image.new("RGB", (50, 100)).save(answer, "PNG")
    sent = reply(1, at=T0, prediction=None, media_type="image/png", data=answer.getvalue())
    run = await made(tmp_path / "run", [item("photo.jpg", photo)], [sent])

    pictures = blocks(report(run, tmp_path / "r.html").path)["pictures"]
    assert pictures["1"][1:] == [50, 100]
    assert pictures["1i"][1:] == [320, 240]


@pytest.mark.slow
async def test_runs_without_an_end(tmp_path):
    empty = await made(tmp_path / "empty", [], [], complete=True)
    assert "There is nothing in this run yet." in report(empty, tmp_path / "a.html").path.read_text(
        "utf-8"
    )

    photo = photograph(tmp_path / "photo.jpg")
    items = [item(f"{place}.jpg", photo) for place in range(4)]
    half = await made(tmp_path / "half", items, [reply(1, at=T0, prediction=[])], complete=False)
    stopped = report(half, tmp_path / "b.html").path.read_text("utf-8")
    assert (
        "The run was interrupted, and can go on. So far, 1 of the 4 images found by then" in stopped
    )
    assert f"batchinfer resume {half}" in stopped
    going = report(half, tmp_path / "c.html", is_running=True).path.read_text("utf-8")
    assert "The run is still going on." in going
    assert f"batchinfer resume {half}" not in going


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    with (
        pytest.raises(ConfigError, match="does not exist: create it first"),
        atomic_file(tmp_path / "no" / "r"),
    ):
        pass
