"""Looking after a run from other processes: `ctl`, `--detach`, `status --follow`, `--estimate`."""

import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

import pytest

import batchinfer as bi
from batchinfer.api.control import SOCKET_NAME, get_worker_status, parse_command, send_command
from batchinfer.domain import Counts
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from batchinfer.store.lock import is_run_locked
from batchinfer.store.run_reader import RunReader
from support.cli import batchinfer, command, config, images, rows, start, until
from support.paths import MODELS

COUNT = 2000
"""So many that no run comes to its end by itself while it is being steered."""
AT_ONCE = 8
SETTINGS = f'mode = "sync"\nconcurrency = {AT_ONCE}\ntimeout = "60s"'
PATIENCE = 60.0
"""Seconds for what happens at once, on a machine that is busy with other things."""


def slow(**more: str) -> AbstractContextManager[ServiceProcess]:
    """A service with more containers than calls, each of which takes a while."""
    options = LocalServiceOptions(model="slow_model:predict", threads=True, containers=32, **more)
    return start_service(options, cwd=MODELS)


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[ServiceProcess]:
    journal = tmp_path_factory.mktemp("service") / "journal.jsonl"
    with slow(journal=str(journal)) as started:
        yield started


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return images(tmp_path_factory.mktemp("photos"), COUNT)


@pytest.fixture
def few(tmp_path) -> Path:
    return images(tmp_path / "few", 60)


@pytest.fixture
def toml(tmp_path, service) -> Path:
    return config(tmp_path / "c.toml", service, SETTINGS)


@contextmanager
def at_it(photos: Path, toml: Path, run: Path, *more: object) -> Iterator[subprocess.Popen[str]]:
    """A run that is under way; in the end it is gone, whatever happened."""
    before = bi.status(run).counts.finished if run.exists() else 0
    process = start("run", photos, "-c", toml, "-o", run, "-q", *more)
    try:
        until(run, lambda counts: counts.finished >= before + AT_ONCE, process)
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def first_line(stream: IO[str] | None) -> str:
    """What a process says first, or a failure when it says nothing."""
    assert stream is not None
    said = b""
    while not said.endswith(b"\n"):
        assert select.select([stream], [], [], PATIENCE)[0], "nothing is said"
        said += os.read(stream.fileno(), 1)
        assert said, "it has ended"
    return said.decode()


def tell(run: Path, do: str, value: object = None) -> str:
    return send_command(run, parse_command(do, value))["said"]


def told(run: Path, name: str) -> object:
    return send_command(run, parse_command("status"))["status"][name]


def counts_inside(service: ServiceProcess) -> list[int]:
    """How many calls were in a container, after each line of the service's journal."""
    inside, seen = 0, []
    for line in service.read_journal():
        inside += {"started": 1, "finished": -1}.get(line["event"], 0)
        seen.append(inside)
    return seen


def inside(service: ServiceProcess) -> int:
    return counts_inside(service)[-1]


def predictions(service: ServiceProcess) -> int:
    return service.read_stats()["sync_started"]


def beginnings(run: Path, since: float) -> list[float]:
    """When the attempts began that have been made since then, and are on record."""
    began = []
    with RunReader(run) as reader:
        while (at := reader.find_first_start(since)) is not None:
            began.append(at)
            since = at + 1e-6
    return began


# --- ctl


def test_a_pause_lets_nothing_begin_and_loses_nothing(service, photos, toml, tmp_path):
    run = tmp_path / "run"
    with at_it(photos, toml, run):
        assert "paused" in batchinfer("ctl", run, "pause").stdout
        eventually(lambda: told(run, "in_flight") == 0)
        # An attempt that has ended is on record a moment later.
        begun = predictions(service)
        eventually(lambda: bi.status(run).counts.finished == begun)
        counts = bi.status(run).counts

        said = batchinfer("status", run).stdout
        assert "paused" in said
        assert f"batchinfer ctl {run}" in said
        assert "batchinfer resume" not in said
        assert predictions(service) == begun
        assert bi.status(run).counts == counts

        assert tell(run, "resume") == f"resumed; concurrency is {AT_ONCE}"
        eventually(lambda: bi.status(run).counts.finished > counts.finished + AT_ONCE)
    assert bi.status(run).counts.failed == 0


def test_the_service_never_sees_more_than_was_told(service, photos, toml, tmp_path):
    run = tmp_path / "run"
    with at_it(photos, toml, run):
        assert "concurrency is 2" in batchinfer("ctl", run, "concurrency", 2).stdout
        eventually(lambda: inside(service) <= 2)
        mark, done = len(service.read_journal()), bi.status(run).counts.finished
        eventually(lambda: bi.status(run).counts.finished >= done + AT_ONCE)
        assert max(counts_inside(service)[mark:]) == 2

        assert tell(run, "concurrency", "12") == "concurrency is 12"
        eventually(lambda: max(counts_inside(service)[mark:]) == 12)
        done = bi.status(run).counts.finished
        eventually(lambda: bi.status(run).counts.finished >= done + 24)
        assert max(counts_inside(service)[mark:]) == 12

        said = json.loads(batchinfer("ctl", run, "concurrency", "2-9", "--json").stdout)
        assert (said["ok"], said["status"]["adapts"]) == (True, True)
        eventually(lambda: inside(service) <= 9)
        eventually(lambda: "set by ctl" in batchinfer("status", run).stdout)
    with RunReader(run) as reader:
        moves = [(each.was, each.value) for each in reader.read_limit_changes(100)]
        kept = reader.info.config["run"]
    assert moves[:2] == [(AT_ONCE, 2), (2, 12)]
    assert kept["concurrency"] == str(AT_ONCE)


def test_a_rate_holds_back_and_is_taken_back(service, photos, toml, tmp_path):
    run = tmp_path / "run"
    with at_it(photos, toml, run):
        assert tell(run, "rate", "4/s") == "at most 4 calls per second are started"
        since = time.time()
        eventually(lambda: len(beginnings(run, since)) > 5)
        began = beginnings(run, since)
        assert began[5] - began[0] > 0.5  # five times a quarter of a second, less what was late
        assert "at most 4 calls per second are started" in batchinfer("ctl", run, "status").stdout

        assert tell(run, "rate", "none") == "rate limit removed"
        mark = len(service.read_journal())
        eventually(lambda: AT_ONCE in counts_inside(service)[mark:])


def test_stop_ends_it_as_the_first_signal_does_and_it_goes_on_to_a_whole_export(tmp_path):
    photos, run = images(tmp_path / "photos", 80), tmp_path / "run"
    with slow() as service:  # of its own: calls of runs that were killed may still come to another
        toml = config(tmp_path / "c.toml", service, SETTINGS)
        process = start("run", photos, "-c", toml, "-o", run)
        until(run, lambda counts: counts.finished >= AT_ONCE, process)

        assert "stopping" in tell(run, "stop")
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (130, "")
        assert "ctl: stopping" in err
        assert f"batchinfer resume {run}" in err
        counts = bi.status(run).counts
        assert AT_ONCE <= counts.succeeded < 80
        assert predictions(service) == counts.succeeded  # what had begun is on record
        assert not (run / SOCKET_NAME).exists()

        batchinfer("resume", run, "-c", toml, "-q")
        assert [row["state"] for row in rows(run)] == ["succeeded"] * 80
        assert predictions(service) == 80


def test_the_socket_is_its_owners_only_and_replaced_after_a_kill(photos, toml, tmp_path):
    run = tmp_path / "run"
    with at_it(photos, toml, run) as process:
        found = (run / SOCKET_NAME).stat().st_mode
        assert stat.S_ISSOCK(found)
        assert stat.S_IMODE(found) == 0o600
        assert told(run, "pid") == process.pid
        process.kill()
        process.wait()
        assert (run / SOCKET_NAME).exists()
        refused = batchinfer("ctl", run, "status", code=3).stderr
        assert f"{run} is not running" in refused
        assert f"batchinfer resume {run}" in refused
    with at_it(photos, toml, run) as process:
        assert told(run, "pid") == process.pid
        tell(run, "stop")
        assert process.wait(PATIENCE) == 130
        assert not (run / SOCKET_NAME).exists()


def test_two_at_a_time_and_one_who_talks_nonsense(photos, toml, tmp_path):
    run = tmp_path / "run"
    with at_it(photos, toml, run) as process, socket.socket(socket.AF_UNIX) as rude:
        os.chdir(run)
        rude.connect(SOCKET_NAME)  # says nothing, and stays
        with socket.socket(socket.AF_UNIX) as other:
            other.settimeout(PATIENCE)
            other.connect(SOCKET_NAME)
            other.sendall(b"\0" * 3000 + b"\n")
            assert json.loads(other.recv(65_536))["ok"] is False
        both = [
            subprocess.Popen(command("ctl", run, "status"), stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        assert all("in flight" in each.communicate(timeout=PATIENCE)[0] for each in both)
        assert "none of" in batchinfer("ctl", run, "faster", code=2).stderr
        tell(run, "stop")
        assert process.wait(PATIENCE) == 130


@pytest.fixture(autouse=True)
def _here() -> Iterator[None]:
    here = Path.cwd()
    yield
    os.chdir(here)


def test_in_async_mode_a_pause_submits_nothing_and_collects_what_is_out(photos, tmp_path):
    run = tmp_path / "run"
    with start_service(LocalServiceOptions(threads=True, containers=4)) as service:
        toml = config(tmp_path / "c.toml", service, 'mode = "async"\nconcurrency = 20')
        with at_it(photos, toml, run):
            assert "paused" in tell(run, "pause")
            eventually(lambda: told(run, "in_flight") == told(run, "submitted") == 0)
            begun = service.read_stats()["async_started"]
            # What was uploaded, and what came out, is on record a moment later.
            eventually(lambda: bi.status(run).counts.succeeded == begun)
            assert tell(run, "concurrency", 3) == "concurrency is 3"
            tell(run, "resume")
            eventually(lambda: service.read_stats()["async_started"] > begun + 3)
            assert told(run, "submitted") <= 3


# --- status --follow


def test_follow_ends_with_the_process_and_leaves_the_run_alone(service, few, toml, tmp_path):
    run = tmp_path / "run"
    process = start("run", few, "-c", toml, "-o", run, "-q", "--rate", "1/s")
    until(run, lambda counts: counts.finished >= 1, process)
    tell(run, "pause")  # it must not come to its end before all have looked

    left = start("status", run, "--follow", "--json")
    assert json.loads(first_line(left.stdout))["event"] == "progress"
    left.send_signal(signal.SIGINT)
    left.communicate(timeout=PATIENCE)
    assert left.returncode == 130
    assert process.poll() is None

    following = start("status", run, "--follow", "--json")
    first = first_line(following.stdout)
    tell(run, "rate", "none")
    tell(run, "resume")
    out, _ = following.communicate(timeout=PATIENCE)
    assert following.returncode == 0
    assert process.wait(PATIENCE) == 0
    process.communicate()
    *seen, last = map(json.loads, [first, *out.splitlines()])
    assert {each["event"] for each in seen} == {"progress"}
    assert seen[0]["limit"] == AT_ONCE
    assert (last["event"], last["succeeded"]) == ("status", 60)
    assert "60 of 60 done (100%)" in batchinfer("status", run, "--follow").stdout


def test_follow_ends_when_the_process_is_killed(photos, toml, tmp_path):
    run = tmp_path / "run"
    with at_it(photos, toml, run) as process:
        following = start("status", run, "--follow")
        process.kill()
        out, _ = following.communicate(timeout=PATIENCE)
    assert following.returncode == 0
    assert f"batchinfer resume {run}" in out


# --- --detach


def detached(*args: object) -> dict[str, object]:
    (line,) = batchinfer(*args, "--detach").stdout.splitlines()
    return json.loads(line)


def test_a_detached_run_goes_on_by_itself_to_its_end(service, few, toml, tmp_path):
    run = tmp_path / "run"
    said = detached("run", few, "-c", toml, "-o", run, "--rate", "1/s")  # long enough to look at it
    assert said == {
        "event": "started",
        "run": str(run),
        "pid": told(run, "pid"),
        "log": str(run / "run.log"),
        "control": str(run / SOCKET_NAME),
    }
    assert os.getsid(said["pid"]) == said["pid"]
    if sys.platform == "linux":
        line = Path(f"/proc/{said['pid']}/cmdline").read_bytes()
        assert b"--detach" in line
        assert service.connection.token.encode() not in line

    tell(run, "rate", "none")
    batchinfer("status", run, "--follow")
    assert bi.status(run).counts == Counts(0, 0, 60)
    log = (run / "run.log").read_text()
    assert log.splitlines()[0].endswith(f"process {said['pid']} is at work")
    assert "60 succeeded of 60" in log
    assert "\r" not in log
    batchinfer("resume", run, "-c", toml, "--detach")
    eventually(lambda: not is_run_locked(run))
    assert (run / "run.log").read_text().startswith(log)


def test_a_detached_run_is_stopped_and_goes_on(photos, toml, tmp_path):
    run = tmp_path / "run"
    detached("run", photos, "-c", toml, "-o", run, "-q")
    locked = batchinfer("resume", run, "-c", toml, "--detach", code=3)
    assert "Another process is working" in locked.stderr
    assert locked.stdout == ""

    tell(run, "stop")
    eventually(lambda: get_worker_status(run) is None)
    said = detached("resume", run, "-c", toml, "--limit", 5)
    eventually(lambda: not is_run_locked(run))
    assert f"process {said['pid']} is at work" in (run / "run.log").read_text()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["-n", "many"], "--concurrency"),
        (["--param", "files2=1"], "files2"),
        (["--glob", "*.nothing"], "nothing to send"),
        (["--dry-run"], "--dry-run"),
        (["--estimate", "3"], "--estimate"),
    ],
)
def test_what_fails_before_it_began_says_so_here_and_leaves_nothing(
    few, toml, tmp_path, args, says
):
    run = tmp_path / "run"
    done = batchinfer("run", few, "-c", toml, "-o", run, "--detach", *args, code=2)
    assert says in done.stderr
    assert done.stdout == ""
    assert not run.exists()


def test_standard_input_cannot_be_detached_from(toml, tmp_path):
    run = tmp_path / "run"
    refused = batchinfer("run", "-", "-c", toml, "-o", run, "--detach", code=2, input="path\n")
    assert "standard input" in refused.stderr
    assert not run.exists()


def test_who_gives_up_waiting_gives_up_the_run(few, tmp_path):
    run = tmp_path / "run"
    with start_service(LocalServiceOptions(threads=True, cold_start=600)) as service:
        toml = config(tmp_path / "c.toml", service, SETTINGS)
        process = start("run", few, "-c", toml, "-o", run, "--detach")
        assert "warming up" in first_line(process.stderr)  # the other process asks for the help
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)  # both have left the pipe
    assert (process.returncode, out) == (130, "")
    assert not run.exists()


# --- --estimate


def test_an_estimate_keeps_what_it_sent_and_tells_about_the_rest(few, toml, tmp_path):
    run = tmp_path / "run"
    done = batchinfer("run", few, "-c", toml, "-o", run, "--estimate", 20, "--json", "-n", "auto")
    *_, estimate, summary = map(json.loads, done.stdout.splitlines())
    assert (estimate["event"], summary["event"]) == ("estimate", "summary")
    assert (estimate["sent"], estimate["remaining"], estimate["failures"]) == (20, 40, {})
    low, high = estimate["range"]
    assert low <= estimate["seconds"] <= high
    assert estimate["serving"] > 0
    assert f"batchinfer resume {run}" in done.stderr

    said = batchinfer("resume", run, "-c", toml, "--limit", 10).stderr
    assert "would take" not in said
    said = batchinfer("run", few, "-c", toml, "-o", run, "--estimate", 3).stderr
    assert "Too few to say how long the other 27" in said
    said = batchinfer("run", few, "-c", toml, "-o", run, "--estimate", 500).stderr
    assert "Nothing is left" in said
    assert bi.status(run).counts.succeeded == 60
