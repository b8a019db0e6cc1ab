"""The real command line and service: parameters on record are those that the model was asked."""

import json
import os

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images

MODES = ["sync", "async"]
COUNT = 12


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True)) as service:
        yield service


def manifest(desk, threshold, *, skip=0):
    """A manifest of the same photographs, with another threshold; some rows are left out."""
    photos = sorted((desk / "photos").rglob("*.png"))[skip:]
    lines = [f"{photo.relative_to(desk)},{threshold}" for photo in photos]
    (desk / "list.csv").write_text("\n".join(["path,threshold", *reversed(lines)]) + "\n")
    return desk / "list.csv"


def exported(run):
    lines = batchinfer("export", run, "-o", "-", "--format", "jsonl").stdout.splitlines()
    return {row["key"]: row for row in map(json.loads, lines)}


@pytest.mark.parametrize("mode", MODES)
def test_an_edited_manifest(mode, service, tmp_path):
    images(tmp_path / "photos", COUNT)
    toml = config(tmp_path / "c.toml", service, f'mode = "{mode}"')
    run = tmp_path / "run"
    batchinfer("run", manifest(tmp_path, 1), "-o", run, "-c", toml, "--limit", 4, "-q")
    done = batchinfer("run", manifest(tmp_path, 2, skip=2), "-o", run, "-c", toml)

    rows = exported(run)
    assert len(rows) == COUNT
    for row in rows.values():
        assert str(row["params"]["threshold"]) == str(row["prediction"]["threshold"])
    sent = [row["params"]["threshold"] for row in rows.values()]
    assert set(sent) == {1, 2}
    assert "item(s) have other parameters now" in done.stderr
    told = batchinfer("show", run, min(rows, key=lambda key: rows[key]["params"]["threshold"]))
    assert "threshold = 1" in told.stdout


@pytest.mark.parametrize("mode", MODES)
def test_other_parameters_by_force(mode, service, tmp_path):
    images(tmp_path / "photos", COUNT)
    toml = config(tmp_path / "c.toml", service, f'mode = "{mode}"')
    common = ("run", tmp_path / "photos", "-o", tmp_path / "run", "-c", toml)
    batchinfer(*common, "--param", "threshold=1", "--param", "old=x", "--limit", 3, "-q")
    done = batchinfer(*common, "--param", "threshold=2", "--force")

    assert "3 result(s) were made with other [params]" in done.stderr
    first = {"threshold": "1", "old": "x"}
    for result in bi.results(tmp_path / "run"):
        asked = {
            name: value
            for name, value in result.prediction.items()
            if name in {"threshold", "old"} and value is not None
        }
        sent = {**first, **result.params}
        assert asked == {name: str(value) for name, value in sent.items() if value is not None}
    batchinfer("export", tmp_path / "run", "-o", tmp_path / "crate", "--format", "ro-crate")
    graph = json.loads((tmp_path / "crate" / "ro-crate-metadata.json").read_text())["@graph"]
    actions = [each for each in graph if each["@type"] == "CreateAction"]
    inputs = [[ref for ref in each["object"] if ref["@id"].startswith("file:")] for each in actions]
    assert [len(each) for each in inputs] == [3, COUNT - 3]
    values = {each["@id"]: each["value"] for each in graph if each["@type"] == "PropertyValue"}
    given = [
        sorted(str(values[ref["@id"]]) for ref in each["object"] if ref["@id"] in values)
        for each in actions
    ]
    assert given == [["1", "x"], ["2"]]
    (root,) = [each for each in graph if each["@id"] == "./"]
    assert [ref["@id"] for ref in root["mentions"]] == [each["@id"] for each in actions]


def test_a_clock_that_was_set_changes_no_file(service, tmp_path):
    images(tmp_path / "photos", COUNT)
    toml = config(tmp_path / "c.toml", service, 'mode = "sync"')
    common = ("run", tmp_path / "photos", "-o", tmp_path / "run", "-c", toml)
    batchinfer(*common, "--limit", 3, "-q")
    for photo in (tmp_path / "photos").rglob("*.png"):
        at = photo.stat().st_mtime_ns // 10**9 + 3600
        os.utime(photo, (at, at))
    done = batchinfer(*common)
    assert "changed" not in done.stderr
    assert bi.status(tmp_path / "run").counts.succeeded == COUNT
