"""Real signals, real kills: whatever happens to the process, the export is that of a calm run."""

import random
import signal
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.engine.feeder import WINDOW_SPARE_ITEMS
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, config, images, rows, start, until

COUNT = 2000
AT_ONCE = {"sync": 16, "async": 100}
UNWRITTEN = 2 * AT_ONCE["sync"] + WINDOW_SPARE_ITEMS
"""So many may have been answered, or be in flight, and be on record nowhere."""
KILLS = 5
MODES = ["sync", "async"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("photos"), COUNT)


def settings(mode: str) -> str:
    return f'mode = "{mode}"\nconcurrency = {AT_ONCE[mode]}\ntimeout = "60s"'


@pytest.mark.parametrize("mode", MODES)
def test_killed_five_times_it_loses_nothing_and_does_nothing_twice(
    mode: str, photos: Path, tmp_path: Path
):
    moments = random.Random(mode)
    calm, harried = tmp_path / "calm", tmp_path / "harried"
    options = LocalServiceOptions(
        threads=True, containers=8, journal=str(tmp_path / "journal.jsonl")
    )
    with start_service(options) as service:
        toml = config(tmp_path / "c.toml", service, settings(mode))
        batchinfer("run", photos, "-c", toml, "-o", calm, "-q")
        before = service.read_stats()[f"{mode}_started"]
        assert before == COUNT
        image = {result.key: result.prediction["sha256"] for result in bi.results(calm)}

        again = []
        for kill in range(KILLS):
            process = start("run", photos, "-c", toml, "-o", harried, "-q")
            part = COUNT // (KILLS + 1)  # so that the last kill, too, comes long before the end
            mark = part * kill + moments.randrange(part)
            counts = until(harried, lambda c, mark=mark: c.finished >= mark, process)
            assert counts.finished < COUNT
            process.kill()
            process.communicate()
            on_record = {image[result.key] for result in bi.results(harried, "succeeded")}
            assert len(on_record) >= counts.finished
            again.append((on_record, len(service.read_journal())))
        batchinfer("run", photos, "-c", toml, "-o", harried, "-q")
        ran = service.read_stats()[f"{mode}_started"] - before
        journal = service.read_journal()

    assert rows(harried) == rows(calm)
    keys = [row["key"] for row in rows(harried)]
    assert len(keys) == len(set(keys)) == COUNT
    for on_record, so_far in again:
        later = {line["sha256"] for line in journal[so_far:] if line["event"] == "started"}
        assert not on_record & later
    assert COUNT <= ran <= COUNT + KILLS * (UNWRITTEN if mode == "sync" else AT_ONCE[mode])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_finishes_what_is_in_flight(
    mode: str, sign: signal.Signals, photos: Path, tmp_path: Path
):
    run = tmp_path / "run"
    with start_service(LocalServiceOptions(threads=True, containers=4, latency=0.2)) as service:
        toml = config(tmp_path / "c.toml", service, settings(mode))
        process = start("run", photos, "-c", toml, "-o", run)
        until(run, lambda counts: counts.finished >= 20, process)
        process.send_signal(sign)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert out == ""
        assert "Stopping" in err
        assert f"batchinfer resume {run}" in err
        counts = bi.status(run).counts
        assert 20 <= counts.succeeded < COUNT
        assert counts.failed == 0
        if mode == "sync":  # what was started was finished, and is on record
            assert service.read_stats()["sync_started"] == counts.succeeded


def test_a_second_signal_cancels(photos: Path, tmp_path: Path):
    run = tmp_path / "run"
    with start_service(
        LocalServiceOptions(command="sh -c 'sleep 30; echo {files}'", containers=4)
    ) as service:
        toml = config(tmp_path / "c.toml", service, settings("sync"))
        process = start("run", photos, "-c", toml, "-o", run)
        while service.read_stats().get("sync_started", 0) < 4:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        for line in process.stderr:
            if "Stopping" in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert f"batchinfer resume {run}" in err
    counts = bi.status(run).counts
    assert counts.finished == 0
    assert counts.pending > 0


def test_submit_here_collect_there_with_the_service_away_in_between(tmp_path: Path):
    photos, run = images(tmp_path / "photos", 200), tmp_path / "run"
    options = LocalServiceOptions(
        threads=True, containers=2, latency=0.05, data=str(tmp_path / "bucket")
    )
    with start_service(options) as service:
        toml = config(tmp_path / "c.toml", service, settings("async"))
        batchinfer("submit", photos, "-c", toml, "-o", run, "-n", 500)
        assert bi.status(run).counts.submitted == 200
        service.kill()  # with most jobs not yet done: their events are lost

        process = start("collect", run, "-c", toml, "--timeout", "5s")
        service.restart()
        _, err = process.communicate(timeout=120)
        counts = bi.status(run).counts
        assert counts.submitted == 0, err
        assert counts.succeeded > 0
        assert counts.failed == 0

        batchinfer("resume", run, "-c", toml, "--timeout", "5s")
    assert bi.status(run).counts.succeeded == 200
    assert len({row["prediction"]["sha256"] for row in rows(run)}) == 200
