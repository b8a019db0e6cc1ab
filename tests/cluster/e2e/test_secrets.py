"""Secrets are found nowhere: logs, pages, scratch folders, process lists, the run directory."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest

from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from support.cli import batchinfer, config, images, until
from support.dask_cluster import DaskCluster, dask_cluster, running

pytestmark = pytest.mark.slow

DEBUG = {
    "DASK_LOGGING__DISTRIBUTED": "debug",
    # So that what is looked at is there: everything is spilled at once, and nothing is forgotten.
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "0.000001",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "0.000001",
}


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with start_service(LocalServiceOptions(threads=True, containers=4, latency=0.1)) as started:
        yield started


def forms(secret: str) -> set[bytes]:
    """A secret as it stands, and as encodings show it."""
    plain = secret.encode()
    encoded = {base64.b64encode(b"\0" * shift + plain)[4:-4] for shift in range(3)}
    return {plain, quote(secret, safe="").encode(), plain.hex().encode(), *encoded}


def secrets_of(service: ServiceProcess) -> dict[str, set[bytes]]:
    bucket = service.connection.bucket
    return {
        "token": forms(service.connection.token),
        "secret key": forms(bucket.secret_key),
    }


def pages(cluster: DaskCluster) -> Iterator[tuple[str, bytes]]:
    """What the scheduler's web server shows, followed from page to page."""
    waiting = [
        *("/", "/status", "/workers", "/tasks", "/info/main/workers.html", "/info/main/logs.html"),
        *("/json/index.html", "/json/counts.json", "/json/identity.json", "/individual-plots.json"),
        *("/info/logs.html", "/info/main/call-stacks.html", "/sitemap.json", "/metrics"),
    ]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        body = cluster.get(path)
        yield path, body
        for link in re.findall(rb'href="([^"#]+)"', body):
            found = urljoin(path, link.decode())
            if found.startswith("/") and found not in seen and "statics/" not in found:
                seen.add(found)
                waiting.append(found)


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                yield str(path), path.read_bytes()
            except OSError:
                continue  # gone, a folder, a socket


def processes() -> Iterator[tuple[str, bytes]]:
    """What `ps` shows of every process of this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield str(path), path.read_bytes()
        except OSError:
            continue


def finding(shown: Iterator[tuple[str, bytes]], secrets: dict[str, set[bytes]]) -> list[str]:
    return [
        f"{name} in {where}"
        for where, data in shown
        for name, encoded in secrets.items()
        if any(form in data for form in encoded)
    ]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_no_secret_is_shown_or_written_by_the_cluster(mode, service, tmp_path):
    photos, run, dask = images(tmp_path / "photos", 200), tmp_path / "run", tmp_path / "dask"
    secrets = secrets_of(service)
    toml = config(tmp_path / "c.toml", service, f'mode = "{mode}"\nconcurrency = 8')
    assert finding(iter([(str(toml), toml.read_bytes())]), secrets)  # so it is known where it is
    with dask_cluster(dask, 2, {**DEBUG, "TMPDIR": str(dask)}) as cluster:
        flags = ("--on", "dask", "--scheduler", cluster.address, "-c", toml, "-v")
        with running("run", photos, "-o", run, *flags) as process:
            until(run, lambda counts: counts.finished >= 20, process)
            assert process.poll() is None, process.communicate()

            shown = dict(pages(cluster))
            assert any("/info/worker/" in path for path in shown)
            assert any("/info/task/" in path for path in shown)
            assert finding(iter(shown.items()), secrets) == []
            assert finding(processes(), secrets) == []
            assert finding(files(dask, run), secrets) == []

            cluster.kill_worker(0)  # what was told of that must not show any either
            cluster.start_worker()
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, out + err
        assert finding(pages(cluster), secrets) == []
        assert finding(files(dask, run), secrets) == []
        said = [("stdout", out.encode()), ("stderr", err.encode())]
        assert finding(iter(said), secrets) == []
        assert b"DEBUG" in cluster.log


def test_workers_without_batchinfer_are_told_of_and_nothing_is_shown(service, tmp_path):
    photos, run, dask = images(tmp_path / "photos", 4), tmp_path / "run", tmp_path / "dask"
    broken = tmp_path / "broken" / "batchinfer"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text('raise ModuleNotFoundError("no batchinfer")')
    secrets = secrets_of(service)
    toml = config(tmp_path / "c.toml", service, 'mode = "sync"')
    with dask_cluster(dask, 0, DEBUG | {"PYTHONPATH": str(broken.parent)}) as cluster:
        cluster.keep_workers(1)
        flags = ("--on", "dask", "--scheduler", cluster.address, "-c", toml)
        done = batchinfer("run", photos, "-o", run, *flags, code=3)
        assert "Traceback" not in done.stderr
        assert "batchinfer" in done.stderr
        shown = [("stdout", done.stdout.encode()), ("stderr", done.stderr.encode())]
        assert finding(iter(shown), secrets) == []
        assert finding(pages(cluster), secrets) == []
        assert finding(files(dask, run), secrets) == []
