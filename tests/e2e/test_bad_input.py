"""Whatever lies in a folder or a manifest: each item has its one row, the rest goes on."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from support.cli import batchinfer, config, png

MODES = ["sync", "async"]
GOOD = [
    "plain.png",
    "with space.png",
    "quo\"te's.png",
    "new\nline.png",
    "dots.in.the.name.001.png",
    "event-file-x.png",
    "tmp-file-abcde.png",
    "ünï-çødé-🐟.png",
    "=1+1.png",
    "no-extension",
    "UPPER.PNG",
    "one/same.png",
    "two/same.png",
]
UNDECODABLE = b"caf\xe9.png"
BAD = {"empty.png": "file_empty", "broken-link.png": "file_missing"}


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4)) as local:
        yield local


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    for number, name in enumerate(GOOD):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(number))
    Path(os.fsdecode(os.fsencode(folder) + b"/" + UNDECODABLE)).write_bytes(png(99))
    (folder / "empty.png").touch()
    (folder / "broken-link.png").symlink_to(folder / "nowhere.png")
    (folder / "one" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / ".hidden.png").write_bytes(png(1))
    os.mkfifo(folder / "pipe.png")
    return folder


@pytest.mark.parametrize("mode", MODES)
def test_a_hostile_folder(mode: str, folder: Path, service: ServiceProcess, tmp_path: Path):
    toml = config(tmp_path / "c.toml", service, f'mode = "{mode}"')
    done = batchinfer("run", folder, "-c", toml, "-o", tmp_path / "run", code=1)
    assert "pipe.png" in done.stderr
    export = ("export", tmp_path / "run", "-o", "-", "--format", "csv")
    assert "\n'=1+1.png," in batchinfer(*export).stdout
    table = batchinfer(*export, "--formulas").stdout
    rows = {row["key"]: row for row in csv.DictReader(io.StringIO(table, newline=""))}
    assert set(rows) == {*GOOD, *BAD, r"caf\xe9.png"}
    for key, row in rows.items():
        if key in BAD:
            assert (row["state"], row["code"]) == ("failed", BAD[key])
        else:
            assert row["state"] == "succeeded", row
            path = os.fsencode(folder) + b"/" + (UNDECODABLE if "\\" in key else key.encode())
            assert json.loads(row["prediction"])["size"] == Path(os.fsdecode(path)).stat().st_size
    for key in ("new\nline.png", r"caf\xe9.png"):
        assert "succeeded" in batchinfer("show", tmp_path / "run", key).stdout


@pytest.mark.parametrize("mode", MODES)
def test_a_manifest_whose_files_are_gone(mode: str, service: ServiceProcess, tmp_path: Path):
    (tmp_path / "here.png").write_bytes(png(1))
    lines = "path,note\r\nhere.png,x\r\ngone.png,y\r\n,only a parameter\r\n"
    (tmp_path / "list.csv").write_bytes(b"\xef\xbb\xbf" + lines.encode())  # BOM and CRLF
    toml = config(tmp_path / "c.toml", service, f'mode = "{mode}"')
    run = tmp_path / "run"
    done = batchinfer("run", tmp_path / "list.csv", "-c", toml, "-o", run, code=2)
    assert "list.csv:3" in done.stderr  # a file that is not there
    assert "list.csv:4" in done.stderr  # an item without file and key has no name
    assert not run.exists()

    (tmp_path / "list.csv").write_text("path,note\nhere.png,x\ngone.png,y\n")
    (tmp_path / "gone.png").write_bytes(png(2))
    batchinfer("run", tmp_path / "list.csv", "-c", toml, "-o", run, "--limit", 1)
    (tmp_path / "gone.png").unlink()  # once the run has begun it is that item's failure alone
    batchinfer("run", tmp_path / "list.csv", "-c", toml, "-o", run, code=1)
    rows = batchinfer("export", run, "-o", "-", "--format", "jsonl").stdout.splitlines()
    assert [(row["key"], row["code"]) for row in map(json.loads, rows)] == [
        ("here.png", None),
        ("gone.png", "file_missing"),
    ]
    (tmp_path / "gone.png").write_bytes(png(2))
    batchinfer("retry", run, "--code", "file_missing")
    batchinfer("resume", run, "-c", toml)
