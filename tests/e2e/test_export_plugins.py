"""Export formats of other packages, by the real command line: found by their entry points alone."""

import json
import os

import anyio
import pytest

from support.cli import batchinfer
from support.plugins import install
from support.records import failed, item, made, reply

GROUP = "batchinfer.exports"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    records = [reply(1, prediction={"label": "bear"}), failed(2)]
    folder = tmp_path_factory.mktemp("run")
    return anyio.run(made, folder / "run", [item("a"), item("b")], records)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    target = "toy_export:ToyExport"
    site = tmp_path_factory.mktemp("site")
    return {"env": os.environ | install(site, group=GROUP, name="toy", target=target)}


def test_its_extension_and_its_name_choose_it(run, toy, tmp_path):
    by_extension = batchinfer("export", run, "-o", tmp_path / "x.toy", **toy)
    assert by_extension.stderr == f"2 lines written to {tmp_path / 'x.toy'}\n"
    by_name = batchinfer("export", run, "-o", "-", "--format", "toy", **toy)
    assert by_name.stderr == "2 lines written to standard output\n"
    assert by_name.stdout == (tmp_path / "x.toy").read_text()
    rows = [list(map(json.loads, line.split("\t"))) for line in by_name.stdout.splitlines()]
    assert rows == [["a", "succeeded", {"label": "bear"}], ["b", "failed", None]]


def test_help_lists_it_with_what_it_is(toy):
    lines = batchinfer("export", "--help", **toy).stdout.splitlines()
    (line,) = (line.split() for line in lines if line.split()[:1] == ["toy"])
    assert " ".join(line) == "toy a file: .toy; a line per item (cut, awk)"


def test_its_error_is_said_and_leaves_the_older_file(toy, tmp_path):
    bad = [reply(1), reply(2, prediction={"unwritable": 1})]
    run = anyio.run(made, tmp_path / "run", [item("a"), item("b")], bad)
    (tmp_path / "x.toy").write_text("older")
    done = batchinfer("export", run, "-o", tmp_path / "x.toy", code=2, **toy)
    assert done.stderr == "error: A toy cannot hold the prediction of 'b'.\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "x.toy"]
    assert (tmp_path / "x.toy").read_text() == "older"


def test_without_the_package_nobody_knows_it(run, tmp_path):
    done = batchinfer("export", run, "-o", tmp_path / "x.toy", code=2)
    assert "unknown extension .toy: use .csv for Excel" in done.stderr
    done = batchinfer("export", run, "-o", "-", "--format", "toy", code=2)
    assert "'toy' is not one of 'jsonl', 'csv'," in done.stderr


@pytest.mark.parametrize("target", ["no_such_module:Export", "json:loads"])
def test_a_broken_package_is_named_and_harms_no_other_format(run, tmp_path, target):
    env = os.environ | install(tmp_path / "site", group=GROUP, name="toy", target=target)
    done = batchinfer("export", run, "-o", tmp_path / "x.toy", code=2, env=env)
    assert done.stderr.startswith("error: ")
    assert '"toy"' in done.stderr
    assert "Repair or remove" in done.stderr
    assert not (tmp_path / "x.toy").exists()
    assert batchinfer("export", run, "-o", tmp_path / "x.csv", env=env).returncode == 0
