"""Closed standard streams are as good as /dev/null, for every command and for its children."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer import cli
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, command, config, images

CLOSED = {"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-", "all": "<&- >&- 2>&-"}

COMMANDS = {
    "init": ("init", "{new}.toml"),
    "check": ("check", "-c", "svc.toml", "--wait", "10s"),
    "describe": ("describe", "-c", "svc.toml"),
    "run": ("run", "photos", "-o", "{new}", "-c", "svc.toml"),
    "watch": ("watch", "photos", "-o", "{new}", "-c", "svc.toml", "--until-idle", "1s"),
    "resume": ("resume", "done", "-c", "svc.toml"),
    "submit": ("submit", "photos", "-o", "{new}", "-c", "svc.toml"),
    "collect": ("collect", "submitted", "-c", "svc.toml"),
    "status": ("status", "done"),
    "ctl": ("ctl", "done", "pause"),
    "retry": ("retry", "done"),
    "compare": ("compare", "done", "done", "-o", "{new}.html"),
    "merge": ("merge", "done", "-o", "{new}"),
    "report": ("report", "done", "-o", "{new}.html"),
    "export": ("export", "done", "-o", "{new}.csv"),
    "query": ("query", "done", "select count(*) from results", "-o", "{new}.csv"),
    "show": ("show", "done", "site-0/img 0000.png"),
    "clean": ("clean", "submitted", "-c", "svc.toml", "--dry-run"),
    "prepare": ("prepare", "photos", "-o", "{new}"),
    "local": ("local", "--port", "0", "--slow", "nonsense"),
}
"""A use of every command; {new} is a name that is not taken."""
ENDS = {"ctl": 3, "local": 2}
"""Exit codes that are not 0."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("closed")
    images(folder / "photos", 4)
    with start_service(LocalServiceOptions(threads=True)) as service:
        config(folder / "svc.toml", service)
        batchinfer("run", "photos", "-o", "done", "-c", "svc.toml", cwd=folder)
        batchinfer("submit", "photos", "-o", "submitted", "-c", "svc.toml", cwd=folder)
        yield folder


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_every_command_is_tried():
    assert COMMANDS.keys() == cli.COMMAND_SUMMARIES.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_closed_stream_is_as_good_as_the_null_device(name, folder: Path, tmp_path: Path):
    def done(redirected: str, new: str) -> subprocess.CompletedProcess[str]:
        words = [word.format(new=tmp_path / new) for word in COMMANDS[name]]
        return shell(f"{shlex.join(command(*words))} {redirected}", folder)

    for stream, redirected in CLOSED.items():
        closed = done(redirected, stream)

        assert closed.returncode == ENDS.get(name, 0), (stream, closed.stderr)
        assert "Traceback" not in closed.stderr
        if stream in {"stdout", "all"}:
            assert closed.stdout == ""
        if stream in {"stderr", "all"}:
            assert closed.stderr == ""
    made = sorted(path.stem for path in tmp_path.iterdir() if path.name[0] != ".")
    if any("{new}" in word for word in COMMANDS[name]):
        assert made == sorted(CLOSED)
    if name == "run":
        assert [bi.status(tmp_path / each).counts.succeeded for each in CLOSED] == [4] * 4
    if name in {"export", "query"}:
        assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="--detach needs Unix processes")
def test_a_detached_run_started_with_everything_closed_ends_well(folder: Path, tmp_path: Path):
    run = tmp_path / "run"
    words = ("run", "photos", "-o", run, "-c", "svc.toml", "--detach")
    assert shell(f"{shlex.join(command(*words))} <&- >&- 2>&-", folder).returncode == 0

    batchinfer("status", run, "--follow")

    assert bi.status(run).counts.succeeded == 4
    assert "Traceback" not in (run / "run.log").read_text()


def test_a_manifest_from_a_closed_stdin_is_an_empty_one(folder: Path, tmp_path: Path):
    line = shlex.join(command("run", "-", "-o", tmp_path / "run", "-c", "svc.toml"))

    closed, null = shell(f"{line} <&-", folder), shell(f"{line} </dev/null", folder)

    assert (closed.returncode, closed.stderr) == (null.returncode, null.stderr)
    assert closed.returncode == 2


@pytest.mark.parametrize("words", [("export", "done", "-o", "-"), ("status", "done"), ("--help",)])
def test_a_reader_that_leaves_early_is_no_error(words, folder: Path):
    line = f"{{ {shlex.join(command(*words))}; echo ended $? >&2; }} | true"

    done = shell(line, folder)

    assert done.stderr.splitlines()[-1:] == ["ended 0"]
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_talk_that_cannot_be_written_is_no_error(folder: Path, tmp_path: Path):
    line = shlex.join(command("export", "done", "-o", tmp_path / "x.csv"))

    assert shell(f"{line} 2>/dev/full", folder).returncode == 0
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 5


@contextmanager
def held(folder: Path, run: Path, *wrapper: str) -> Iterator[subprocess.Popen[str]]:
    """A run whose calls take longer than any test waits, once it has some in flight."""
    words = ("run", "photos", "-o", run, "-c", "slow.toml", "--no-validate", "--json")
    with subprocess.Popen(
        [*wrapper, *command(*words)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert next(line for line in events(process) if line.get("in_flight"))
            yield process
        finally:
            process.kill()


def events(process: subprocess.Popen[str]) -> Iterator[dict]:
    assert process.stdout is not None
    return map(json.loads, process.stdout)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Path]:
    """Every other call takes an hour, so that a run has results and never ends."""
    with start_service(
        LocalServiceOptions(threads=True, slow_rate=0.5, slow_seconds=3600.0, seed=1)
    ) as service:
        images(tmp_path / "photos", 40)
        config(tmp_path / "slow.toml", service)
        yield tmp_path


@pytest.fixture
def hangup() -> Iterator[None]:
    """What is started meanwhile does not ignore SIGHUP, even if the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
@pytest.mark.usefixtures("hangup")
def test_a_hangup_stops_a_run_as_sigterm_does_however_often_it_comes(slow: Path, tmp_path: Path):
    with held(slow, tmp_path / "run") as process:
        process.send_signal(signal.SIGHUP)
        told = [next(line for line in events(process) if line.get("code") == "stopping")]
        process.send_signal(signal.SIGHUP)  # as a terminal does that closes
        process.send_signal(signal.SIGTERM)
        told += events(process)

        assert process.wait(60) == 130
    stops = [each["message"] for each in told if each.get("code") == "stopping"]
    assert [message.split()[0] for message in stops] == ["Stopping:", "Cancelled"]
    assert told[-1]["event"] == "summary"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_a_hangup_is_ignored_where_nohup_says_so(slow: Path, tmp_path: Path):
    with held(slow, tmp_path / "run", "nohup") as process:
        process.send_signal(signal.SIGHUP)
        batchinfer("ctl", tmp_path / "run", "status")  # it answers: it goes on
        process.send_signal(signal.SIGTERM)
        told = [next(line for line in events(process) if line.get("code") == "stopping")]
        process.send_signal(signal.SIGTERM)
        told += events(process)

        assert process.wait(60) == 130
    stops = [each["message"] for each in told if each.get("code") == "stopping"]
    assert [message.split()[0] for message in stops] == ["Stopping:", "Cancelled"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
@pytest.mark.usefixtures("hangup")
def test_a_hangup_ends_the_local_service_tidily(tmp_path: Path):
    with subprocess.Popen(
        command("local", "--threads", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as process:
        assert next(events(process))
        process.send_signal(signal.SIGHUP)

        assert process.wait(60) == 0
    assert list(tmp_path.iterdir()) == []
