"""`clean`, and `--clean`: the bucket of a real service, with other people's objects in it."""

import json
from pathlib import Path

import pytest

from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from batchinfer.store.lock import RunLock
from batchinfer.store.run_reader import RunReader
from support.cli import batchinfer, config, images, rows
from support.local_bucket import keys, put

COUNT = 30
FOREIGN = {"inputs.json", "mine/a.json", "outputs/tmp-file-abcde.json", "outputs/b.log"}
SETTINGS = 'mode = "async"\ntimeout = "60s"'


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4)) as started:
        yield started


@pytest.fixture
def photos(tmp_path) -> Path:
    return images(tmp_path / "photos", COUNT)


@pytest.fixture
def toml(tmp_path, service) -> Path:
    return config(tmp_path / "c.toml", service, SETTINGS)


def run_id(run: Path) -> str:
    with RunReader(run) as reader:
        return reader.info.id


async def test_clean_deletes_what_the_run_made_and_has_recorded(service, photos, toml, tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    batchinfer("run", photos, "-c", toml, "-o", run, "-q")
    batchinfer("run", photos, "-c", toml, "-o", other, "-q")
    name = run_id(run)
    near = {f"outputs/{name}x-000000001-1.log", f"outputs/{name}-000000001-1.png"}
    await put(service, *FOREIGN, *near)
    exported, before = rows(run), await keys(service)

    dry = batchinfer("clean", run, "-c", toml, "--dry-run")
    assert await keys(service) == before
    assert f"{COUNT} inputs and {2 * COUNT} outputs" in dry.stderr
    assert "would be deleted" in dry.stderr
    assert f"batchinfer clean {run} -c {toml}" in dry.stderr

    done = json.loads(batchinfer("clean", run, "-c", toml, "--json").stdout)
    assert (done["inputs"], done["outputs"], done["kept"]) == (COUNT, 2 * COUNT, 0)
    gone = before - await keys(service)
    assert gone == {key for key in before if f"/{name}-" in key} - near
    assert len(gone) == 3 * COUNT
    assert rows(run) == exported
    assert "0 inputs and 0 outputs" in batchinfer("clean", run, "-c", toml).stderr
    assert {"inputs/", "outputs/"} <= await keys(service)


async def test_clean_keeps_what_has_no_outcome_yet(photos, tmp_path):
    with start_service(LocalServiceOptions(threads=True, containers=1, lose_events=1.0)) as service:
        toml = config(tmp_path / "c.toml", service, SETTINGS)
        batchinfer("submit", photos, "-c", toml, "-o", tmp_path / "run")

        done = json.loads(batchinfer("clean", tmp_path / "run", "-c", toml, "--json").stdout)

        assert (done["inputs"], done["outputs"], done["kept"]) == (0, 0, COUNT)
        assert len(await keys(service)) == COUNT + 2


async def test_clean_refuses_what_it_cannot_do_right(service, photos, toml, tmp_path):
    run, sync = tmp_path / "run", tmp_path / "sync"
    batchinfer("run", photos, "-c", toml, "-o", run, "-q")
    batchinfer("run", photos, "-c", toml, "-o", sync, "-q", "--mode", "sync")
    before = await keys(service)

    assert "sync mode" in batchinfer("clean", sync, "-c", toml, code=2).stderr
    assert (
        "--clean is for async mode"
        in batchinfer(
            "run", photos, "-c", toml, "-o", sync, "--mode", "sync", "--clean", code=2
        ).stderr
    )
    with RunLock(run):
        assert "Another process" in batchinfer("clean", run, "-c", toml, code=3).stderr
        batchinfer("clean", run, "-c", toml, "--dry-run")
    text = toml.read_text().replace('name = "local"', 'name = "elsewhere"')
    (tmp_path / "other.toml").write_text(text)
    other = batchinfer("clean", run, "-c", tmp_path / "other.toml", code=3).stderr
    assert "this run was started with bucket.name" in other
    assert "holds no run" in batchinfer("clean", tmp_path, code=3).stderr
    assert await keys(service) == before


@pytest.mark.parametrize("deepaas", ["2.5.2", "2.6.0"])
async def test_a_run_with_clean_leaves_an_empty_bucket_and_the_same_results(
    deepaas, photos, tmp_path
):
    options = LocalServiceOptions(threads=True, containers=4, deepaas=deepaas)
    with start_service(options) as service:
        toml = config(tmp_path / "c.toml", service, SETTINGS)
        await put(service, "outputs/mine.json")
        batchinfer("run", photos, "-c", toml, "-o", tmp_path / "calm", "-q")
        batchinfer("clean", tmp_path / "calm", "-c", toml)
        assert await keys(service) == {"inputs/", "outputs/", "outputs/mine.json"}

        batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run", "-q", "--clean")

        assert await keys(service) == {"inputs/", "outputs/", "outputs/mine.json"}
    assert rows(tmp_path / "run") == rows(tmp_path / "calm")


async def test_submit_here_collect_there_with_clean(service, photos, toml, tmp_path):
    before = await keys(service)
    batchinfer("submit", photos, "-c", toml, "-o", tmp_path / "run")

    batchinfer("collect", tmp_path / "run", "-c", toml, "--clean")

    assert await keys(service) == before
    assert {row["state"] for row in rows(tmp_path / "run")} == {"succeeded"}
