"""What keeps two machines off one run: here two leases that know nothing of each other's lock."""

import json
import subprocess
import sys
import threading
import time

import pytest

from batchinfer.errors import RunLocked, StoreError
from batchinfer.store.lock import RunLock
from batchinfer.store.run_lease import RunLease

HOLD = """
import sys
from pathlib import Path
from batchinfer.store.run_lease import RunLease
lease = RunLease(Path(sys.argv[1]), "run.lock")
lease.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def lease(folder, **options) -> RunLease:
    return RunLease(
        folder, "run.lock", **{"renewal_seconds": 0.05, "timeout_seconds": 20, **options}
    )


def write_foreign(folder, number=1, **more):
    """The lease of a process on another machine, which renews it no more."""
    content = {"nonce": "x", "host": "node7", "pid": 12, "machine": "other", "process": "1", **more}
    (folder / f"run.lock.{number}").write_text(json.dumps(content))


def test_one_at_a_time(tmp_path):
    first, second = lease(tmp_path), lease(tmp_path)
    first.acquire()
    assert first.is_held()
    with pytest.raises(RunLocked, match=r"Another process .* on .*batchinfer export"):
        second.acquire()
    assert not second.is_held()
    first.release()
    assert not first.is_held()
    second.acquire()
    assert second.is_held()
    second.release()


def test_a_killed_process_of_this_machine_is_followed_at_once(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        process.kill()
    own = lease(tmp_path, timeout_seconds=10_000)
    own.acquire()
    assert own.is_held()
    own.release()


def test_one_of_another_machine_is_followed_only_after_the_timeout(tmp_path):
    write_foreign(tmp_path)
    own, start = lease(tmp_path, timeout_seconds=0.5), time.monotonic()
    own.acquire()
    assert time.monotonic() >= start + 0.5
    assert own.is_held()
    assert not (tmp_path / "run.lock.1").exists()
    own.release()


def test_one_that_was_given_back_is_followed_at_once(tmp_path):
    write_foreign(tmp_path, number=41, free=True)
    own = lease(tmp_path, timeout_seconds=10_000)
    own.acquire()
    assert (tmp_path / "run.lock.42").exists()
    own.release()


def test_a_file_that_was_only_begun_is_followed_after_the_timeout(tmp_path):
    (tmp_path / "run.lock.1").touch()
    own = lease(tmp_path, timeout_seconds=0.2)
    own.acquire()
    own.release()


def test_a_holder_that_was_suspended_finds_out(tmp_path):
    first = lease(tmp_path)
    first.acquire()
    write_foreign(tmp_path, number=2)  # another machine has waited, and taken over
    (tmp_path / "run.lock.1").unlink()
    assert not first.is_held()
    first.release()
    assert json.loads((tmp_path / "run.lock.2").read_text())["host"] == "node7"


def test_waiting_can_be_given_up(tmp_path):
    write_foreign(tmp_path)
    own, refusals = lease(tmp_path, timeout_seconds=10_000), []

    def acquire():
        try:
            own.acquire()
        except RunLocked as error:
            refusals.append(error)

    waiting = threading.Thread(target=acquire)
    waiting.start()
    own.abandon()
    waiting.join()
    assert len(refusals) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock.1"]


def test_of_many_that_want_it_at_once_one_gets_it(tmp_path):
    for _ in range(10):
        leases = [lease(tmp_path) for _ in range(8)]
        held, barrier = [], threading.Barrier(len(leases))

        def try_one(each, held=held, barrier=barrier):
            barrier.wait()
            try:
                each.acquire()
            except RunLocked:
                return
            held.append(each)

        threads = [threading.Thread(target=try_one, args=(each,)) for each in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1
        assert held[0].is_held()
        held[0].release()


def test_a_folder_that_is_none_cannot_be_locked(tmp_path):
    with pytest.raises(StoreError, match="cannot be locked"):
        lease(tmp_path / "none").acquire()


def test_the_lock_of_a_run_takes_one_when_it_must(tmp_path):
    with RunLock(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]
    with RunLock(tmp_path, across_machines=True) as lock:
        assert lock.is_held()
        assert (tmp_path / "run.lock.1").exists()
    assert not lock.is_held()
    with RunLock(tmp_path, across_machines=True):
        assert (tmp_path / "run.lock.2").exists()
        assert not (tmp_path / "run.lock.1").exists()
