from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from batchinfer.backends.input_reader import read_files
from batchinfer.backends.loaded_payload import LoadedPayload
from batchinfer.backends.payload_encoding import ENCODE_CHUNK_BYTES
from batchinfer.backends.payload_loader import (
    MAX_READER_THREADS,
    STREAMED_ENCODING_MIN_BYTES,
    PayloadLoader,
)
from batchinfer.domain import Failure, FailureKind, InputFile, Item, Mode, SentFile
from batchinfer.flow.memory_budget import MemoryBudget
from batchinfer.protocols.ai4os.payload import FileContent, build_payload, detect_file_format
from support.protocols import AI4OS

SHRINKING = Path("/sys/kernel/uevent_seqnum")
"""Says that it has 4,096 bytes, and has a few."""


def seen(path: Path, param: str = "files") -> InputFile:
    """The file as a source would have recorded it."""
    now = path.stat()
    return InputFile(param, str(path), now.st_size, now.st_mtime_ns)


def failure_of(file: InputFile, limit: int = 1000) -> Failure:
    failure = read_files([file], limit)
    assert isinstance(failure, Failure)
    assert failure.message.isprintable()
    return failure


async def load(item: Item, mode: Mode = Mode.SYNC, **params: object) -> bytes | Failure:
    return await PayloadLoader(AI4OS, params, mode).load(item)


async def test_an_item_becomes_a_payload_with_its_own_parameters_winning(tmp_path: Path):
    picture, mask = tmp_path / "a.b.JPG", tmp_path / "mask"
    picture.write_bytes(b"\xff\xd8picture")
    mask.write_bytes(b"\x89PNG\r\n\x1a\nmask")
    item = Item("a", (seen(picture), seen(mask, "mask")), {"size": 2})
    body = await load(item, size=1, name="x")
    assert isinstance(body, bytes)
    payload = json.loads(body)
    first, second = payload.pop("oscar-files")
    assert payload == {"size": 2, "name": "x"}
    assert (first["key"], first["file_format"]) == ("files", "jpg")
    assert base64.b64decode(first["data"]) == b"\xff\xd8picture"
    assert (second["key"], second["file_format"]) == ("mask", "png")


async def test_an_item_without_files_is_its_parameters():
    body = await load(Item("a", (), {"text": "hello"}))
    assert isinstance(body, bytes)
    assert json.loads(body) == {"text": "hello"}


async def test_parameters_are_checked_with_the_files_of_each_item(tmp_path: Path):
    file = tmp_path / "a.jpg"
    file.write_bytes(b"x")
    loader = PayloadLoader(AI4OS, {"files": "x"}, Mode.SYNC)
    refused = await loader.load(Item("a", (seen(file),)))
    assert isinstance(refused, Failure)
    assert refused.code == "bad_param"
    assert isinstance(await loader.load(Item("b", (seen(file, "image"),))), bytes)


async def test_the_mode_decides_what_can_be_sent():
    item = Item("a", (), {"event": "x"})
    assert isinstance(await load(item, Mode.SYNC), Failure)
    assert isinstance(await load(item, Mode.ASYNC), bytes)


def test_a_file_is_read_whole(tmp_path: Path):
    file = tmp_path / "a"
    file.write_bytes(os.urandom(300_000))
    contents = read_files([seen(file)])
    assert not isinstance(contents, Failure)
    assert contents[0][1] == file.read_bytes()


@pytest.mark.parametrize("path", ["nowhere/a.jpg", "file/below", "nul\0name"])
def test_a_file_that_is_not_there(tmp_path: Path, path: str):
    (tmp_path / "file").write_bytes(b"x")
    failure = failure_of(InputFile("files", f"{tmp_path}/{path}"))
    assert (failure.code, failure.kind) == ("file_missing", FailureKind.PERMANENT)
    assert "then retry it" in failure.message


def test_a_path_is_shown_on_one_line_whatever_its_bytes(tmp_path: Path):
    failure = failure_of(InputFile("files", os.fsdecode(b"/nowhere/a\nb\xff.jpg")))
    assert "/nowhere/a\\nb\\xff.jpg" in failure.message


@pytest.mark.parametrize("made", ["directory", "pipe", "loop"])
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, made: str):
    path = tmp_path / "a"
    match made:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)  # reading it would wait for ever
        case _:
            path.symlink_to(path)
    failure = failure_of(InputFile("files", str(path)))
    assert (failure.code, failure.kind) == ("file_unreadable", FailureKind.PERMANENT)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path):
    file = tmp_path / "a"
    file.write_bytes(b"x")
    file.chmod(0)
    failure = failure_of(seen(file))
    assert failure.code == "file_unreadable"
    assert "Permission denied" in failure.message


def test_an_empty_file_is_not_sent(tmp_path: Path):
    file = tmp_path / "a"
    file.touch()
    assert failure_of(seen(file)).code == "file_empty"


def test_a_file_that_is_not_the_one_that_was_added(tmp_path: Path):
    file = tmp_path / "a"
    file.write_bytes(b"as it was")
    known = seen(file)
    file.write_bytes(b"as it is now")
    failure = failure_of(known)
    assert failure.code == "file_changed"
    assert "12 bytes now, and had 9" in failure.message
    assert "Retry it to send it as it is then" in failure.message

    os.utime(file, ns=(1, 2))
    same_size = InputFile("files", str(file), 12, 1)
    assert "written to after it was added" in failure_of(same_size).message


def test_what_was_not_recorded_is_not_compared(tmp_path: Path):
    file = tmp_path / "a"
    file.write_bytes(b"x")
    assert not isinstance(read_files([InputFile("files", str(file))]), Failure)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no such file system here")
def test_a_file_that_says_it_is_empty_is_believed():
    failure = failure_of(InputFile("files", "/proc/self/status"))
    assert failure.code == "file_empty"


@pytest.mark.skipif(not SHRINKING.exists(), reason="no such file system here")
def test_a_file_that_ends_before_its_length_changed_while_it_was_read():
    failure = failure_of(InputFile("files", str(SHRINKING)), limit=10_000)
    assert failure.code == "file_changed"
    assert "changed while it was read" in failure.message


def test_the_limit_is_for_all_files_of_an_item_together(tmp_path: Path):
    files = []
    for name in "abc":
        (tmp_path / name).write_bytes(b"x" * 400)
        files.append(seen(tmp_path / name, name))
    failure = read_files(files, 1000)
    assert isinstance(failure, Failure)
    assert failure.code == "file_too_large"
    assert str(tmp_path / "c") in failure.message
    assert "200 left" in failure.message
    assert not isinstance(read_files(files, 1200), Failure)


@pytest.mark.parametrize(
    "sizes",
    [
        (STREAMED_ENCODING_MIN_BYTES + 1,),
        (STREAMED_ENCODING_MIN_BYTES, 1),
        (ENCODE_CHUNK_BYTES * 6,),
        (ENCODE_CHUNK_BYTES * 6 + 1, 7),
        (1, 2, STREAMED_ENCODING_MIN_BYTES),
        (STREAMED_ENCODING_MIN_BYTES, STREAMED_ENCODING_MIN_BYTES),
    ],
)
@pytest.mark.parametrize("params", [{}, {"data": "", "text": '"data":""'}])
async def test_large_files_become_the_very_same_payload(
    tmp_path: Path, sizes: tuple[int, ...], params: dict[str, str]
):
    files = []
    for number, size in enumerate(sizes):
        path = tmp_path / f"{number}.{'xyz'[number]}"
        path.write_bytes(os.urandom(size))
        files.append(seen(path, f"file{number}"))
    read = read_files(files)
    assert not isinstance(read, Failure)
    contents = [FileContent(f.param, detect_file_format(f.path, data), data) for f, data in read]
    item = Item("a", tuple(files), params)
    assert await load(item) == build_payload(params, contents)
    assert await load(
        Item("a", tuple(replace(f, size=None) for f in files), params)
    ) == build_payload(params, contents)


async def test_what_is_wrong_with_a_large_file_is_told_as_of_a_small_one(tmp_path: Path):
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(bytes(STREAMED_ENCODING_MIN_BYTES + 1))
    small.write_bytes(b"x")
    files = (seen(large), seen(small, "mask"))
    small.unlink()
    gone = await load(Item("a", files))
    small.write_bytes(b"xy")
    changed = await load(Item("a", files))
    too_large = await PayloadLoader(
        AI4OS, {}, Mode.SYNC, max_bytes=STREAMED_ENCODING_MIN_BYTES
    ).load(Item("a", files[:1]))
    codes = [each.code for each in (gone, changed, too_large) if isinstance(each, Failure)]
    assert codes == ["file_missing", "file_changed", "file_too_large"]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("size", [3_000, 3_000_000])
async def test_a_payload_takes_as_much_room_as_it_is_long(
    tmp_path: Path, size: int, *, known: bool
):
    (tmp_path / "a.jpg").write_bytes(bytes(size))
    file = seen(tmp_path / "a.jpg")
    cargo = MemoryBudget(1)
    with cargo.new_reservation() as room:
        item = Item("a", (file if known else replace(file, size=None),))
        loaded = await PayloadLoader(AI4OS, {}, Mode.SYNC).load_within(room, item)
        assert not isinstance(loaded, Failure)
        assert size * 4 // 3 - 100 < cargo.used_bytes <= len(loaded.body)
    assert cargo.used_bytes == 0


async def test_a_payload_waits_for_room_before_its_files_are_read(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x" * 100)
    cargo, loaded = MemoryBudget(1), list[object]()

    async def load_one() -> None:
        with cargo.new_reservation() as room:
            item = Item("a", (InputFile("files", str(path), 100),))
            loaded.append(await PayloadLoader(AI4OS, {}, Mode.SYNC).load_within(room, item))

    with cargo.new_reservation() as taken:
        await taken.acquire(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(load_one)
            await anyio.wait_all_tasks_blocked()
            path.unlink()
            taken.release()
    assert isinstance(loaded[0], Failure)
    assert loaded[0].code == "file_missing"


async def test_without_files_no_room_is_needed():
    cargo = MemoryBudget(1)
    with cargo.new_reservation() as taken, cargo.new_reservation() as room:
        await taken.acquire(1)
        loaded = await PayloadLoader(AI4OS, {}, Mode.SYNC).load_within(
            room, Item("a", (), {"text": "hello"})
        )
    assert loaded == LoadedPayload((b'{"text":"hello"}',))


@pytest.mark.parametrize("size", [3_000, 3_000_000])
async def test_the_sha256_is_of_the_bytes_that_stand_in_the_body(tmp_path: Path, size: int):
    paths = {"files": tmp_path / "a.jpg", "mask": tmp_path / "b.png"}
    for number, path in enumerate(paths.values()):
        path.write_bytes(os.urandom(size + number))
    item = Item("a", tuple(replace(seen(path), param=param) for param, path in paths.items()))
    with MemoryBudget(1).new_reservation() as room:
        loaded = await PayloadLoader(AI4OS, {}, Mode.SYNC).load_within(room, item)
    assert not isinstance(loaded, Failure)
    sent = json.loads(bytes(loaded.body))["oscar-files"]
    data = {each["key"]: base64.b64decode(each["data"]) for each in sent}
    assert data == {param: path.read_bytes() for param, path in paths.items()}
    assert loaded.inputs == tuple(
        SentFile(param, len(data[param]), hashlib.sha256(data[param]).hexdigest())
        for param in paths
    )


async def test_a_disk_that_does_not_answer_is_not_waited_for_for_ever(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    loader, stuck = PayloadLoader(AI4OS, {}, Mode.SYNC, read_timeout=0.05), threading.Event()
    async with anyio.create_task_group() as group:
        for _ in range(MAX_READER_THREADS):  # every thread hangs, as on a dead file server
            group.start_soon(loader._thread_pool.run, stuck.wait)
        await anyio.wait_all_tasks_blocked()
        failure = await loader.load(Item("a", (InputFile("files", str(path)),)))
        stuck.set()
    assert (failure.code, failure.kind, failure.sent) == (
        "file_unreadable",
        FailureKind.TRANSIENT,
        False,
    )
