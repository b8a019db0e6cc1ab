"""A service with all faults of docs/platform.md at once: the results are exact all the same."""

import hashlib
from pathlib import Path

import batchinfer as bi
from batchinfer.local.service_options import InjectedFault, LocalServiceOptions
from batchinfer.local.service_process import start_service
from batchinfer.store.run_reader import RunReader
from support.cli import config, images, rows, start


def assert_exact(run: Path, photos: Path, count: int) -> None:
    """Every file has one row, and that row was made from that very file."""
    found = {row["key"]: row for row in rows(run)}
    assert len(found) == count
    for path in photos.rglob("*.png"):
        row = found[path.relative_to(photos).as_posix()]
        assert row["state"] == "succeeded", row
        assert row["prediction"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def run_to_its_end(photos: Path, run: Path, toml: Path, calls: int) -> None:
    """Run; who was killed twice by chance, and failed for that alone, is put back."""
    ends = [start("run", photos, "-c", toml, "-o", run, "-n", calls)]
    ends[-1].communicate(timeout=300)
    while failures := bi.status(run).failures:
        assert {group.code for group in failures} == {"model_killed"}
        assert bi.retry(run, code="model_killed") == sum(group.count for group in failures)
        ends.append(start("resume", run, "-c", toml))
        ends[-1].communicate(timeout=300)
    assert [process.returncode for process in ends] == [*[1] * (len(ends) - 1), 0]


def test_async_through_orphans_lost_events_killed_models_and_a_restarting_store(tmp_path: Path):
    count = 1000
    photos, run = images(tmp_path / "photos", count), tmp_path / "run"
    faults = LocalServiceOptions(
        threads=True,
        containers=8,
        deepaas="2.6.0",
        lose_events=0.03,
        kill_models=0.02,
        store_restarts=20,
        store_outage=3,
        seed=3,
    )
    with start_service(faults) as service:
        toml = config(tmp_path / "c.toml", service, 'mode = "async"\ntimeout = "8s"')
        run_to_its_end(photos, run, toml, 100)
        ran = service.read_stats()["async_started"]
    assert_exact(run, photos, count)
    with RunReader(run) as reader:
        codes = {
            attempt.outcome.code
            for row in reader.iter_results()
            if row.attempts > 1
            for attempt in reader.read_item_detail(row.key).attempts
            if isinstance(attempt.outcome, bi.Failure)
        }
    # A job that a restart of the store has caught between its two uploads may be too late with one.
    assert {"no_output", "model_killed"} <= codes <= {"no_output", "model_killed", "output_lost"}
    assert ran < count * 1.1


def test_sync_through_every_passing_fault(tmp_path: Path):
    count = 400
    photos, run = images(tmp_path / "photos", count), tmp_path / "run"
    faults = LocalServiceOptions(
        threads=True,
        containers=8,
        cold_start=1,
        kill_models=0.02,
        fail_with=(
            InjectedFault("502", 0.02),
            InjectedFault("502/nginx", 0.02),
            InjectedFault("503", 0.05),
            InjectedFault("429", 0.02),
            InjectedFault("500", 0.02),
            InjectedFault("504", 0.02),
            InjectedFault("502/cold", 0.02),
        ),
        seed=5,
    )
    with start_service(faults) as service:
        toml = config(tmp_path / "c.toml", service, 'mode = "sync"\nmax_attempts = 12')
        run_to_its_end(photos, run, toml, 16)
    assert_exact(run, photos, count)
