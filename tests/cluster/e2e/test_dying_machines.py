"""Real Dask processes, real kills: whatever dies, the export is that of an undisturbed run."""

import random
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.engine.feeder import WINDOW_SPARE_ITEMS
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, rows, until
from support.dask_cluster import dask_cluster, running, wait_for_end

pytestmark = pytest.mark.slow

COUNT = 2000
WORKERS = 3
WORKER_KILLS = 3
IN_FLIGHT = 24
"""Attempts that may be in flight, on all workers together."""
UNWRITTEN = 2 * IN_FLIGHT + WINDOW_SPARE_ITEMS
"""So many may have been answered, or be in flight, and be on record nowhere when a coordinator
is killed."""
SUBMITTED = 100


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("photos"), COUNT)


def settings(mode: str) -> str:
    concurrency = {"sync": IN_FLIGHT, "async": SUBMITTED}[mode]
    return f'mode = "{mode}"\nconcurrency = {concurrency}\ntimeout = "60s"'


LEASE = '[cluster]\nlease = "10s"\n'
"""In async mode what a dead worker had in flight waits for so long: half a minute by default."""


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_workers_coordinator_and_scheduler_die_and_nothing_is_lost_or_done_twice(
    mode: str, photos: Path, tmp_path: Path
):
    moments = random.Random(mode)
    calm, harried = tmp_path / "calm", tmp_path / "harried"
    options = LocalServiceOptions(
        threads=True, containers=8, latency=0.05, journal=str(tmp_path / "journal.jsonl")
    )
    with start_service(options) as service, dask_cluster(tmp_path / "dask", WORKERS) as cluster:
        toml = config(tmp_path / "c.toml", service, f"{settings(mode)}\n{LEASE}")
        batchinfer("run", photos, "-c", toml, "-o", calm, "-q")
        before = service.read_stats()[f"{mode}_started"]
        assert before == COUNT
        image = {result.key: result.prediction["sha256"] for result in bi.results(calm)}

        on_dask = ("--on", "dask", "--scheduler", cluster.address, "-c", toml, "-q")
        part = COUNT // (WORKER_KILLS + 3)  # so that the last death comes long before the end
        marks = [part * death + moments.randrange(part) for death in range(WORKER_KILLS + 2)]

        with running("run", photos, "-o", harried, *on_dask) as process:
            for mark in marks[:WORKER_KILLS]:
                counts = until(harried, lambda c, mark=mark: c.finished >= mark, process)
                assert counts.finished < COUNT
                assert process.poll() is None, process.communicate()
                cluster.kill_worker(moments.randrange(len(cluster.worker_processes)))
                cluster.start_worker()
            until(harried, lambda c: c.finished >= marks[WORKER_KILLS], process)
            assert process.poll() is None, process.communicate()
        on_record = {image[result.key] for result in bi.results(harried, "succeeded")}
        so_far = len(service.read_journal())
        with running("resume", harried, *on_dask) as process:
            until(harried, lambda c: c.finished >= marks[WORKER_KILLS + 1], process)
            assert process.poll() is None, process.communicate()
            cluster.kill_scheduler()
            cluster.start_scheduler()
            cluster.keep_workers(WORKERS)
            wait_for_end(process)
        ran = service.read_stats()[f"{mode}_started"] - before
        journal = service.read_journal()

    assert rows(harried) == rows(calm)
    keys = [row["key"] for row in rows(harried)]
    assert len(keys) == len(set(keys)) == COUNT
    later = {line["sha256"] for line in journal[so_far:] if line["event"] == "started"}
    assert not on_record & later
    if mode == "async":  # what was put by the dead is found in the bucket
        assert ran == COUNT
    else:
        assert COUNT <= ran <= COUNT + (WORKER_KILLS + 1) * IN_FLIGHT + UNWRITTEN


def test_a_worker_that_its_nanny_starts_again_works_on(tmp_path: Path):
    photos, run = images(tmp_path / "photos", 200), tmp_path / "run"
    options = LocalServiceOptions(threads=True, containers=4, latency=0.1)
    with start_service(options) as service, dask_cluster(tmp_path / "dask") as cluster:
        cluster.start_worker(nanny=True)
        cluster.wait_for_workers(1)
        toml = config(tmp_path / "c.toml", service, settings("sync"))
        file = cluster.scheduler_file
        flags = ("--on", "dask", "--scheduler-file", file, "-c", toml, "-q")
        with running("run", photos, "-o", run, *flags) as process:
            until(run, lambda counts: counts.finished >= 20, process)
            assert process.poll() is None, process.communicate()
            cluster.kill_worker(0)
            wait_for_end(process)
    assert bi.status(run).counts.succeeded == 200


def test_workers_may_come_when_the_run_has_begun(tmp_path: Path):
    photos, run = images(tmp_path / "photos", 100), tmp_path / "run"
    options = LocalServiceOptions(threads=True, containers=4, latency=0.05)
    with start_service(options) as service, dask_cluster(tmp_path / "dask") as cluster:
        toml = config(tmp_path / "c.toml", service, settings("sync"))
        flags = ("--on", "dask", "--scheduler", cluster.address, "-c", toml)
        with running("run", photos, "-o", run, *flags) as process:
            assert process.stderr is not None
            while "no worker" not in (line := process.stderr.readline()):
                assert line, "it has ended"
            cluster.start_worker()
            cluster.start_worker()
            wait_for_end(process)
    assert bi.status(run).counts.succeeded == 100
