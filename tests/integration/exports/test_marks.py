"""What batchinfer has written is known again, wherever it lies; what others wrote never is."""

import gzip
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from batchinfer.api.run_report import report
from batchinfer.artifacts import EXPORT_MARKER_NAME, ArtifactKind, detect_artifact, is_artifact
from batchinfer.config.template import CONFIG_TEMPLATE
from batchinfer.exports import FolderExport, list_formats, write_export
from support.cli import batchinfer

FILES = [each.name for each in list_formats() if not isinstance(each, FolderExport)]
FOLDERS = [each.name for each in list_formats() if isinstance(each, FolderExport)]


def copied(path, to):
    """A copy of the bytes alone: without attributes, as a mail or another disk has it."""
    to.write_bytes(path.read_bytes())
    return to


@pytest.mark.parametrize("format", FILES)
@pytest.mark.parametrize("name", ["plain", "packed.gz"])
def test_a_file_of_an_export_is_known_by_its_bytes_whatever_its_name(hung, tmp_path, format, name):
    write_export(hung.book(), tmp_path / name, format)
    assert (
        detect_artifact(copied(tmp_path / name, tmp_path / "elsewhere.dat")) is ArtifactKind.EXPORT
    )


@pytest.mark.parametrize("format", FOLDERS)
def test_a_folder_of_an_export_is_known_also_under_another_name(hung, tmp_path, format):
    write_export(hung.book(), tmp_path / "made", format)
    if format != "ro-crate":
        assert json.loads((tmp_path / "made" / EXPORT_MARKER_NAME).read_text())["format"] == format
    (tmp_path / "made").rename(tmp_path / "moved")
    assert detect_artifact(tmp_path / "moved") is ArtifactKind.EXPORT
    assert not is_artifact(tmp_path)


@pytest.mark.parametrize("format", FOLDERS)
def test_a_folder_of_an_older_version_had_no_marker(hung, tmp_path, format):
    write_export(hung.book(), tmp_path / "made", format)
    (tmp_path / "made" / EXPORT_MARKER_NAME).unlink(missing_ok=True)
    assert detect_artifact(tmp_path / "made") is ArtifactKind.EXPORT


def test_an_export_without_a_row_is_known_by_its_header(hung, tmp_path):
    for chosen in ("csv", "csv-flat", "parquet", "arrow", "coco", "geojson"):
        empty = hung.book()
        none = type(empty)(empty.run_directory, empty.info, lambda: iter(()), lambda: iter(()))
        write_export(none, tmp_path / chosen, chosen)
        assert (
            detect_artifact(copied(tmp_path / chosen, tmp_path / "copy")) is ArtifactKind.EXPORT
        ), chosen


@pytest.mark.parametrize("made", ["\ufeff{}", "{}"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_known_after_a_spreadsheet_has_saved_it(hung, tmp_path, made, separator):
    write_export(hung.book(), tmp_path / "t.csv", "csv")
    header, _, rest = (tmp_path / "t.csv").read_text("utf-8").partition("\r\n")
    text = header.replace(",", separator) + "\n" + rest
    (tmp_path / "saved.txt").write_text(made.format(text), "utf-8")
    assert detect_artifact(tmp_path / "saved.txt") is ArtifactKind.EXPORT


def test_the_table_of_a_query_is_known_though_its_columns_are_anybodys(hung, tmp_path):
    target = tmp_path / "sure.csv"
    batchinfer("query", str(hung.run), "select key from results", "-o", str(target))
    try:
        os.getxattr(target, "user.batchinfer")
    except (OSError, AttributeError):
        pytest.skip("this file system keeps no attributes")
    assert detect_artifact(target) is ArtifactKind.EXPORT
    assert not is_artifact(copied(target, tmp_path / "typed.csv"))


def test_a_report_is_known(hung, tmp_path):
    report(hung.run, tmp_path / "r.html")
    assert detect_artifact(tmp_path / "r.html") is ArtifactKind.REPORT
    assert (
        detect_artifact(copied(tmp_path / "r.html", tmp_path / "page.htm")) is ArtifactKind.REPORT
    )


def test_a_run_directory_is_known_through_links_and_so_is_each_file_in_it(hung, tmp_path):
    run = shutil.copytree(hung.run, tmp_path / "some name")
    (tmp_path / "link").symlink_to(run)
    for path in (run, tmp_path / "link", tmp_path / "x" / ".." / "some name"):
        (tmp_path / "x").mkdir(exist_ok=True)
        assert detect_artifact(path) is ArtifactKind.RUN
    database = sqlite3.connect(run / "run.db")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE scratch (x)")
    (run / "run.log").write_text("what was said")
    (run / "run.lock").touch()
    names = ["run.db", "run.db-wal", "run.db-shm", "run.log", "run.lock", "outputs"]
    assert [detect_artifact(run / name) for name in names] == [ArtifactKind.RUN] * len(names)
    database.close()
    assert detect_artifact(copied(run / "run.db", tmp_path / "backup")) is ArtifactKind.RUN


def test_payloads_are_known_and_their_index(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "bear.jpg").write_bytes(b"\xff\xd8\xff\xe0 a bear")
    said = batchinfer("prepare", "photos", "-o", "payloads", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    payloads = sorted((tmp_path / "payloads").iterdir())
    assert [detect_artifact(each) for each in payloads] == [ArtifactKind.PAYLOAD] * 2
    assert [detect_artifact(copied(p, tmp_path / "c")) for p in payloads] == [
        ArtifactKind.PAYLOAD
    ] * 2
    # With --force it may be anybody's folder.
    assert not is_artifact(tmp_path / "payloads")


CONFIGS = {
    "batchinfer.toml": CONFIG_TEMPLATE,
    "other.toml": CONFIG_TEMPLATE,
    "conf": '[service]\nendpoint = "https://x/run/y"\ntoken = "abc"\n',
    "dotted.toml": 'bucket.name = "x"\nbucket.access_key = "k"\n[run]\nmode = "async"\n',
    "broken.toml": "[service]\ntoken = abc\n[params]\nx = 1\n",
    "batchinfer.toml.bak": "whatever is in it",
    "batchinfer.env": "FOO=1",
    ".batchinfer.env": "FOO=1",
    "sync.env": "# Secrets: for your eyes only.\nexport X=1\n",
    ".env": "MINIO_SECRET_KEY='abc'\n",
    "env.sh": "export OSCAR_TOKEN=abc\n",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_and_their_secrets_are_known(tmp_path, name):
    (tmp_path / name).write_text(CONFIGS[name])
    assert detect_artifact(tmp_path / name) is ArtifactKind.CONFIG


def test_what_init_writes_is_known(tmp_path):
    info = '{"name": "s", "endpoint": "https://x.example/run/s", "token": "' + "a" * 64 + '"}'
    (tmp_path / "info.txt").write_text(info)
    said = batchinfer("init", "mine.toml", "--from", "info.txt", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    written = [each for each in tmp_path.iterdir() if each.name != "info.txt"]
    assert len(written) == 2
    assert [detect_artifact(each) for each in written] == [ArtifactKind.CONFIG] * 2


def test_what_was_left_half_written_is_known(tmp_path):
    (tmp_path / ".batchinfer-0a1b2c3d.part").mkdir()
    (tmp_path / ".batchinfer-00000000.part").write_bytes(b"half")
    assert not is_artifact(tmp_path / "nothing")
    assert {detect_artifact(each) for each in tmp_path.iterdir() if each.is_dir()} == {
        ArtifactKind.UNFINISHED
    }
    assert detect_artifact(tmp_path / ".batchinfer-00000000.part") is ArtifactKind.UNFINISHED


OTHERS = {
    "photo.jpg": b"\xff\xd8\xff\xe0key,state,code,message,attempts",
    "list.csv": b"key,path,imgsz\na,a.jpg,640\n",
    "states.csv": b"key,state,message\nBW,Baden,hello\n",
    "index.csv": b"file,title\na.txt,A\n",
    "list.jsonl": b'{"key": "a", "files": {"files": "a.jpg"}, "params": {"state": "x"}}\n',
    "records.jsonl": b'{"key": "a", "state": "succeeded", "text": "prediction"}\n',
    "coco.json": b'{"images": [], "annotations": [], "info": {"contributor": "Microsoft"}}',
    "geo.geojson": b'{"type": "FeatureCollection", "features": []}',
    "overpass.geojson": b'{"type": "FeatureCollection", "generator": "overpass", "features": []}',
    "page.html": b'<html><meta name="generator" content="Hugo 1"><p>batchinfer report',
    "notes.md": b"# How I use batchinfer\n\n    [service]\n    batchinfer run photos\n",
    "unit.service": b"[Unit]\nDescription=x\n[Service]\nType=simple\nEnvironment=token=1\n",
    "pyproject.toml": b'[project]\nname = "x"\n[tool.x]\nrun = 1\n',
    "run.toml": b"[run]\nepochs = 3\n[params]\nlr = 0.1\n",
    "environment.txt": b"Temperature=3\nOSCAR=yes\n",
    "other.db": b"SQLite format 3\0" + bytes(200),
    "run.log": b"a log of a jogger",
    "run.lock": b"",
    "outputs": b"of another program",
    "data.yaml": b"train: images\nval: images\nnames:\n  0: bear\n",
    "packed.gz": gzip.compress(b"key,path\na,b\n"),
    "broken.gz": b"\x1f\x8b broken",
    "openai.jsonl": b'{"id": "batch_req_6734", "custom_id": "a", "response": null}\n',
    "empty": b"",
    "zeros.bin": bytes(200_000),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_others_wrote_is_not_ours(tmp_path, name):
    (tmp_path / name).write_bytes(OTHERS[name])
    assert detect_artifact(tmp_path / name) is None
    assert not is_artifact(tmp_path)


def test_an_export_in_a_folder_does_not_make_the_folder_ours(hung, tmp_path):
    for name, chosen in (("index.csv", "csv"), ("tasks.json", "coco"), ("samples.json", "jsonl")):
        write_export(hung.book(), tmp_path / name, chosen)
    assert not is_artifact(tmp_path)


def test_what_cannot_be_read_or_never_ends_is_not_ours(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "run.db")  # would be waited for
    (tmp_path / "loop").symlink_to("loop")
    for name in ("pipe", "run.db", "loop", "missing", "a\0b"):
        assert not is_artifact(f"{tmp_path}/{name}")
    assert not is_artifact(tmp_path)


def test_names_of_any_bytes_are_looked_at(hung, tmp_path):
    odd = os.fsencode(tmp_path) + b"/\xff\xfe.csv"
    write_export(hung.book(), Path(os.fsdecode(odd)), "csv")
    assert is_artifact(os.fsdecode(odd))
