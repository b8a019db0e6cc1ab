"""What a command reads to learn what it works on: the run directory and the configuration, once."""

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from support.cli import CONFIG, TOKEN, clean_environment

COUNTED = """
import json, os, sys, threading

opened = []

def note(event, args):
    if event == "sqlite3.connect":
        opened.append(str(args[0]))
    elif event == "open" and isinstance(args[0], (str, os.PathLike)):
        if os.path.basename(args[0]) in ("batchinfer.toml", ".batchinfer.env"):
            opened.append(os.path.basename(args[0]))

sys.addaudithook(note)

from batchinfer.cli import main
from batchinfer.config import resolve_run_settings

resolved = 0

def count(frame, event, arg):
    global resolved
    if event == "call" and frame.f_code is resolve_run_settings.__code__:
        resolved += 1

threading.setprofile(count)
sys.setprofile(count)
code = main(sys.argv[2:])
sys.setprofile(None)
with open(sys.argv[1], "w") as file:
    json.dump({"code": code, "opened": opened, "resolved": resolved}, file)
"""
"""A command, and what it opened: by the interpreter's own audit events."""


@dataclass(frozen=True)
class Counts:
    code: int
    readers: int
    """Connections to the run's database, but for the one that writes."""
    config_files: list[str]
    resolved: int


@pytest.fixture
def desk(tmp_path):
    """A folder to work in, whose photos are all empty: they fail before anything is sent."""
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "photos" / name).touch()
    (tmp_path / "batchinfer.toml").write_text(CONFIG)
    (tmp_path / ".batchinfer.env").write_text(f"OSCAR_TOKEN={TOKEN}\n")
    return tmp_path


@pytest.fixture
def run(desk):
    """One of its three items has an outcome."""
    assert count(desk, "run", "photos", "-o", "out", "--limit", "1", "-q").code == 1
    return desk / "out"


def count(desk, *args) -> Counts:
    report = desk.parent / f"{desk.name}.counts.json"
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, report, *args],
        cwd=desk,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(report.read_text())
    databases = [name for name in counts["opened"] if "run.db" in name]
    writers = [name for name in databases if "mode=rw" in name]
    return Counts(
        code=counts["code"],
        # A store has two connections: one writes, the other one only reads.
        readers=len(databases) - len(writers) // 2,
        config_files=[name for name in counts["opened"] if name.startswith(("batchinfer.t", ".b"))],
        resolved=counts["resolved"],
    )


def test_resume_reads_the_run_twice_and_the_configuration_once(desk, run):
    counts = count(desk, "resume", "out", "-q")

    assert counts == Counts(code=1, readers=2, config_files=[".batchinfer.env"], resolved=1)


def test_run_on_an_existing_directory_reads_it_twice_and_the_configuration_once(desk, run):
    counts = count(desk, "run", "photos", "-o", "out", "-q")

    assert counts == Counts(code=1, readers=2, config_files=[".batchinfer.env"], resolved=1)


def test_a_new_run_reads_the_configuration_once(desk):
    counts = count(desk, "run", "photos", "-o", "new", "-q")

    assert (counts.code, counts.resolved) == (1, 1)
    assert sorted(counts.config_files) == [".batchinfer.env", "batchinfer.toml"]


def test_a_dry_run_of_an_existing_directory_reads_it_once(desk, run):
    counts = count(desk, "run", "photos", "-o", "out", "--dry-run", "-q")

    assert (counts.readers, counts.resolved) == (1, 1)


@pytest.mark.parametrize(
    "args",
    [("status", "out"), ("export", "out", "-o", "r.jsonl"), ("export", "out", "-o", "r.csv")],
)
def test_what_only_reads_opens_the_run_twice_at_most_and_needs_no_configuration(desk, run, args):
    counts = count(desk, *args)

    assert counts.code == 0
    assert 1 <= counts.readers <= 2
    assert (counts.config_files, counts.resolved) == ([], 0)
