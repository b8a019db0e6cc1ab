"""A source of another package, found by its entry point alone, through the whole command line."""

import json
import os
import signal
from hashlib import sha256
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support import plugins
from support.cli import batchinfer, config, images, start, until

COUNT = 24
MODES = ["sync", "async"]


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=2, latency=0.1)) as local:
        yield local


@pytest.fixture
def shelf(tmp_path) -> Path:
    images(tmp_path / "shelf" / "photos", COUNT)
    return tmp_path / "shelf"


@pytest.fixture
def env(tmp_path, shelf) -> dict[str, str]:
    toy = {"group": "batchinfer.sources", "name": "toy", "target": "toy_source:ToySource"}
    found_by = plugins.install(tmp_path / "site", **toy)
    return {**os.environ, **found_by, "TOY_SHELF": str(shelf)}


def do(env, *args, code=0) -> str:
    done = batchinfer(*args, code=code, env=env)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def rows(run: Path) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in bi.query(run, "select * from results")}


@pytest.mark.parametrize("mode", MODES)
def test_a_run_is_interrupted_continued_and_exported(mode, service, env, shelf, tmp_path):
    run = tmp_path / "run"
    toml = config(tmp_path / "c.toml", service, f'mode = "{mode}"\nconcurrency = 2')
    process = start("run", "toy://photos", "-c", toml, "-o", run, env=env)
    until(run, lambda counts: counts.succeeded >= 4, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert 4 <= bi.status(run).counts.succeeded < COUNT

    do(env, "resume", run)
    found = rows(run)
    assert len(found) == COUNT
    for key, row in found.items():
        data = (shelf / "photos" / key).read_bytes()
        assert row["path"] == f"toy://photos/{key}"
        assert json.loads(row["prediction"])["sha256"] == sha256(data).hexdigest()

    do(env, "export", run, "-o", tmp_path / "x.csv")
    assert "toy://photos/site-0/img 0000.png" in (tmp_path / "x.csv").read_text()
    said = do(env, "report", run, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "toy://photos/site-0/img 0000.png" in page
    assert page.count("data:image/webp;base64,") == COUNT


def test_exports_that_read_pictures_read_those_of_a_plugin(service, env, shelf, tmp_path):
    run = tmp_path / "run"
    toml = config(tmp_path / "c.toml", service)
    do(env, "run", "toy://photos", "-c", toml, "-o", run, "--limit", 3, "-q")
    for kind in ("coco", "yolo", "label-studio", "fiftyone", "ro-crate"):
        do(env, "export", run, "-o", tmp_path / kind, "--format", kind)
    tasks = json.loads((tmp_path / "label-studio" / "tasks.json").read_text())
    assert tasks[0]["data"]["image"] == "toy://photos/site-0/img 0000.png"
    crate = json.loads((tmp_path / "ro-crate" / "ro-crate-metadata.json").read_text())
    files = {each["@id"]: each for each in crate["@graph"]}
    data = (shelf / "photos" / "site-0" / "img 0000.png").read_bytes()
    assert files["toy://photos/site-0/img%200000.png"]["sha256"] == sha256(data).hexdigest()

    (shelf / "AWAY").touch()  # what is exported then has no pictures, and says so
    said = do(env, "export", run, "-o", tmp_path / "more", "--format", "coco")
    assert "does not answer" in said
    do(env, "report", run, "-o", tmp_path / "report.html")


def test_what_changed_or_is_gone_fails_alone_and_is_retried(service, env, shelf, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    listed = tmp_path / "list.txt"
    keys = sorted(path.relative_to(shelf) for path in (shelf / "photos").rglob("*.png"))[:6]
    listed.write_text("".join(f"toy://{key}\n" for key in keys))
    do(env, "run", "--files-from", listed, "-c", toml, "-o", run, "--limit", 1, "-q")
    changed, gone = shelf / keys[4], shelf / keys[5]
    content = changed.read_bytes()
    changed.write_bytes(content[:-1] + b"x")  # as large as before
    gone.rename(tmp_path / "kept.png")

    do(env, "resume", run, code=1)
    found = rows(run)
    codes = {key: row["code"] for key, row in found.items() if row["code"]}
    assert codes == {f"toy://{keys[4]}": "file_changed", f"toy://{keys[5]}": "file_missing"}

    (tmp_path / "kept.png").rename(gone)
    do(env, "retry", run)
    do(env, "resume", run)
    assert {row["state"] for row in rows(run).values()} == {"succeeded"}


def test_a_source_that_is_away_fails_nobody(service, env, shelf, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    do(env, "run", "toy://photos", "-c", toml, "-o", run, "--limit", 2, "-q")
    (shelf / "AWAY").touch()
    assert "source_unavailable" in do(env, "resume", run, "--json", code=3)
    (shelf / "AWAY").unlink()

    without = {name: value for name, value in env.items() if name != "PYTHONPATH"}
    said = do(without, "resume", run, "--json", code=3)
    assert "no installed package reads toy://" in said
    assert bi.status(run).counts.failed == 0

    do(env, "run", "toy://photos", "-c", toml, "-o", run)
    assert bi.status(run).counts.succeeded == COUNT


def test_it_is_selected_looked_at_and_moved_like_a_folder(service, env, shelf, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    (shelf / "photos" / "Thumbs.db").write_bytes(b"x")
    dry = ("run", "toy://photos", "-c", toml, "-o", run, "--dry-run")
    said = json.loads(do(env, *dry, "--json", "--exclude", "site-1/", "--include", "*0.PNG"))
    assert (said["items"], said["key"]) == (6, "site-0/img 0000.png")
    assert said["skipped"] == {"Thumbs.db": 1, ".png": 14, "site-1/": 4}
    assert "fetch it first" in do(env, *dry, "--curl")
    assert "toy://nothing is not there" in do(env, "run", "toy://nothing", "-c", toml, code=2)
    plain = {name: value for name, value in env.items() if name != "PYTHONPATH"}
    assert "only files on this machine" in do(plain, "run", "toy://photos", "-c", toml, code=2)

    do(env, "run", "toy://photos", "-c", toml, "-o", run, "--limit", 2, "-q")
    images(shelf / "other", 1)
    assert "was made from toy://photos" in do(env, "run", "toy://other", "-o", run, code=3)
    (shelf / "photos").rename(shelf / "archive")
    do(env, "resume", run, "--source", "toy://archive", "--limit", 2)
    do(env, "resume", run, "--source", str(shelf / "archive"))
    found = rows(run)
    assert {row["state"] for row in found.values()} == {"succeeded"}
    assert {row["path"] for row in found.values()} == {
        str(shelf / "archive" / key) for key in found
    }
