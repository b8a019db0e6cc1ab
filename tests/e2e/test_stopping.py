"""A process that is told to stop, or stops by itself, before a batch system ends it."""

import signal
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, start, until

COUNT = 300


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("photos"), COUNT)


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4, latency=0.2)) as running:
        yield running


@pytest.fixture(scope="module")
def hanging_service():
    """One whose calls take longer than any test."""
    with start_service(
        LocalServiceOptions(command="sh -c 'sleep 12; echo {files}'", containers=4)
    ) as running:
        yield running


def lines_until(process, word: str) -> str:
    for line in process.stderr:
        if word in line:
            return line
    raise AssertionError(f"{word!r} was not said")


def test_stop_after_ends_like_a_first_signal_and_resume_goes_on(service, photos, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service, "concurrency = 4")
    stopped = batchinfer("run", photos, "-c", toml, "-o", run, "--stop-after", "6s", code=130)
    assert "Stopping after 6s" in stopped.stderr
    assert f"batchinfer resume {run}" in stopped.stderr
    counts = bi.status(run).counts
    assert 0 < counts.succeeded < COUNT
    assert counts.failed == 0
    assert service.read_stats()["sync_started"] == counts.succeeded  # what began has ended

    batchinfer("resume", run, "-c", toml, "-n", "64", "--limit", "20")  # without any limit of time
    assert bi.status(run).counts.succeeded == counts.succeeded + 20


def test_stop_after_in_python_and_in_a_configuration(service, photos, tmp_path):
    toml = config(tmp_path / "c.toml", service, 'concurrency = 4\nstop_after = "500ms"')
    run = bi.run(photos, tmp_path / "run", config=toml)
    assert run.exit_code == 130
    assert run.counts.finished < COUNT

    run.resume(limit=5, config=toml, stop_after="1h")
    assert run.exit_code == 0


def test_sigusr1_stops_and_never_cuts_off(service, photos, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", service, "concurrency = 4")
    before = service.read_stats()["sync_started"]
    process = start("run", photos, "-c", toml, "-o", run)
    until(run, lambda counts: counts.finished >= 8, process)
    process.send_signal(signal.SIGUSR1)
    assert "waiting for" in lines_until(process, "Stopping")
    process.send_signal(signal.SIGUSR1)  # by the script that was sent it, too
    process.communicate(timeout=60)
    assert process.returncode == 130
    counts = bi.status(run).counts
    assert service.read_stats()["sync_started"] - before == counts.succeeded


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1], ids=lambda each: each.name)
def test_the_grace_is_said_and_ends_what_does_not_end(signum, hanging_service, photos, tmp_path):
    run, toml = tmp_path / "run", config(tmp_path / "c.toml", hanging_service, "concurrency = 4")
    started = hanging_service.read_stats().get("sync_started", 0)
    process = start("run", photos, "-c", toml, "-o", run, "--grace", "1s")
    while hanging_service.read_stats().get("sync_started", 0) < started + 4:
        assert process.poll() is None
    process.send_signal(signum)
    assert "waiting for 4 running calls (up to 1s)" in lines_until(process, "Stopping")
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert bi.status(run).counts.finished == 0


def test_a_duration_that_is_none_is_refused(tmp_path, photos):
    said = batchinfer("run", photos, "-o", tmp_path / "run", "--stop-after", "soon", code=2).stderr
    assert "--stop-after" in said
    assert "3h50m" in said or "1h30m" in said
