"""Runs that follow the store's notifications: killed, stopped, and with all that can go wrong."""

import signal
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions, NotificationFaults
from batchinfer.local.service_process import ServiceProcess, start_service
from support.cli import batchinfer, config, images, rows, start, until

COUNT = 120
SETTINGS = 'mode = "async"\nconcurrency = 20\ntimeout = "120s"'


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("photos"), COUNT)


def make_options(*faults: str, **changed) -> LocalServiceOptions:
    known = {"threads": True, "containers": 4, "notifications": NotificationFaults.parse(faults)}
    return LocalServiceOptions(**(known | changed))


def unnotified(toml: Path) -> Path:
    """The same configuration without notifications."""
    path = toml.with_name("off.toml")
    text = toml.read_text()
    assert "[bucket]\n" in text
    path.write_text(text.replace("[bucket]\n", '[bucket]\nnotifications = "off"\n'))
    return path


def read_streams(service: ServiceProcess) -> int:
    return service.read_bucket_stats().get("notification_streams", 0)


def test_killed_and_resumed_it_loses_nothing_and_does_nothing_twice(photos: Path, tmp_path: Path):
    calm, harried = tmp_path / "calm", tmp_path / "harried"
    with start_service(make_options(latency=0.05)) as service:
        toml = config(tmp_path / "c.toml", service, SETTINGS)
        batchinfer("run", photos, "-c", unnotified(toml), "-o", calm, "-q")
        assert read_streams(service) == 0
        before = service.read_stats()["async_started"]

        for part in (10, 60):
            process = start("run", photos, "-c", toml, "-o", harried, "-q")
            counts = until(harried, lambda c, part=part: c.finished >= part, process)
            assert counts.finished < COUNT
            process.kill()
            process.communicate()
        batchinfer("resume", harried, "-q")

        assert rows(harried) == rows(calm)
        assert service.read_stats()["async_started"] - before == COUNT
        assert read_streams(service) == 3


@pytest.mark.parametrize(
    "faults",
    [
        ["xml"],
        ["status:403"],
        ["status:503"],
        ["lose:0.5"],
        ["delay:1.5"],
        ["drop:0.7", "blanks"],
        ["blanks"],
        ["buffer:4096"],
        ["lose:1"],
    ],
    ids=" ".join,
)
def test_whatever_the_stream_does_all_results_are_there(faults, photos: Path, tmp_path: Path):
    with start_service(make_options(*faults, latency=0.03, seed=1)) as service:
        toml = config(tmp_path / "c.toml", service, SETTINGS)
        done = batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run")
        assert service.read_stats()["async_started"] == COUNT
    assert bi.status(tmp_path / "run").counts.succeeded == COUNT
    assert "notification" not in (done.stdout + done.stderr).lower()


def test_a_store_that_restarts_takes_the_stream_along(photos: Path, tmp_path: Path):
    options = make_options(latency=0.2, store_restarts=2.0, store_outage=1.0)
    with start_service(options) as service:
        toml = config(tmp_path / "c.toml", service, SETTINGS)
        batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run", "-q")
    counts = bi.status(tmp_path / "run").counts
    assert (counts.succeeded, counts.pending, counts.submitted) == (COUNT, 0, 0)


def test_outputs_of_a_module_that_names_them_itself_are_found(photos: Path, tmp_path: Path):
    with start_service(make_options(deepaas="2.6.0")) as service:
        toml = config(tmp_path / "c.toml", service, SETTINGS)
        batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run", "-q", "--clean")
    assert bi.status(tmp_path / "run").counts.succeeded == COUNT


def test_ctrl_c_does_not_wait_for_the_stream(photos: Path, tmp_path: Path):
    run = tmp_path / "run"
    with start_service(make_options(latency=0.5)) as service:
        toml = config(tmp_path / "c.toml", service, SETTINGS)
        process = start("run", photos, "-c", toml, "-o", run)
        until(run, lambda counts: counts.finished >= 10, process)
        assert read_streams(service) == 1
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert f"batchinfer resume {run}" in err
        assert "Traceback" not in err


def test_submit_here_collect_there(photos: Path, tmp_path: Path):
    run = tmp_path / "run"
    with start_service(make_options(latency=0.05)) as service:
        toml = config(tmp_path / "c.toml", service, SETTINGS.replace("20", "1000"))
        batchinfer("submit", photos, "-c", toml, "-o", run, "-q")
        assert read_streams(service) == 0
        batchinfer("collect", run, "-c", toml, "-q")
        assert read_streams(service) == 1
    assert bi.status(run).counts.succeeded == COUNT


def test_an_unknown_choice_is_refused(photos: Path, tmp_path: Path):
    with start_service(make_options()) as service:
        toml = unnotified(config(tmp_path / "c.toml", service, SETTINGS))
        toml.write_text(toml.read_text().replace('"off"', '"maybe"'))
        refused = batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run", code=2)
    assert '"auto" or "off"' in refused.stderr


@pytest.mark.parametrize("fault", ["xml:1", "lose:2", "drop:0", "status:200", "nothing", "delay:x"])
def test_the_local_service_refuses_faults_that_it_does_not_know(fault):
    refused = batchinfer("local", "--notifications", fault, code=2)
    assert "Traceback" not in refused.stderr
    assert fault.partition(":")[0] in refused.stderr
