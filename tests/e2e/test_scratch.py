"""`--scratch`: a run whose directory is not fit for a database is worked on elsewhere."""

import signal
from pathlib import Path

import anyio
import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, rows, start
from support.network_disk import mounted_twice

COUNT = 300


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("photos"), COUNT)


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=8, latency=0.02)) as running:
        yield running


@pytest.fixture
def toml(service, tmp_path):
    return config(tmp_path / "c.toml", service, "concurrency = 8")


def wait_for_work(scratch: Path, process, count=20) -> Path:
    """Wait until the copy in the scratch folder has so many results; where it is."""
    while process.poll() is None:
        for copy in scratch.glob("batchinfer-*"):
            try:
                if bi.status(copy).counts.finished >= count:
                    return copy
            except bi.StoreError:
                continue
    raise AssertionError(process.communicate())


def test_all_is_in_the_run_directory_and_nothing_is_left_in_the_scratch_folder(
    toml, photos, tmp_path
):
    run, calm, scratch = tmp_path / "run", tmp_path / "calm", tmp_path / "scratch"
    batchinfer("run", photos, "-c", toml, "-o", calm, "-q")
    batchinfer("run", photos, "-c", toml, "-o", run, "-q", "--scratch", scratch)
    assert rows(run) == rows(calm)
    assert [*scratch.iterdir()] == []
    assert not (run / "run.db-wal").exists()

    batchinfer("resume", run, "-c", toml, "--scratch", scratch)  # nothing to do: nothing changes
    assert rows(run) == rows(calm)


def test_a_stop_copies_back(toml, photos, tmp_path):
    run, scratch = tmp_path / "run", tmp_path / "scratch"
    process = start("run", photos, "-c", toml, "-o", run, "--scratch", scratch, "--rate", "20/s")
    wait_for_work(scratch, process)
    live = batchinfer("ctl", run, "status").stdout  # of the process, not of the run directory
    assert f"/{COUNT} " in live
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    counts = bi.status(run).counts
    assert 20 <= counts.succeeded < COUNT
    assert [*scratch.iterdir()] == []
    batchinfer("resume", run, "-c", toml, "--scratch", tmp_path / "another")
    assert bi.status(run).counts.succeeded == COUNT


def test_after_a_kill_the_same_scratch_folder_has_everything(service, toml, photos, tmp_path):
    run, calm, scratch = tmp_path / "run", tmp_path / "calm", tmp_path / "scratch"
    batchinfer("run", photos, "-c", toml, "-o", calm, "-q")
    before = service.read_stats()["sync_started"]
    for kill in (1, 2, 3):
        process = start("run", photos, "-c", toml, "-o", run, "--scratch", scratch)
        copy = wait_for_work(scratch, process, 60 * kill)
        process.kill()
        process.communicate()
        done = bi.status(copy).counts.succeeded
        assert done >= 60 * kill
        assert bi.status(run).counts.succeeded == 0  # a minute has not passed
    batchinfer("resume", run, "-c", toml, "-q", "--scratch", scratch)
    assert rows(run) == rows(calm)
    extra = service.read_stats()["sync_started"] - before - COUNT
    assert 0 <= extra <= 3 * 2 * 8  # in flight, or answered and not on record


def test_after_a_kill_another_scratch_folder_does_again_what_was_not_copied_back(
    toml, photos, tmp_path
):
    run, scratch = tmp_path / "run", tmp_path / "scratch"
    process = start("run", photos, "-c", toml, "-o", run, "--scratch", scratch)
    copy = wait_for_work(scratch, process)
    process.kill()
    process.communicate()
    batchinfer("resume", run, "-c", toml, "-q", "--scratch", tmp_path / "another")
    assert bi.status(run).counts.succeeded == COUNT

    said = batchinfer("resume", run, "-c", toml, "--scratch", scratch).stderr
    assert f"kept in {copy}.kept-" in said
    assert bi.status(run).counts.succeeded == COUNT


def test_a_run_directory_that_goes_away_is_told_with_where_everything_is(toml, photos, tmp_path):
    disk, scratch = tmp_path / "disk", tmp_path / "scratch"
    run = disk / "run"
    process = start("run", photos, "-c", toml, "-o", run, "--scratch", scratch)
    copy = wait_for_work(scratch, process)
    disk.rename(tmp_path / "away")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "could not be copied back" in err
    assert str(copy) in err
    assert "Traceback" not in err
    (tmp_path / "away").rename(disk)
    batchinfer("resume", run, "-c", toml, "-q", "--scratch", scratch)
    assert bi.status(run).counts.succeeded == COUNT


def test_a_stream_reads_from_the_scratch_folder(toml, photos, tmp_path):
    async def read():
        settings = {"config": toml, "scratch": str(tmp_path / "scratch")}
        async with bi.stream(photos, tmp_path / "run", **settings) as results:
            return {result.key async for result in results}

    assert len(anyio.run(read)) == COUNT
    assert bi.status(tmp_path / "run").counts.succeeded == COUNT


@pytest.mark.slow
def test_on_a_network_file_system(toml, photos, tmp_path):
    with mounted_twice(tmp_path) as (one, two):
        said = batchinfer("run", photos, "-c", toml, "-o", one / "run", code=2).stderr
        assert "network file system (fuse.sshfs)" in said
        assert "--scratch" in said
        assert [*one.iterdir()] == []
        said = batchinfer(
            "run", photos, "-c", toml, "-o", one / "run", "--scratch", two, code=2
        ).stderr
        assert "itself (fuse.sshfs)" in said

        scratch = tmp_path / "scratch"
        process = start(  # for half a minute: whether the holder is alive is seen after ten seconds
            *("run", photos, "-c", toml, "-o", one / "run", "--scratch", scratch, "--rate", "20/s")
        )
        wait_for_work(scratch, process)
        assert bi.status(two / "run").counts.succeeded == 0  # it was not copied back yet
        refused = batchinfer(  # as another machine, on which the system's lock does not hold
            "resume", two / "run", "-c", toml, "--scratch", tmp_path / "other", code=3
        ).stderr
        assert f"process {process.pid} on " in refused
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        done = bi.status(two / "run").counts.succeeded
        assert done >= 20

        batchinfer("resume", two / "run", "-c", toml, "--scratch", tmp_path / "other")
        assert bi.status(two / "run").counts.succeeded == COUNT
        assert batchinfer("retry", one / "run").returncode == 0
        assert len(rows(two / "run")) == COUNT
