"""The command line on a real cluster: processes of Dask on this machine, a real service."""

import os
from pathlib import Path

import pytest

from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, rows

pytestmark = pytest.mark.slow

COUNT = 200


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
