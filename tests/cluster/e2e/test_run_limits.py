"""What is asked of a run holds for all its workers together: `ctl`, rates, limits."""

import json
import time
from collections.abc import Iterator

import pytest

import batchinfer as bi
from batchinfer.local.service_process import ServiceProcess
from support.cli import batchinfer, config, images, until
from support.dask_cluster import PATIENCE, DaskCluster, dask_cluster, running, wait_for_end
from support.local_service import service as local_service

pytestmark = pytest.mark.slow

WORKERS = 3
IN_FLIGHT = 9
SETTINGS = f'mode = "sync"\nconcurrency = {IN_FLIGHT}\ntimeout = "60s"'


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask"), WORKERS) as started:
        yield started


@pytest.fixture
def service(tmp_path) -> Iterator[ServiceProcess]:
    journal = str(tmp_path / "journal.jsonl")
    with local_service(model="slow_model:predict", containers=32, journal=journal) as started:
        yield started


@pytest.fixture
def flags(tmp_path, service, cluster) -> tuple[object, ...]:
    toml = config(tmp_path / "c.toml", service, SETTINGS)
    return ("--on", "dask", "--scheduler", cluster.address, "-c", toml, "-q")


def eventually(holds) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def counts_inside(service: ServiceProcess) -> list[int]:
    """How many calls were in a container, after each line of the service's journal."""
    inside, seen = 0, [0]
    for line in service.read_journal():
        inside += {"started": 1, "finished": -1}.get(line["event"], 0)
        seen.append(inside)
    return seen


def predictions(service: ServiceProcess) -> int:
    return service.read_stats().get("sync_started", 0)


def test_ctl_holds_for_all_workers(service, flags, tmp_path):
    photos, run = images(tmp_path / "photos", 1000), tmp_path / "run"
    with running("run", photos, "-o", run, *flags) as process:
        until(run, lambda counts: counts.finished >= IN_FLIGHT, process)
        assert process.poll() is None, process.communicate()

        batchinfer("ctl", run, "pause")
        eventually(
            lambda: (
                json.loads(batchinfer("ctl", run, "status", "--json").stdout)["status"]["in_flight"]
                == 0
            )
        )
        begun = predictions(service)
        eventually(lambda: bi.status(run).counts.finished == begun)
        assert "paused" in batchinfer("status", run).stdout
        assert predictions(service) == begun

        batchinfer("ctl", run, "concurrency", 2)
        mark = len(service.read_journal())
        batchinfer("ctl", run, "resume")
        eventually(lambda: bi.status(run).counts.finished >= begun + 3 * IN_FLIGHT)
        assert max(counts_inside(service)[mark:]) == 2

        batchinfer("ctl", run, "concurrency", 20)
        eventually(lambda: max(counts_inside(service)[mark:]) == 20)

        batchinfer("ctl", run, "stop")
        wait_for_end(process, 130)
        counts = bi.status(run).counts
        assert counts.failed == 0
        assert predictions(service) == counts.succeeded  # what had begun is on record


def test_a_rate_holds_for_the_run(service, flags, tmp_path):
    photos, run = images(tmp_path / "photos", 40), tmp_path / "run"
    batchinfer("run", photos, "-o", run, *flags, "--rate", "10/s")
    began = [line["time"] for line in service.read_journal() if line["event"] == "started"]
    assert len(began) == 40
    # A worker's batch may come late, and what follows it in time; nothing comes early.
    assert began[-1] - began[0] > 39 / 10 - 0.5


def test_a_limit_holds_for_the_run(service, flags, tmp_path):
    photos, run = images(tmp_path / "photos", 100), tmp_path / "run"
    batchinfer("run", photos, "-o", run, *flags, "--limit", 25)
    counts = bi.status(run).counts
    assert (counts.succeeded, predictions(service)) == (25, 25)


def test_failures_are_counted_for_the_run(cluster, tmp_path):
    photos, run = images(tmp_path / "photos", 300), tmp_path / "run"
    with local_service(model="local_model:predict", containers=4) as service:
        toml = config(tmp_path / "c.toml", service, SETTINGS)
        flags = ("--on", "dask", "--scheduler", cluster.address, "-c", toml, "-q")
        more = ("--param", "mode=raise", "--max-failures", 5)
        batchinfer("run", photos, "-o", run, *flags, *more, code=3)
    counts = bi.status(run).counts
    assert 5 < counts.failed <= 5 + 2 * IN_FLIGHT
    assert counts.pending > 0
