"""Workers of a cluster read remote inputs themselves, with the addresses and keys of the run."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from support.cli import batchinfer, clean_environment, config, images
from support.dask_cluster import dask_cluster
from support.remote_stores import open_store, source_section

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with start_service(LocalServiceOptions(threads=True, containers=4)) as started:
        yield started


def test_workers_read_a_bucket_with_the_keys_of_the_run(service, tmp_path: Path):
    pictures = images(tmp_path / "store" / "pictures", 12)
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service)
    with open_store(tmp_path / "store") as store, dask_cluster(tmp_path / "cluster", 2) as cluster:
        with toml.open("a") as file:
            file.write(source_section(store, by_name="yes"))
        env = clean_environment(
            STORE_ACCESS_KEY=store.access_key, STORE_SECRET_KEY=store.secret_key
        )
        done = batchinfer(
            *("run", "s3://pictures", "-c", toml, "-o", run),
            *("--on", "dask", "--scheduler", cluster.address),
            env=env,
        )
        said = (done.stdout + done.stderr).encode() + cluster.log
    found = {row["key"]: row for row in bi.query(run, "select * from results")}
    assert len(found) == 12
    for key, row in found.items():
        data = (pictures / key).read_bytes()
        assert json.loads(row["prediction"])["sha256"] == sha256(data).hexdigest()
    for secret in (store.access_key, store.secret_key):
        assert secret.encode() not in said
        assert secret.encode() not in b"".join(p.read_bytes() for p in run.iterdir() if p.is_file())
