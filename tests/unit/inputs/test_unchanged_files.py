"""The short way to a file that is as its source saw it: whatever is not so is left to others."""

import os
from pathlib import Path

import pytest

from batchinfer.domain import InputFile, RemoteFile
from batchinfer.inputs import open_input, read_unchanged

OTHER_TIME = 1_600_000_000 * 10**9


def seen(path: Path) -> InputFile:
    now = path.stat()
    return InputFile("files", str(path), now.st_size, now.st_mtime_ns)


@pytest.mark.parametrize("size", [1, 4_095, 4_096, 4_097, 131_072])
def test_it_reads_all_bytes(tmp_path: Path, size: int):
    path = tmp_path / "a\udcff b.jpg"
    path.write_bytes(data := os.urandom(size))
    assert read_unchanged(seen(path)) == data


def test_what_is_not_as_the_source_saw_it_is_left_to_the_careful_reading(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"twelve bytes")
    file = seen(path)
    size, time = file.size, file.mtime_ns
    others = [
        InputFile("files", str(path)),
        InputFile("files", str(path), size),
        InputFile("files", str(path), None, time),
        InputFile("files", str(path), 11, time),
        InputFile("files", str(path), 13, time),
        InputFile("files", str(path), size, OTHER_TIME),
        InputFile("files", f"{tmp_path}/missing.jpg", size, time),
        InputFile("files", f"{path}/below", size, time),
        InputFile("files", f"{path}\0", size, time),
        InputFile("files", os.path.relpath(path), size, time),
        InputFile("files", str(tmp_path), size, time),
        RemoteFile("files", f"file://{path}", size, time),
    ]
    assert [read_unchanged(other) for other in others] == [None] * len(others)
    path.write_bytes(b"another text")
    os.utime(path, ns=(OTHER_TIME, OTHER_TIME))
    assert read_unchanged(file) is None
    assert read_unchanged(seen(path)) == b"another text"


def test_an_empty_file_is_left_to_the_careful_reading(tmp_path: Path):
    (tmp_path / "a").touch()
    assert read_unchanged(seen(tmp_path / "a")) is None


def test_nothing_is_taken_out_of_a_pipe(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    both_ends = os.open(pipe, os.O_RDWR)
    os.write(both_ends, b"content")
    assert read_unchanged(InputFile("files", str(pipe), 7, pipe.stat().st_mtime_ns)) is None
    assert os.read(both_ends, 7) == b"content"
    os.close(both_ends)


@pytest.mark.skipif(not hasattr(os, "O_NOATIME"), reason="the time is always noted here")
def test_the_time_of_the_access_is_not_noted(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"x")
    os.utime(path, ns=(OTHER_TIME, OTHER_TIME + 1))  # noted at the next access, but for this
    assert read_unchanged(seen(path)) == b"x"
    opened = open_input(str(path))
    assert opened.read(1) == b"x"
    opened.close()
    assert path.stat().st_atime_ns == OTHER_TIME


def test_a_file_of_another_user_is_read_as_well():
    """But for root, whose it is: then the time of the access cannot be left as it was."""
    path = Path(os.__file__)
    assert read_unchanged(seen(path)) == path.read_bytes()
