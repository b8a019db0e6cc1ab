"""What a process can be told, and the socket for it: whoever says nonsense hurts nobody."""

import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.api.control import (
    Controller,
    get_worker_status,
    parse_command,
    send_command,
    serve_control,
)
from batchinfer.api.control.commands import (
    COMMAND_NAMES,
    SetConcurrency,
    SetRate,
    SimpleCommand,
    decode_command,
    encode_command,
)
from batchinfer.api.control.control_client import SOCKET_NAME, short_socket_path
from batchinfer.api.control.control_socket import CLIENT_TIMEOUT, MAX_COMMAND_BYTES, _receive_line
from batchinfer.config import Concurrency
from batchinfer.domain import Item, Mode, RunInfo
from batchinfer.engine import Engine
from batchinfer.errors import ConfigError, StoreError
from batchinfer.flow import FixedLimit, Gate
from batchinfer.ports import Event, Notice
from batchinfer.store.lock import RunLock
from batchinfer.store.sqlite import SqliteStore
from batchinfer.testing import MemoryStore

DESCRIPTORS = Path("/proc/self/fd").is_dir()

concurrencies = st.one_of(
    st.just(Concurrency()),
    st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)).map(
        lambda pair: Concurrency(pair[0], sum(pair))
    ),
)
instructions = st.one_of(
    st.sampled_from(SimpleCommand),
    st.builds(SetConcurrency, concurrencies),
    st.builds(SetRate, st.one_of(st.none(), st.floats(1e-6, 1e6))),
)


# --- instructions


@given(instructions)
def test_an_instruction_survives_its_line(instruction):
    line = encode_command(instruction)

    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert len(line) < MAX_COMMAND_BYTES
    assert decode_command(line) == instruction


@pytest.mark.parametrize(
    ("words", "instruction"),
    [
        (("pause",), SimpleCommand.PAUSE),
        (("concurrency", "4"), SetConcurrency(Concurrency(4, 4))),
        (("concurrency", 4), SetConcurrency(Concurrency(4, 4))),
        (("concurrency", "4-64"), SetConcurrency(Concurrency(4, 64))),
        (("concurrency", "auto"), SetConcurrency(Concurrency())),
        (("rate", "300/m"), SetRate(5.0)),
        (("rate", 0.5), SetRate(0.5)),
        (("rate", "none"), SetRate(None)),
    ],
)
def test_words_are_read(words, instruction):
    assert parse_command(*words) == instruction


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("paus",), "'paus' is none of pause, resume"),
        ((None,), "None is none of"),
        ((["pause"],), "is none of"),
        (("pause", "4"), "pause takes no value"),
        (("concurrency",), '"4-64"'),
        (("concurrency", "64-4"), '"4-64"'),
        (("concurrency", 0), '"4-64"'),
        (("concurrency", True), '"4-64"'),
        (("concurrency", 10**400), '"4-64"'),
        (("concurrency", [4]), '"4-64"'),
        (("rate", "0/s"), "or none"),
        (("rate", "nan"), "or none"),
        (("rate", {"per": "s"}), "or none"),
    ],
)
def test_what_is_no_instruction_is_refused_with_what_would_be(words, says):
    with pytest.raises(ConfigError, match=says):
        parse_command(*words)


@given(st.one_of(st.binary(), st.text().map(str.encode)))
def test_no_line_breaks_the_reader(line):
    with suppress(ConfigError):
        assert isinstance(decode_command(line), SimpleCommand | SetConcurrency | SetRate)


def test_every_first_word_makes_an_instruction():
    values = {"concurrency": "4", "rate": "1/s"}

    assert {type(parse_command(word, values.get(word))) for word in COMMAND_NAMES} == {
        SimpleCommand,
        SetConcurrency,
        SetRate,
    }


# --- one connection


class Says:
    """The end of a connection that says these things, and then nothing more."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = list(parts)

    async def receive(self, most: int) -> bytes:
        if not self._parts:
            await anyio.sleep_forever()
        if self._parts[0] == b"":
            raise anyio.EndOfStream
        part = self._parts[0][:most]
        self._parts[0] = self._parts[0][most:]
        if not self._parts[0]:
            self._parts.pop(0)
        return part


@pytest.mark.event_loops("virtual")
async def test_a_line_is_read_however_it_comes(virtual):
    assert (
        await _receive_line(Says(b'{"do"', b': "pause"}\n{"do": "stop"}\n')) == b'{"do": "pause"}'
    )
    assert await _receive_line(Says(b'{"do": "pause"}', b"")) == b'{"do": "pause"}'
    assert anyio.current_time() == virtual


@pytest.mark.event_loops("virtual")
async def test_who_says_nothing_or_no_end_is_left_after_a_while(virtual):
    for says in (Says(), Says(b'{"do": "stop"}')):
        began = anyio.current_time()
        assert await _receive_line(says) == b""
        assert anyio.current_time() - began == pytest.approx(CLIENT_TIMEOUT)


@pytest.mark.event_loops("virtual")
async def test_who_says_too_much_is_not_listened_to(virtual):
    assert await _receive_line(Says(b"x" * 10**6)) == b""
    assert anyio.current_time() == virtual


@pytest.fixture
def virtual() -> float:
    """The time at which a test on the virtual clock begins."""
    return 0.0


# --- the socket


class Notebook:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
async def run(tmp_path) -> Path:
    return await made(tmp_path / "run")


async def made(path: Path) -> Path:
    info = RunInfo("abc", 0.0, Mode.SYNC, {}, ())
    async with SqliteStore.create(path, info):
        return path


class Nobody:
    async def attempt(self, item, number):
        raise AssertionError("nothing is sent")


async def never(size: int) -> list[Item]:
    """Reads a source in which nothing ever turns up."""
    await anyio.sleep_forever()
    return []


@asynccontextmanager
async def at_it(run: Path, notebook: Notebook) -> AsyncIterator[None]:
    """An engine that is at work on the run, and can be steered."""
    gate, store = Gate(FixedLimit(3)), MemoryStore()
    working = Engine(
        queue=store,
        sink=store,
        gate=gate,
        observer=notebook,
        backend=Nobody(),
        read_page=never,
    )
    async with (
        serve_control(run, working, Controller(notebook), Mode.SYNC),
        anyio.create_task_group() as group,
    ):
        group.start_soon(working.run)
        yield
        working.stop()


async def there(ask_it: Callable[..., object], *args: object) -> object:
    """What another process sees: its calls must not wait in our event loop."""
    return await run_sync(ask_it, *args)


def talk(run: Path, *parts: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        with short_socket_path(run) as address:
            connection.connect(address)
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def open_sockets(run: Path, count: int) -> list[socket.socket]:
    """Connections that say nothing."""
    opened = []
    for _ in range(count):
        opened.append(connection := socket.socket(socket.AF_UNIX))
        with short_socket_path(run) as address:
            connection.connect(address)
    return opened


async def test_the_socket_is_private_answers_and_is_gone_at_the_end(run):
    notebook = Notebook()
    with RunLock(run):
        async with at_it(run, notebook):
            mode = (run / SOCKET_NAME).stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
            answer = await there(send_command, run, SimpleCommand.PAUSE)
            status = await there(get_worker_status, run)
        assert not (run / SOCKET_NAME).exists()
        assert await there(get_worker_status, run) == {}

    assert answer["said"] == "paused; no call is running"
    assert (status["paused"], status["pid"], status["limit"]) == (True, os.getpid(), 3)
    assert [event.code for event in notebook.events if isinstance(event, Notice)] == ["told"]
    assert await there(get_worker_status, run) is None


async def test_a_stale_socket_is_of_nobody_and_is_replaced(run):
    with socket.socket(socket.AF_UNIX) as left_behind, short_socket_path(run) as address:
        left_behind.bind(address)
    with pytest.raises(StoreError, match="is not running"):
        await there(send_command, run, SimpleCommand.STATUS)

    notebook = Notebook()
    async with at_it(run, notebook):
        assert (await there(send_command, run, SimpleCommand.STATUS))["ok"] is True
    assert notebook.events == []


async def test_nonsense_is_refused_and_hurts_nobody(run):
    notebook = Notebook()
    async with at_it(run, notebook):
        for said in (
            (b"hello\n",),
            (b"GET / HTTP/1.1\r\n\r\n",),
            (b"\0\xff\n",),
            (b"[" * 3000 + b"\n",),
            (b"null\n",),
            (b'{"do": "fly"}\n',),
            (b"",),
        ):
            answer = json.loads(await there(talk, run, *said))
            assert answer["ok"] is False
            assert answer["code"] == "refused"
        assert (await there(send_command, run, SimpleCommand.STATUS))["ok"] is True
    assert notebook.events == []


async def test_the_silent_keep_nobody_from_being_answered_nor_the_run_from_its_end(run):
    notebook = Notebook()
    async with at_it(run, notebook):
        silent = await there(open_sockets, run, 40)
        answers = []

        async def one() -> None:
            answers.append(await there(send_command, run, SimpleCommand.STATUS))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one)
        assert [answer["ok"] for answer in answers] == [True] * 20
    for each in silent:
        each.close()


async def test_a_long_path_does_not_matter_where_the_system_has_descriptors(tmp_path):
    run = await made(tmp_path / ("long" * 30) / ("longer" * 30))
    notebook = Notebook()
    async with at_it(run, notebook):
        if DESCRIPTORS:
            assert notebook.events == []
            assert (await there(send_command, run, SimpleCommand.STATUS))["ok"] is True
        else:
            assert [event.code for event in notebook.events] == ["no_control"]


async def test_where_no_socket_can_be_made_a_notice_says_so_and_the_run_goes_on(run):
    (run / SOCKET_NAME).mkdir()
    notebook = Notebook()
    async with at_it(run, notebook):
        (notice,) = notebook.events
    assert notice.code == "no_control"
    assert "batchinfer ctl" in notice.message
    assert (run / SOCKET_NAME).is_dir()


async def test_what_ends_the_job_passes_as_it_is(run):
    notebook = Notebook()
    store = MemoryStore()
    working = Engine(queue=store, sink=store, gate=Gate(FixedLimit(1)), observer=notebook)

    async def goes_wrong() -> None:
        async with serve_control(run, working, Controller(notebook), Mode.SYNC):
            await working.run()
            raise StoreError("the disk is gone")

    with pytest.raises(StoreError, match="the disk is gone"):
        await goes_wrong()
    assert not (run / SOCKET_NAME).exists()


async def test_a_process_without_a_socket_is_told_apart_from_nobody(run):
    with pytest.raises(StoreError, match=f"{run} is not running.*batchinfer resume"):
        await there(send_command, run, SimpleCommand.STATUS)
    with RunLock(run), pytest.raises(StoreError, match="its process does not answer"):
        await there(send_command, run, SimpleCommand.STATUS)
    with pytest.raises(StoreError, match="holds no run"):
        await there(send_command, run / "elsewhere", SimpleCommand.STATUS)
