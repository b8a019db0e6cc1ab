"""The short ways to a file that is as its source saw it: whatever is not so is left to others."""

import os
from pathlib import Path

import pytest

from batchinfer.domain import InputFile, RemoteFile
from batchinfer.inputs import MAX_CACHED_READ_BYTES, CachedFileReader, open_input, read_unchanged
from batchinfer.inputs.unchanged_files import MAX_SKIPPED_READS

OTHER_TIME = 1_600_000_000 * 10**9


def seen(path: Path) -> InputFile:
    now = path.stat()
    return InputFile("files", str(path), now.st_size, now.st_mtime_ns)


def read_cached(file: InputFile) -> bytes | None:
    return new_reader(file).read(file)


def new_reader(*files: InputFile) -> CachedFileReader:
    reader = CachedFileReader()
    for file in files:
        reader.learn_folder(file.path)
    return reader


def is_in_memory(handle: int) -> bool:
    try:
        return os.preadv(handle, [bytearray(1)], 0, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False


@pytest.fixture
def works(tmp_path: Path) -> None:
    """Skips where files cannot be read without waiting: another system, or file system."""
    (tmp_path / "probe").write_bytes(b"x")
    if read_cached(seen(tmp_path / "probe")) is None:
        pytest.skip("no file is read without waiting here")


@pytest.fixture(params=["unchanged", "cached"])
def read(request: pytest.FixtureRequest):
    if request.param == "unchanged":
        return read_unchanged
    request.getfixturevalue("works")
    return read_cached


@pytest.mark.parametrize("size", [1, 4_095, 4_096, 4_097, MAX_CACHED_READ_BYTES])
def test_it_reads_all_bytes(tmp_path: Path, read, size: int):
    path = tmp_path / "a\udcff b.jpg"
    path.write_bytes(data := os.urandom(size))
    assert read(seen(path)) == data


def test_what_is_not_as_the_source_saw_it_is_left_to_the_careful_reading(tmp_path: Path, read):
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
    assert [read(other) for other in others] == [None] * len(others)
    path.write_bytes(b"another text")
    os.utime(path, ns=(OTHER_TIME, OTHER_TIME))
    assert read(file) is None
    assert read(seen(path)) == b"another text"


def test_an_empty_file_is_left_to_the_careful_reading(tmp_path: Path, read):
    (tmp_path / "a").touch()
    assert read(seen(tmp_path / "a")) is None


def test_nothing_is_taken_out_of_a_pipe(tmp_path: Path, read):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    both_ends = os.open(pipe, os.O_RDWR)
    os.write(both_ends, b"content")
    assert read(InputFile("files", str(pipe), 7, pipe.stat().st_mtime_ns)) is None
    assert os.read(both_ends, 7) == b"content"
    os.close(both_ends)


@pytest.mark.skipif(not hasattr(os, "O_NOATIME"), reason="the time is always noted here")
def test_the_time_of_the_access_is_not_noted(tmp_path: Path, read):
    path = tmp_path / "a"
    path.write_bytes(b"x")
    os.utime(path, ns=(OTHER_TIME, OTHER_TIME + 1))  # noted at the next access, but for this
    assert read(seen(path)) == b"x"
    opened = open_input(str(path))
    assert opened.read(1) == b"x"
    opened.close()
    assert path.stat().st_atime_ns == OTHER_TIME


@pytest.mark.usefixtures("works")
def test_a_large_file_is_not_read_on_the_event_loop(tmp_path: Path):
    (tmp_path / "a").write_bytes(bytes(MAX_CACHED_READ_BYTES + 1))
    file = seen(tmp_path / "a")
    assert read_cached(file) is None
    assert read_unchanged(file) is not None


@pytest.mark.usefixtures("works")
def test_only_files_of_a_known_folder_are_read(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"x")
    file = seen(tmp_path / "a")
    reader = CachedFileReader()
    assert reader.read(file) is None
    reader.learn_folder(file.path)
    assert reader.read(file) == b"x"


@pytest.mark.usefixtures("works")
def test_no_link_is_followed_it_may_lead_to_a_server_that_is_away(tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("there/a")
    (tmp_path / "folder").symlink_to("there")
    linked = [seen(tmp_path / "link"), seen(tmp_path / "folder/a")]
    assert [read_cached(file) for file in linked] == [None, None]
    assert [read_unchanged(file) for file in linked] == [b"x", b"x"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no such file system here")
def test_a_folder_on_another_kind_of_file_system_is_left_to_the_threads():
    path = Path(f"/dev/shm/batchinfer-{os.getpid()}")
    path.write_bytes(b"x")
    try:
        assert read_cached(seen(path)) is None
    finally:
        path.unlink()


@pytest.mark.usefixtures("works")
def test_a_file_that_is_not_in_memory_is_not_waited_for(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100_000)
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
        for _ in range(10_000):  # a page that was just written stays for a moment
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if not is_in_memory(opened.fileno()):
                break
        else:
            pytest.skip("the system keeps it in memory")
    reader = new_reader(file := seen(path))
    assert reader.read(file) is None
    assert read_unchanged(file) == b"x" * 100_000  # and now it is in memory
    assert reader.read(file) is None  # left to the threads once more
    assert reader.read(file) == b"x" * 100_000


@pytest.mark.usefixtures("works")
def test_after_reads_in_vain_more_and_more_are_left_to_the_threads(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"x")
    good = seen(tmp_path / "a")
    gone = InputFile("files", f"{tmp_path}/gone", 1, 1)
    reader = new_reader(good)

    def skipped_reads() -> int:
        reader.read(gone)
        count = 0
        while reader.read(good) is None:
            count += 1
        return count

    assert [skipped_reads() for _ in range(2)] == [1, 1]  # one that is quick ends it
    for _ in range(2 * MAX_SKIPPED_READS):
        reader.read(gone)
    assert 1 < skipped_reads() <= MAX_SKIPPED_READS
    assert skipped_reads() == 1


def test_a_file_of_another_user_is_read_as_well():
    """But for root, whose it is: then the time of the access cannot be left as it was."""
    path = Path(os.__file__)
    assert read_unchanged(seen(path)) == path.read_bytes()
