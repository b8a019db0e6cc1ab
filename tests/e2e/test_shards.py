"""A source divided over several runs by the command line, and made one run again."""

import json
import signal

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, rows, start, until

COUNT = 120
SHARDS = 3


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    journal = tmp_path_factory.mktemp("service") / "journal.jsonl"
    options = LocalServiceOptions(threads=True, containers=4, journal=str(journal))
    with start_service(options) as local:
        yield local


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return images(tmp_path_factory.mktemp("photos"), COUNT)


@pytest.fixture(scope="module")
def toml(tmp_path_factory, service):
    return config(tmp_path_factory.mktemp("config") / "c.toml", service, 'concurrency = "4"')


@pytest.fixture(scope="module")
def whole(tmp_path_factory, photos, toml):
    """An undivided run."""
    run = tmp_path_factory.mktemp("whole") / "run"
    batchinfer("run", photos, "-c", toml, "-o", run, "-q")
    return run


@pytest.fixture(scope="module")
def shards(tmp_path_factory, photos, toml):
    folder = tmp_path_factory.mktemp("shards")
    runs = [folder / f"shard-{number}" for number in range(1, SHARDS + 1)]
    for number, run in enumerate(runs, 1):
        batchinfer("run", photos, "-c", toml, "-o", run, "--shard", f"{number}/{SHARDS}", "-q")
    return runs


def test_shards_merged_are_the_undivided_run(shards, whole, tmp_path):
    said = batchinfer("merge", *shards, "-o", tmp_path / "run").stderr
    assert f"Merged {SHARDS} runs into {tmp_path / 'run'}: {COUNT} items ({COUNT} added" in said
    assert rows(tmp_path / "run") == rows(whole)

    said = batchinfer("merge", *shards, "-o", tmp_path / "run").stderr
    assert "nothing was changed" in said


def test_the_merged_run_works_as_any_other(shards, toml, tmp_path):
    run = tmp_path / "run"
    done = json.loads(batchinfer("merge", *shards, "-o", run, "--json").stdout)
    assert (done["added"], done["total"], done["complete"]) == (COUNT, COUNT, True)
    assert f"{COUNT} of {COUNT} done (100%)" in batchinfer("status", run).stdout
    assert json.loads(batchinfer("status", run, "--json").stdout)["shard"] is None
    batchinfer("export", run, "-o", tmp_path / "results.csv")
    batchinfer("report", run, "-o", tmp_path / "report.html")
    said = batchinfer("resume", run, "-c", toml).stderr
    assert "Nothing was sent" in said
    assert "Nothing has failed" in batchinfer("retry", run).stderr


def test_a_run_keeps_its_shard(shards, photos, toml):
    said = batchinfer("resume", shards[0], "-c", toml, "--shard", "2/3", code=3).stderr
    assert f"The run in {shards[0]} holds shard 1/3 of its source; you asked for shard 2/3" in said
    assert "Nothing was sent" in said
    batchinfer("run", photos, "-c", toml, "-o", shards[0], "--shard", "1/4", "--force", code=3)
    batchinfer("resume", shards[0], "-c", toml, "--shard", "1/3", "-q")
    batchinfer("run", photos, "-c", toml, "-o", shards[0], "-q")  # it is still shard 1/3
    assert "sync mode, shard 1/3" in batchinfer("status", shards[0]).stdout
    assert json.loads(batchinfer("status", shards[0], "--json").stdout)["shard"] == "1/3"
    assert bi.status(shards[0]).counts.total < COUNT


def test_a_whole_run_takes_no_shard(whole, toml):
    said = batchinfer("resume", whole, "-c", toml, "--shard", "1/3", code=3).stderr
    assert "holds all of its source" in said


def test_without_a_name_each_shard_has_a_run_of_its_own(photos, toml, tmp_path):
    said = batchinfer(
        "run", photos, "-c", toml, "--shard", "2/40", "--limit", 1, cwd=tmp_path
    ).stderr
    assert f"Results go to {photos.name}-run-2-of-40" in said
    assert bi.status(tmp_path / f"{photos.name}-run-2-of-40").shard == "2/40"


def test_what_is_no_shard_is_refused(photos, toml, tmp_path):
    said = batchinfer("run", photos, "-c", toml, "--shard", "4/3", code=2, cwd=tmp_path).stderr
    assert "--shard: expected a shard I/N" in said
    assert not list(tmp_path.iterdir())


def test_a_shard_may_be_empty(toml, tmp_path):
    few = images(tmp_path / "few", 2)
    runs = [tmp_path / f"shard-{number}" for number in range(1, 9)]
    for number, run in enumerate(runs, 1):
        batchinfer("run", few, "-c", toml, "-o", run, "--shard", f"{number}/8", "-q")
    counts = [bi.status(run).counts.total for run in runs]
    assert sum(counts) == 2
    assert 0 in counts
    batchinfer("merge", *runs, "-o", tmp_path / "merged")
    assert bi.status(tmp_path / "merged").counts.succeeded == 2


def test_what_is_pending_is_sent_by_the_merged_run(photos, toml, whole, service, tmp_path):
    runs = [tmp_path / f"shard-{number}" for number in (1, 2, 3)]
    batchinfer("run", photos, "-c", toml, "-o", runs[0], "--shard", "1/3", "-q")
    process = start("run", photos, "-c", toml, "-o", runs[1], "--shard", "2/3", "-q")
    until(runs[1], lambda counts: counts.finished > 5, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    batchinfer("run", photos, "-c", toml, "-o", runs[1], "--shard", "2/3", "--limit", 1, "-q")

    merged = tmp_path / "merged"
    said = batchinfer("merge", *runs[:2], "-o", merged, code=3).stderr
    assert "missing: shard 3/3" in said
    assert "--partial" in said
    said = batchinfer("merge", *runs[:2], "-o", merged, "--partial").stderr
    assert f"Send the rest: batchinfer resume {merged}" in said
    finished = bi.status(merged).counts.finished

    before = service.read_stats()["sync_started"]
    batchinfer("resume", merged, "-c", toml, "-q")
    assert service.read_stats()["sync_started"] - before == COUNT - finished
    assert sorted(map(str, rows(merged))) == sorted(map(str, rows(whole)))


def test_shards_of_a_manifest_on_standard_input(photos, toml, tmp_path):
    names = sorted(str(path) for path in photos.rglob("*.png"))[:30]
    manifest = "path,key\n" + "".join(f"{name},item {n}\n" for n, name in enumerate(names))
    runs = [tmp_path / f"shard-{number}" for number in (1, 2)]
    for number, run in enumerate(runs, 1):
        batchinfer(
            *("run", "-", "-c", toml, "-o", run, "--shard", f"{number}/2", "-q"),
            input=manifest,
        )
    batchinfer("merge", runs[0], "-o", tmp_path / "merged", "--partial")
    batchinfer("resume", tmp_path / "merged", "-c", toml, "-q")
    assert bi.status(tmp_path / "merged").counts.succeeded == 30


def test_mistakes_are_explained(tmp_path, shards):
    said = batchinfer("merge", tmp_path, "-o", tmp_path / "merged", code=3).stderr
    assert "holds no run" in said
    said = batchinfer("merge", shards[0], "-o", shards[0], code=2).stderr
    assert "Nothing to merge" in said
    assert "Missing argument" in batchinfer("merge", "-o", tmp_path, code=2).stderr


def test_from_python(shards, whole, tmp_path):
    summary = bi.merge(shards, tmp_path / "run")
    assert summary.counts == bi.status(whole).counts
    with pytest.raises(bi.RunMismatch, match="shard"):
        bi.run("photos", shards[0], shard="2/3")
