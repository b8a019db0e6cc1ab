"""Disks that are full, and folders that cannot be written: named right, nothing half there."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchinfer.errors import ConfigError
from batchinfer.exports import EXPORT_FORMATS, write_export
from batchinfer.exports.scratch import open_scratch_file

SMALL = [name for name in EXPORT_FORMATS.names() if name not in {"parquet", "arrow"}]
"""Formats whose bytes for the gallery fill more than the disk below."""


@contextmanager
def disk(folder, size):
    """A disk of its own at `folder`, of so many bytes."""
    folder.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if (
        mount is None
        or subprocess.run([mount, *options], capture_output=True, check=False).returncode
    ):
        pytest.skip("only root can mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def command(*args, **options):
    line = [sys.executable, "-m", "batchinfer", *map(str, args)]
    return subprocess.run(line, capture_output=True, check=False, text=True, timeout=300, **options)


def test_a_full_tmp_stops_no_export(hung, tmp_path):
    with disk(tmp_path / "tmp", "4k") as full:
        (full / "filler").write_bytes(bytes(4096))
        environment = os.environ | {"TMPDIR": str(full), "SQLITE_TMPDIR": str(full)}
        for name in EXPORT_FORMATS.names():
            done = command(
                *("export", hung.run, "-o", tmp_path / name, "--format", name), env=environment
            )
            assert done.returncode == 0, (name, done.stderr)


def test_a_spool_names_its_folder(tmp_path):
    code = (
        "import resource, signal, sys; from batchinfer.exports.scratch import open_scratch_file\n"
        "from batchinfer.errors import ConfigError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    with open_scratch_file(None) as spool:\n"
        "        spool.write(bytes(100_000))\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        f"Temporary files in {tmp_path} cannot be written: File too large. Free some space there,"
        " or let TMPDIR name another folder.\n"
    )


def test_a_spool_gives_back_what_it_got(tmp_path):
    with open_scratch_file(tmp_path) as spool, (tmp_path / "out").open("wb") as file:
        for number in range(1000):
            spool.write(b"%d," % number)
        spool.copy_to(file)
    assert (tmp_path / "out").read_bytes() == b"".join(b"%d," % each for each in range(1000))
    assert tempfile.gettempdir()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", SMALL)
def test_a_full_disk_is_named_and_left_as_it_was(hung, tmp_path, name):
    with disk(tmp_path / "disk", "4k") as small:
        with pytest.raises(ConfigError) as told:
            write_export(hung.book(), small / "out", name)
        assert str(told.value).startswith(
            f"{small / 'out'} cannot be written: No space left on device in {small}. Free some"
        )
        assert list(small.iterdir()) == []


def test_a_quota_is_told_as_a_full_disk(hung, tmp_path):
    def results():
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        yield

    book = hung.book()
    broken = type(book)(book.run_directory, book.info, results, book.iter_details)
    with pytest.raises(ConfigError, match=f"Disk quota exceeded in {tmp_path}"):
        write_export(broken, tmp_path / "a.csv", "csv")


def test_a_file_that_may_not_grow_is_told(hung, tmp_path):
    done = command(
        *("export", hung.run, "-o", tmp_path / "a.csv"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert done.returncode == 2
    assert "a.csv cannot be written: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("no/such/x.csv", r"The folder .*no/such does not exist: create it first"),
        ("x" * 300 + ".csv", "File name too long"),
        ("folder", r"Is a directory\. Name a file in it"),
        ("file/x.csv", "Not a directory"),
    ],
)
def test_what_is_wrong_with_a_place_is_said_before_anything_is_read(hung, tmp_path, place, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")

    def results():
        raise AssertionError
        yield

    book = hung.book()
    unread = type(book)(book.run_directory, book.info, results, book.iter_details)
    with pytest.raises(ConfigError, match=said):
        write_export(unread, tmp_path / place, "csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_picture_that_cannot_be_copied_is_named_not_the_target(hung, tmp_path):
    folder = tmp_path / "out"
    gone = Path(hung.run.parent, "pictures-gone", "1.png")

    def dossiers():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(gone))
        yield

    book = hung.book()
    broken = type(book)(book.run_directory, book.info, book.iter_results, dossiers)
    with pytest.raises(ConfigError, match=r"No such file or directory \(.*pictures-gone/1\.png\)"):
        write_export(broken, folder, "files")
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_stands_at_a_path_is_written_to(hung):
    done = command("export", hung.run, "-o", "/dev/stdout", "--format", "coco")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('{"images":[')
