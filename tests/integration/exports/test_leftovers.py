"""What a killed export leaves: cleared by the next one, unless somebody still writes it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from batchinfer.api.run_report import report
from batchinfer.exports import write_export
from batchinfer.exports.partial_files import create_partial_file, create_partial_folder

WRITES = """
import signal, sys
from pathlib import Path
from batchinfer.exports.atomic import atomic_file, atomic_folder
kind = {"file": atomic_file, "folder": atomic_folder}[sys.argv[1]]
with kind(Path(sys.argv[2])) as part:
    if sys.argv[1] == "folder":
        (part / "images").mkdir()
        (part / "images" / "link").symlink_to("/etc/hostname")
    else:
        part.write(b"half of it")
        part.flush()
    print("writing", flush=True)
    signal.pause()
"""
"""A process that writes an export and never comes to its end."""


def writer(kind, target):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES, kind, str(target)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    return process


def ended(process, number):
    process.send_signal(number)
    process.wait(60)
    process.stdout.close()


def parts(folder):
    return [path for path in folder.iterdir() if path.name.endswith(".part")]


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("next_one", ["csv", "yolo", "report", "ro-crate"])
def test_a_killed_one_is_cleared_by_the_next(hung, tmp_path, kind, next_one):
    ended(writer(kind, tmp_path / "killed"), signal.SIGKILL)
    assert len(parts(tmp_path)) == 1
    if next_one == "report":
        report(hung.run, tmp_path / "new")
    else:
        write_export(hung.book(), tmp_path / "new", next_one)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_that_is_alive_is_left_alone_however_old(hung, tmp_path, kind):
    process = writer(kind, tmp_path / "alive")
    try:
        (part,) = parts(tmp_path)
        os.utime(part, (0, 0))
        write_export(hung.book(), tmp_path / "new.csv", "csv")
        assert parts(tmp_path) == [part]
    finally:
        ended(process, signal.SIGKILL)
    write_export(hung.book(), tmp_path / "new.csv", "csv")
    assert parts(tmp_path) == []


def test_of_a_version_without_locks_only_what_is_a_day_old_is_cleared(hung, tmp_path):
    old, young = tmp_path / ".batchinfer-00000000.part", tmp_path / ".batchinfer-11111111.part"
    for path, days in ((old, 2), (young, 0.9)):
        path.mkdir()
        then = time.time() - days * 86_400
        os.utime(path, (then, then))
    write_export(hung.book(), tmp_path / "new.csv", "csv")
    assert parts(tmp_path) == [young]


def test_nothing_else_is_cleared_and_no_link_followed(hung, tmp_path):
    target = tmp_path / "mine"
    target.write_text("mine")
    (tmp_path / ".batchinfer-aaaaaaaaaaaa.part").symlink_to(target)
    (tmp_path / "x.part").touch()
    (tmp_path / ".batchinfer-notes").touch()
    write_export(hung.book(), tmp_path / "new.csv", "csv")
    assert target.read_text() == "mine"
    assert (tmp_path / "x.part").exists()
    assert (tmp_path / ".batchinfer-notes").exists()


@pytest.mark.parametrize("make", [create_partial_file, create_partial_folder])
def test_an_error_on_the_way_leaves_nothing(tmp_path, make):
    part = make(tmp_path / "x")
    assert part.__enter__().exists()
    error = ValueError("something went wrong")
    assert not part.__exit__(ValueError, error, None)
    assert list(tmp_path.iterdir()) == []
