"""A cluster that speaks TLS only: processes of Dask, certificates of a CA of the test."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from batchinfer.cluster.cluster_security import TlsFiles
from batchinfer.cluster.dask_connection import ClusterAddress, open_dask_transport
from batchinfer.errors import ConfigError
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images

pytestmark = [pytest.mark.slow, pytest.mark.event_loops("asyncio")]

COUNT = 30


@dataclass(frozen=True)
class Certificates:
    ca_file: Path
    cert: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, ca: trustme.CA) -> "Certificates":
        folder.mkdir()
        made = cls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
        issued = ca.issue_cert("127.0.0.1")
        ca.cert_pem.write_to_path(str(made.ca_file))
        issued.private_key_pem.write_to_path(str(made.key))
        made.cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        return made


@dataclass(frozen=True)
class TlsCluster:
    address: str
    certificates: Certificates
    others: Certificates
    """Of another CA."""

    def to_toml(self, certificates: Certificates) -> str:
        return (
            f'[cluster]\nscheduler = "{self.address}"\ntls_ca_file = "{certificates.ca_file}"\n'
            f'tls_cert = "{certificates.cert}"\ntls_key = "{certificates.key}"\n'
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[TlsCluster]:
    folder = tmp_path_factory.mktemp("dask")
    certificates = Certificates.make(folder / "tls", trustme.CA())
    described, log = folder / "scheduler.json", folder / "dask.log"
    options = [
        *("--tls-ca-file", certificates.ca_file, "--tls-cert", certificates.cert),
        *("--tls-key", certificates.key, "--host", "127.0.0.1", "--no-dashboard"),
        *("--protocol", "tls"),
    ]

    def start(stack: ExitStack, *arguments: object) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            command = [sys.executable, "-m", "dask", *map(str, arguments)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=output, cwd=folder)
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    def read_address(scheduler: subprocess.Popen[bytes]) -> str:
        end = time.monotonic() + 60
        while True:
            assert scheduler.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            try:
                return str(json.loads(described.read_text())["address"])
            except (OSError, ValueError):
                time.sleep(0.05)

    with ExitStack() as stack:
        scheduler = start(stack, "scheduler", "--port", 0, "--scheduler-file", described, *options)
        address = read_address(scheduler)
        start(stack, "worker", address, "--no-nanny", "--local-directory", folder, *options)
        yield TlsCluster(address, certificates, Certificates.make(folder / "x", trustme.CA()))


def test_a_run_goes_over_tls_with_the_files_of_the_configuration(cluster, tmp_path: Path):
    photos = images(tmp_path / "photos", COUNT)
    with start_service(LocalServiceOptions(threads=True, containers=8)) as service:
        toml = config(tmp_path / "c.toml", service)
        toml.write_text(toml.read_text() + cluster.to_toml(cluster.certificates))
        done = batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run")
    assert cluster.address.startswith("tls://")
    assert f"{COUNT} succeeded" in done.stderr
    assert "not encrypted" not in done.stderr


def test_a_wrong_ca_is_named_and_nothing_is_sent(cluster, tmp_path: Path):
    photos = images(tmp_path / "photos", 3)
    with start_service(LocalServiceOptions(threads=True)) as service:
        toml = config(tmp_path / "c.toml", service)
        toml.write_text(toml.read_text() + cluster.to_toml(cluster.others))
        done = batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run", code=2)
        assert service.read_stats().get("sync_started", 0) == 0
    assert f"not signed by what is in tls_ca_file ({cluster.others.ca_file})" in done.stderr
    assert "Traceback" not in done.stderr


async def explain(address: str, **files: Path | None) -> str:
    tls_files = TlsFiles(**{name: file and str(file) for name, file in files.items()})
    with pytest.raises(ConfigError) as error:
        async with open_dask_transport(
            ClusterAddress(scheduler=address, tls_files=tls_files, connect_seconds=10.0)
        ):
            pass
    return str(error.value)


async def test_what_is_wrong_with_the_files_is_said(cluster, tmp_path: Path):
    ours, others, address = vars(cluster.certificates), vars(cluster.others), cluster.address
    empty = tmp_path / "empty.pem"
    empty.touch()
    swapped = {**ours, "cert": others["cert"], "key": others["key"]}
    assert "not accept the certificate of tls_cert" in await explain(address, **swapped)
    assert "It uses TLS: give tls_ca_file" in await explain(address)
    assert "needs tls_ca_file, tls_cert" in await explain(address, ca_file=ours["ca_file"])
    for name in ("ca_file", "cert", "key"):
        gone = await explain(address, **{**ours, name: tmp_path / "gone.pem"})
        assert gone == f"tls_{name}: {tmp_path / 'gone.pem'}: there is no such file."
    assert "holds no certificates" in await explain(address, **{**ours, "ca_file": empty})
    mixed = {**ours, "key": others["key"]}
    assert "belong to each other" in await explain(address, **mixed)
    plain = address.replace("tls://", "tcp://")
    assert "would not be encrypted" in await explain(plain, **ours)
