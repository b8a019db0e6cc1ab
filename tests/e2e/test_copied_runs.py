"""Copies of a run directory, and one restored from a backup, work on one bucket: every result is
from its own item's file, and no prediction is started twice that need not be.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from support.cli import batchinfer, config, images, png, start, until

FIRST = 6


@pytest.fixture
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4)) as started:
        yield started


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return images(tmp_path / "photos", FIRST)


@pytest.fixture
def toml(tmp_path: Path, service: ServiceProcess) -> Path:
    return config(tmp_path / "c.toml", service, 'mode = "async"\ntimeout = "60s"')


def more(photos: Path, first: int, count: int = 3) -> dict[str, str]:
    """Files of the same names each time, with contents of their own; the sha256 of each."""
    made = {}
    for number in range(count):
        path = photos / f"z-{number}.png"
        path.write_bytes(png(first + number))
        made[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return made


def predicted(run: Path) -> dict[str, str]:
    """What the model saw of each item; all of them succeeded."""
    results = list(bi.results(run))
    assert {result.state.value for result in results} == {"succeeded"}
    return {result.key: result.prediction["sha256"] for result in results}


def begun(service: ServiceProcess) -> int:
    return service.read_stats()["async_started"]


def test_two_copies_that_go_on_with_other_files_do_not_take_each_others_outputs(
    service: ServiceProcess, photos: Path, toml: Path, tmp_path: Path
):
    one, other = tmp_path / "one", tmp_path / "other"
    batchinfer("submit", photos, "-c", toml, "-o", one, "-q")
    shutil.copytree(one, other)

    of_one = more(photos, 100)
    batchinfer("submit", photos, "-c", toml, "-o", one, "-q")
    of_other = more(photos, 200)
    batchinfer("submit", photos, "-c", toml, "-o", other, "-q")
    batchinfer("collect", one, "-c", toml, "-q")
    batchinfer("collect", other, "-c", toml, "-q")

    found, another = predicted(one), predicted(other)
    assert found.items() >= of_one.items()
    assert another.items() >= of_other.items()
    assert len(found) == len(another) == FIRST + 3
    assert begun(service) == FIRST + 3 + 3


def test_the_same_where_outputs_have_random_names(tmp_path: Path):
    """Such an output is there for one of two copies that submitted it together; the other tries
    again.
    """
    photos, one, other = images(tmp_path / "photos", FIRST), tmp_path / "one", tmp_path / "other"
    with start_service(LocalServiceOptions(threads=True, containers=4, deepaas="2.6.0")) as service:
        toml = config(tmp_path / "c.toml", service, 'mode = "async"\ntimeout = "20s"')
        batchinfer("submit", photos, "-c", toml, "-o", one, "-q")
        shutil.copytree(one, other)
        of_one = more(photos, 100)
        batchinfer("run", photos, "-c", toml, "-o", one, "-q")
        of_other = more(photos, 200)
        batchinfer("run", photos, "-c", toml, "-o", other, "-q")
    assert predicted(one).items() >= of_one.items()
    assert predicted(other).items() >= of_other.items()


def test_a_restored_backup_adopts_what_was_submitted_since_from_the_same_files(
    service: ServiceProcess, photos: Path, toml: Path, tmp_path: Path
):
    run, backup = tmp_path / "run", tmp_path / "backup"
    batchinfer("submit", photos, "-c", toml, "-o", run, "-q")
    shutil.copytree(run, backup)
    sent = more(photos, 100)
    batchinfer("submit", photos, "-c", toml, "-o", run, "-q")
    # The backup knows the new files as pending, and was killed before it could submit them.
    batchinfer("run", photos, "-c", toml, "-o", backup, "-q")

    assert predicted(backup).items() >= sent.items()
    assert begun(service) == FIRST + 3


def test_a_restored_backup_sends_anew_what_has_changed_since(
    service: ServiceProcess, photos: Path, toml: Path, tmp_path: Path
):
    run, backup = tmp_path / "run", tmp_path / "backup"
    batchinfer("submit", photos, "-c", toml, "-o", run, "-q")
    shutil.copytree(run, backup)
    more(photos, 100)
    batchinfer("run", photos, "-c", toml, "-o", run, "-q")
    sent = more(photos, 200)
    batchinfer("run", photos, "-c", toml, "-o", backup, "-q")

    assert predicted(backup).items() >= sent.items()
    assert begun(service) == FIRST + 3 + 3


def test_cleaning_one_copy_leaves_what_the_other_submitted(
    service: ServiceProcess, photos: Path, toml: Path, tmp_path: Path
):
    one, other = tmp_path / "one", tmp_path / "other"
    batchinfer("run", photos, "-c", toml, "-o", one, "-q")
    shutil.copytree(one, other)
    more(photos, 100)
    batchinfer("run", photos, "-c", toml, "-o", one, "-q")
    sent = more(photos, 200)
    batchinfer("submit", photos, "-c", toml, "-o", other, "-q")

    said = batchinfer("clean", one, "-c", toml).stderr
    batchinfer("collect", other, "-c", toml, "-q")

    assert "has not recorded (another copy of it may need them): kept" in said
    assert predicted(other).items() >= sent.items()
    assert begun(service) == FIRST + 3 + 3


def test_killed_again_and_again_while_submitting_it_starts_nothing_twice(tmp_path: Path):
    count, kills = 400, 4
    photos, run = images(tmp_path / "photos", count), tmp_path / "run"
    with start_service(LocalServiceOptions(threads=True, containers=4)) as service:
        toml = config(tmp_path / "c.toml", service, 'mode = "async"\nconcurrency = 1000')
        for kill in range(1, kills + 1):
            process = start("submit", photos, "-c", toml, "-o", run, "-q")
            mark = kill * count // (kills + 1)
            until(run, lambda counts, mark=mark: counts.submitted >= mark, process)
            process.kill()
            process.communicate()
        batchinfer("run", photos, "-c", toml, "-o", run, "-q")
        assert begun(service) == count
    assert len(predicted(run)) == count
