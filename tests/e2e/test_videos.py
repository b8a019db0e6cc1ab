"""Frames of videos, by the command line: killed, continued, broken, moved, in archives."""

import json
import signal
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.inputs import open_stream
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.archives import pack_zip
from support.cli import batchinfer, config, png, start, until
from support.videos import read_number, write_video


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=2, latency=0.1)) as local:
        yield local


@pytest.fixture
def clips(tmp_path) -> Path:
    folder = tmp_path / "clips"
    (folder / "sub").mkdir(parents=True)
    write_video(folder / "a.mp4", 250)
    write_video(folder / "sub" / "b b.MKV", 150, times=[Fraction(n, 10) for n in range(150)])
    (folder / "sub" / "c.png").write_bytes(png(1))
    return folder


KEYS = [
    *(f"a.mp4@00:00:{second:02}.000" for second in range(10)),
    *(f"sub/b b.MKV@00:00:{second:02}.000" for second in range(15)),
    "sub/c.png",
]


def do(*args, code=0, **options) -> str:
    done = batchinfer(*args, code=code, **options)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def rows(run: Path) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in bi.query(run, "select * from results order by position")}


def read_input(path: str) -> bytes:
    with open_stream(path) as file:
        return file.read()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_run_is_killed_continued_and_exported(mode, service, clips, tmp_path):
    run = tmp_path / "run"
    toml = config(tmp_path / "c.toml", service, f'mode = "{mode}"\nconcurrency = 2')
    process = start("run", clips, "--frames", "fps=1", "-c", toml, "-o", run)
    until(run, lambda counts: counts.succeeded >= 4, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert 4 <= bi.status(run).counts.succeeded < len(KEYS)

    do("resume", run)
    found = rows(run)
    assert list(found) == KEYS
    for key, row in found.items():
        data = read_input(str(row["path"]))
        assert json.loads(row["prediction"])["sha256"] == sha256(data).hexdigest()
        if "@" in key:
            assert row["path"] == f"frame://{clips}/{key}.jpg"
            second = int(key[-6:-4])
            assert read_number(data) == second * (25 if key.startswith("a") else 10)

    do("report", run, "-o", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("data:image/webp;base64,") == len(KEYS)
    for kind in ("csv", "coco", "yolo"):
        do("export", run, "-o", tmp_path / kind, "--format", kind)


def test_broken_videos_are_one_item_or_lose_what_is_behind(service, clips, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    (clips / "broken.mp4").write_bytes(b"no video" * 1000)
    (clips / "link.mp4").symlink_to(tmp_path / "nothing.mp4")
    cut = write_video(clips / "cut.mp4", 250, options={"movflags": "faststart"})
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    do("run", clips, "--frames", "every=2s", "-c", toml, "-o", run, code=1)
    found = rows(run)
    codes = {key: row["code"] for key, row in found.items() if row["code"]}
    assert codes["broken.mp4"] == "file_unreadable"
    assert "cannot be read as a video" in str(found["broken.mp4"]["message"])
    assert codes["link.mp4"] == "file_missing"
    assert found["cut.mp4@00:00:00.000"]["state"] == "succeeded"
    assert codes["cut.mp4@00:00:08.000"] == "file_unreadable"
    assert {key.partition("@")[0] for key in codes} == {"broken.mp4", "link.mp4", "cut.mp4"}

    write_video(clips / "broken.mp4", 50)
    do("retry", run, "--code", "file_unreadable")
    do("resume", run, code=1)
    assert "start a new run" in str(rows(run)["broken.mp4"]["message"])


def test_a_video_that_is_away_or_changed(service, clips, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    video = clips / "a.mp4"
    do("run", video, "--frames", "fps=1", "-c", toml, "-o", run, "--limit", 2, "-q")
    video.rename(tmp_path / "kept.mp4")
    said = do("resume", run, "--json", code=3)
    assert "source_unavailable" in said
    assert "a.mp4 is not there" in said
    (tmp_path / "kept.mp4").rename(video)
    do("resume", run, "--limit", 1)
    write_video(video, 251)
    do("resume", run, code=1)
    codes = [row["code"] for row in rows(run).values()]
    assert codes == [None] * 3 + ["file_changed"] * 7
    do("retry", run)
    do("resume", run)
    assert {row["state"] for row in rows(run).values()} == {"succeeded"}


def test_the_rule_belongs_to_the_run_and_sources_move(service, clips, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    do("run", clips, "--frames", "fps=1", "-c", toml, "-o", run, "--limit", 3, "-q")
    said = do("run", clips, "--frames", "fps=2", "-c", toml, "-o", run, code=3)
    assert "frames" in said
    assert "every=2s" in do("run", clips, "--frames", "2s", "-c", toml, "-o", run, code=2)
    clips.rename(tmp_path / "moved")
    do("resume", run, "--source", tmp_path / "moved")
    assert list(rows(run)) == KEYS
    assert {row["state"] for row in rows(run).values()} == {"succeeded"}


def test_selected_sharded_listed_and_in_archives(service, clips, tmp_path):
    toml = config(tmp_path / "c.toml", service)
    dry = ("-c", toml, "-o", tmp_path / "run", "--dry-run", "--json")

    def count(*args) -> int:
        return json.loads(do("run", *args, *dry).splitlines()[-1])["items"]

    assert count(clips) == 3
    assert count(clips, "--frames", "n=4") == 9
    assert count(clips, "--frames", "n=4", "--only", "video") == 8
    assert count(clips, "--frames", "n=4", "--exclude", "sub/") == 4
    parts = [count(clips, "--frames", "n=40", "--shard", f"{n}/2") for n in (1, 2)]
    assert sum(parts) == 81
    assert min(parts) > 20

    (tmp_path / "m.csv").write_text("key,path\none,clips/a.mp4\ntwo,clips/sub/c.png\n")
    run = tmp_path / "of-a-list"
    do("run", tmp_path / "m.csv", "--frames", "n=2", "-c", toml, "-o", run)
    assert list(rows(run)) == ["one@00:00:02.500", "one@00:00:07.500", "two"]

    archive = pack_zip(tmp_path / "clips.zip", clips, ["a.mp4", "sub/c.png"])
    run = tmp_path / "of-an-archive"
    do("run", archive, "--frames", "every=4s", "-c", toml, "-o", run)
    found = rows(run)
    assert list(found) == [
        *(f"clips.zip!a.mp4@00:00:{second:02}.000" for second in (0, 4, 8)),
        "clips.zip!sub/c.png",
    ]
    numbers = [read_number(read_input(str(row["path"]))) for row in [*found.values()][:3]]
    assert numbers == [0, 100, 200]
