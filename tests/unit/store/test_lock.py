import os
import signal
import subprocess
import sys

import pytest

from batchinfer.errors import RunLocked, StoreError
from batchinfer.store.lock import LOCK_NAME, RunLock, is_run_locked

HOLD = """
import sys
from pathlib import Path
from batchinfer.store.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

LOOK = """
import sys
from pathlib import Path
from batchinfer.store.lock import is_run_locked
print("looks", flush=True)
while True:
    is_run_locked(Path(sys.argv[1]))
"""


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_anybody_can_see_whether_it_is_held_and_changes_nothing(tmp_path, holder):
    said = (tmp_path / LOCK_NAME).read_text()
    assert is_run_locked(tmp_path)
    assert (tmp_path / LOCK_NAME).read_text() == said

    holder.kill()
    holder.wait()
    assert not is_run_locked(tmp_path)
    assert (tmp_path / LOCK_NAME).read_text() == said
    assert not is_run_locked(tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_who_looks_is_in_nobodys_way(tmp_path):
    with RunLock(tmp_path):
        pass
    with subprocess.Popen(
        [sys.executable, "-c", LOOK, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "looks\n"
            for _ in range(1000):
                assert not is_run_locked(tmp_path)
                with RunLock(tmp_path):
                    assert is_run_locked(tmp_path)
        finally:
            process.kill()


def test_a_second_process_is_told_who_holds_the_run(tmp_path, holder):
    with pytest.raises(RunLocked) as caught, RunLock(tmp_path):
        pass
    message = str(caught.value)
    assert f"process {holder.pid} on " in message
    assert "batchinfer status" in message


def test_the_same_process_cannot_hold_a_run_twice(tmp_path):
    with RunLock(tmp_path), pytest.raises(RunLocked, match=str(os.getpid())), RunLock(tmp_path):
        pass


def test_a_run_is_free_after_its_holder(tmp_path):
    with RunLock(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK_NAME).read_text()
    assert (tmp_path / LOCK_NAME).read_text() == ""
    with RunLock(tmp_path):
        pass


def test_a_run_is_free_after_its_holder_was_killed(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with RunLock(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK_NAME).read_text()


def test_the_directory_is_made_if_there_is_none(tmp_path):
    with RunLock(tmp_path / "new" / "run"):
        assert (tmp_path / "new" / "run" / LOCK_NAME).exists()


def test_a_directory_that_is_none_cannot_be_locked(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="permissions"), RunLock(tmp_path / "file"):
        pass
