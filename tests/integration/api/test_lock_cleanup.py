"""What is left of a run that never began: nothing."""

from pathlib import Path

import pytest

from batchinfer.api.job_sources import lock_run


def test_a_file_that_a_thread_adds_meanwhile_is_removed_too(tmp_path: Path, monkeypatch):
    run, rmdir = tmp_path / "run", Path.rmdir
    late = [run / "stdin.manifest.folder", run / ".stdin.manifest.part"]

    # Between a look and a removal, which no thread of a test would hit every time.
    def add_and_remove(directory: Path) -> None:
        if late:
            late.pop(0).touch()
        rmdir(directory)

    monkeypatch.setattr(Path, "rmdir", add_and_remove)
    with lock_run(run):
        pass
    assert not run.exists()


@pytest.mark.parametrize("name", ["run.db", "photo.jpg"])
def test_a_run_and_a_strange_file_stay(tmp_path: Path, name: str):
    with lock_run(tmp_path):
        (tmp_path / name).touch()
    assert (tmp_path / name).exists()
