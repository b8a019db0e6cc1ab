"""Sync mode over real sockets: how long each stage of a call may take, how fast it sends, and how
much of what it sends is in memory.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from batchinfer.backends.http_backend import HttpBackend
from batchinfer.domain import Failure, FailureKind, InputFile, Item, Outcome, Reply
from batchinfer.flow.rate_limiters import BandwidthLimiter
from support.http_calls import backend_at
from support.servers import Answer, Request, stub

pytestmark = pytest.mark.usefixtures("carrier")

OK = b"""[*] Using DEEPaaS version 2.5.2
2026-11-23 07:35:30.498 6943 INFO deepaas.cmd.cli [-] return: {'label': 'cat'}
"""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(OK), OK)
LARGE = 20_000_000
"""Bytes that no socket's buffers hold."""
FEW = 1 << 16
"""Bytes that are all that a receiving socket holds."""

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def item_of(tmp_path: Path) -> Callable[[int], Item]:
    def make(size: int) -> Item:
        path = tmp_path / f"{size}.bin"
        if not path.exists():
            path.write_bytes(b"x" * size)
        return Item("a", (InputFile("files", str(path), size),))

    return make


@asynccontextmanager
async def server(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A port whose sockets hold little; where nobody reads, nothing more is accepted."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FEW)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    serving = await asyncio.start_server(serve, sock=listener, ssl=tls)
    try:
        yield listener.getsockname()[1]
    finally:
        serving.close()  # not waited for: some that it talks to never end


async def head_of(reader: asyncio.StreamReader) -> int:
    """Read a request's head; how long its body is."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    return int(head.partition("content-length: ")[2].split("\r\n")[0])


async def failure_at(port: int, item: Item, scheme: str = "http", **changed: Any) -> Failure:
    async with backend_at(port, scheme, **changed) as backend:
        with anyio.fail_after(20):
            failure = await backend.attempt(item, 1)
    assert isinstance(failure, Failure)
    return failure


# Deadlines --------------------------------------------------------------------------------------


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, and do not read: what the reader's buffer holds is all that is taken."""
    await anyio.sleep_forever()


async def test_an_upload_that_stalls_is_given_up(item_of):
    async with server(never) as port:
        failure = await failure_at(port, item_of(LARGE), send_timeout=0.3)
    assert (failure.code, failure.kind) == ("send_stalled", FailureKind.TRANSIENT)
    assert f"127.0.0.1:{port} accepted nothing more of what was sent for 0.3 s" in failure.message
    assert "send_timeout" in failure.message


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_its_connection_does_not_wait_until_somebody_takes_what_is_left(item_of):
    async with server(never) as port, backend_at(port, send_timeout=0.3) as backend:
        before = open_files()
        await backend.attempt(item_of(LARGE), 1)
        await anyio.wait_all_tasks_blocked()
        assert open_files() == before + 1  # the server's end of it


async def test_so_is_one_over_tls(item_of):
    ca, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(tls)
    async with server(never, tls) as port:
        failure = await failure_at(port, item_of(LARGE), "https", send_timeout=0.3, verify=False)
    assert failure.code == "send_stalled"


@pytest.mark.skipif(sys.platform != "linux", reason="no other kernel tells")
async def test_an_upload_that_only_crawls_is_not(item_of):
    """What counts is that something moves, be it in the kernel: and for longer than that."""

    async def crawl(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = await head_of(reader)
        for _ in range(40):
            await anyio.sleep(0.1)
            left -= len(await reader.read(FEW // 4))
        await reader.readexactly(left)
        writer.write(ANSWER)

    async with server(crawl) as port, backend_at(port, send_timeout=1.5) as backend:
        assert isinstance(await backend.attempt(item_of(LARGE), 1), Reply)


async def test_an_early_answer_to_what_nobody_reads_is_heard_and_not_waited_on_for_ever(item_of):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await anyio.sleep_forever()

    async with server(refuse) as port:
        failure = await failure_at(port, item_of(LARGE), send_timeout=0.3)
    assert failure.code == "payload_too_large"


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_a_first_byte_that_does_not_come(item_of, size: int):
    async with stub(Answer(never=True)) as silent:
        failure = await failure_at(silent.port, item_of(size), first_byte_timeout=1.5)
        assert len(silent.requests[0].body) > size
    assert (failure.code, failure.kind) == ("timeout", FailureKind.TRANSIENT)
    assert "within 1.5 s after all was sent (first_byte_timeout)" in failure.message
    assert "may still be running on the service and hold its container" in failure.message


async def test_the_total_ends_an_answer_that_stops_after_its_head(item_of):
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(await head_of(reader))
        writer.write(ANSWER[:60])
        await anyio.sleep_forever()

    async with server(half) as port:
        failure = await failure_at(port, item_of(10), first_byte_timeout=1.5, timeout=2.5)
    assert failure.code == "timeout"
    assert failure.message.startswith("no answer within 2.5 s;")


async def test_the_total_ends_an_upload_that_moves(item_of):
    async def crawl(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):  # noqa: ASYNC110 - slowly is the point
            await anyio.sleep(0.01)

    async with server(crawl) as port:
        failure = await failure_at(port, item_of(LARGE), send_timeout=10, timeout=0.5)
    assert failure.code == "timeout"
    assert failure.message.startswith("no answer within 0.5 s;")


async def test_a_call_on_a_connection_that_breaks_is_not_made_again():
    """It may have cost a prediction: whether it is tried again is not the client's to say."""

    def once(request: Request) -> Answer:
        return Answer(body=OK) if len(flaky.requests) == 1 else Answer(cut=0)

    item = Item("a", (), {"text": "hello"})
    async with stub(once) as flaky, backend_at(flaky.port) as backend:
        assert isinstance(await backend.attempt(item, 1), Reply)
        failure = await backend.attempt(item, 1)
    assert isinstance(failure, Failure)
    assert failure.code == "connection_lost"
    assert (len(flaky.requests), flaky.connections) == (2, 1)


# How fast ---------------------------------------------------------------------------------------


class Weighed:
    """A server that notes when how many bytes of bodies have come."""

    def __init__(self) -> None:
        self.came: list[tuple[float, int]] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            left = await head_of(reader)
            while left:
                data = await reader.read(left)
                if not data:
                    return
                self.came.append((anyio.current_time(), len(data)))
                left -= len(data)
            writer.write(ANSWER)

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.came)

    @property
    def seconds(self) -> float:
        return self.came[-1][0] - self.came[0][0]


@pytest.mark.parametrize(("calls", "size"), [(1, 300_000), (6, 50_000), (40, 7_500)])
async def test_all_calls_together_send_no_faster_than_allowed(item_of, calls: int, size: int):
    """Only never more is asserted: a slow machine may take as long as it likes."""
    weighed, got = Weighed(), list[Outcome]()

    async def call(backend: HttpBackend) -> None:
        got.append(await backend.attempt(item_of(size), 1))

    async with (
        server(weighed.talk) as port,
        backend_at(port, bandwidth=BandwidthLimiter(400_000)) as backend,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(calls):
            tasks.start_soon(call, backend)
    assert [type(outcome) for outcome in got] == [Reply] * calls
    assert weighed.bytes > 400_000
    # The first piece and what a coarse timer may catch up are free.
    assert weighed.seconds > 0.9 * (weighed.bytes - 40_000 - 20_000) / 400_000


async def test_what_we_hold_back_ourselves_counts_for_no_deadline(item_of):
    weighed, got = Weighed(), list[Outcome]()

    async def call(backend: HttpBackend) -> None:
        got.append(await backend.attempt(item_of(40_000), 1))

    async with (
        server(weighed.talk) as port,
        backend_at(
            port, bandwidth=BandwidthLimiter(100_000), timeout=2.0, send_timeout=1.0
        ) as backend,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(8):  # so that each has a turn every 1.6 s
            tasks.start_soon(call, backend)
    assert [type(outcome) for outcome in got] == [Reply] * 8
    assert weighed.seconds > 3.0


# How much ---------------------------------------------------------------------------------------


async def test_files_wait_for_room_before_they_are_read(item_of):
    """The first is not read by the server until a second one comes; none does."""
    alone, came, second = list[bool](), 0, asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        if came == 1:
            with anyio.move_on_after(0.5):
                await second.wait()
            alone.append(came == 1)
        second.set()
        await reader.readexactly(await head_of(reader))
        writer.write(ANSWER)

    got: list[Outcome] = []

    async def call(backend: HttpBackend) -> None:
        got.append(await backend.attempt(item_of(LARGE), 1))

    async with (
        server(talk) as port,
        backend_at(port, memory=LARGE) as backend,  # each is larger, and goes alone
        anyio.create_task_group() as tasks,
    ):
        for _ in range(3):
            tasks.start_soon(call, backend)
    assert alone == [True]
    assert [type(outcome) for outcome in got] == [Reply] * 3


async def test_what_was_sent_takes_no_room_any_more(item_of):
    """A prediction may take minutes: others are sent meanwhile. Nobody is answered before all."""
    everybody, came = asyncio.Event(), 0
    got: list[Outcome] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        await reader.readexactly(await head_of(reader))
        came += 1
        if came == 3:
            everybody.set()
        await everybody.wait()
        writer.write(ANSWER)

    async def call(backend: HttpBackend) -> None:
        got.append(await backend.attempt(item_of(3_000_000), 1))

    async with server(talk) as port, backend_at(port, memory=1_000_000) as backend:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(call, backend)
    assert [type(outcome) for outcome in got] == [Reply] * 3


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_a_call_that_fails_gives_its_room_back(item_of, size: int):
    async with stub(Answer(cut=0)) as broken, backend_at(broken.port, memory=1_000) as backend:
        with anyio.fail_after(20):
            for _ in range(3):
                assert isinstance(await backend.attempt(item_of(size), 1), Failure)
    assert len(broken.requests) == 3
