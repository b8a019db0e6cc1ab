"""The command line on a real cluster: processes of Dask on this machine, a real service."""

import asyncio
import os
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, rows

pytestmark = pytest.mark.slow

COUNT = 200
IN_THREADS = {
    "n_workers": 2,
    "threads_per_worker": 1,
    "processes": False,
    "protocol": "tcp://",
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
    "scheduler_kwargs": {"dashboard": False},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("photos"), COUNT)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_run_on_workers_is_the_run_in_one_process(mode: str, photos: Path, tmp_path: Path):
    options = LocalServiceOptions(
        threads=True, containers=8, journal=str(tmp_path / "journal.jsonl")
    )
    alone, together = tmp_path / "alone", tmp_path / "together"
    with start_service(options) as service:
        toml = config(tmp_path / "c.toml", service, f'mode = "{mode}"\ntimeout = "60s"')
        batchinfer("run", photos, "-c", toml, "-o", alone, "-q")
        before = service.read_stats()[f"{mode}_started"]
        done = batchinfer("run", photos, "-c", toml, "-o", together, "--workers", 2)
        assert service.read_stats()[f"{mode}_started"] - before == COUNT
    assert rows(together) == rows(alone)
    assert f"{COUNT} succeeded" in done.stderr
    assert "distributed" not in done.stderr


def test_a_run_goes_on_with_and_without_a_cluster(photos: Path, tmp_path: Path):
    with start_service(LocalServiceOptions(threads=True, containers=8)) as service:
        toml = config(tmp_path / "c.toml", service)
        run = tmp_path / "run"
        batchinfer("run", photos, "-c", toml, "-o", run, "-q", "--limit", 20, "--workers", 1)
        batchinfer("resume", run, "-c", toml, "-q", "--limit", 20)
        environment = {**os.environ, "BATCHINFER_CLUSTER_WORKERS": "1"}
        done = batchinfer("resume", run, "-c", toml, env=environment)
    assert f"{COUNT} succeeded" in done.stderr


@pytest.mark.parametrize("is_async", [False, True])
def test_a_users_client_says_which_cluster(is_async: bool, photos: Path, tmp_path: Path):
    """Workers in threads of this process; a client of the user is left as it was."""

    async def run_async(toml: Path) -> bi.Run:
        options = {"asynchronous": True, **IN_THREADS}
        async with LocalCluster(**options) as cluster, Client(cluster, asynchronous=True) as client:
            done = await bi.arun(photos, tmp_path / "run", config=toml, client=client, limit=50)
            assert client.status == "running"
            return done

    def run_sync(toml: Path) -> bi.Run:
        with LocalCluster(**IN_THREADS) as cluster, Client(cluster) as client:
            done = bi.run(photos, tmp_path / "run", config=toml, client=client, limit=50)
            assert client.submit(sum, [1, 2]).result() == 3
            return done

    with start_service(LocalServiceOptions(threads=True, containers=8)) as service:
        toml = config(tmp_path / "c.toml", service)
        done = asyncio.run(run_async(toml)) if is_async else run_sync(toml)
    assert done.summary.counts.succeeded == 50
