"""The HTTP client over real sockets: verbs, large bodies both ways, deadlines, connections.

How each failure and framing is classified: see tests/integration/backends/test_http_*.py.
"""

from __future__ import annotations

import asyncio
import gzip
import math
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import pytest
import trustme
from yarl import URL

from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.transport.call_timeouts import CallTimeouts
from batchinfer.transport.http_client import HttpClient
from batchinfer.transport.http_response import HttpResponse
from batchinfer.transport.transport_errors import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientPayloadError,
    ContentEncodingError,
    ReadTimeout,
    SendStalled,
    ServerDisconnectedError,
)
from support.servers import Answer, Request, stub

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def talking(talk: Talk, **more: Any) -> AsyncIterator[int]:
    """A port where `talk` serves each connection."""
    gone = (asyncio.IncompleteReadError, ConnectionError)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except gone:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **more)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def client_of(port: int, host: str = "127.0.0.1", **more: Any) -> AsyncIterator[HttpClient]:
    timeouts = CallTimeouts(**({"total": 20.0} | more.pop("timeouts", {})))
    scheme = "https" if more.get("ssl_context") else "http"
    known = {"ssl_context": None, "timeouts": timeouts} | more
    client = HttpClient(URL(f"{scheme}://{host}:{port}"), **known)
    try:
        yield client
    finally:
        client.close()


async def call(client: HttpClient, method: str = "POST", *parts: bytes) -> HttpResponse:
    head = client.make_head(method, "/a?b=c", [("X-Name", "value")])
    return await client.request(head, parts or None)


async def body_of(response: HttpResponse) -> bytes:
    pieces = []
    while piece := await response.read_some():
        pieces.append(piece)
    return b"".join(pieces)


@contextmanager
def within(seconds: float):
    with anyio.fail_after(seconds):
        yield


# Verbs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "POST"])
@pytest.mark.parametrize("parts", [(), (b"",), (b"a",), (b"a", b"", b"bc")])
async def test_a_request_is_what_was_asked_for(method: str, parts: tuple[bytes, ...]):
    answer = Answer(body=b"text", headers={"X-Odd": "1"})
    async with stub(answer) as server, client_of(server.port) as client:
        for _ in range(3):
            response = await call(client, method, *parts)
            assert (response.status, response.headers["x-ODD"]) == (200, "1")
            assert response.body == (b"" if method == "HEAD" else b"text")
            assert response.content_length == 4
    assert server.connections == 1
    request = server.requests[2]
    assert (request.method, request.target, request.body) == (method, "/a?b=c", b"".join(parts))
    assert request.headers["x-name"] == "value"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    length = str(sum(map(len, parts))) if parts else None
    assert request.headers.get("content-length") == length


async def test_a_head_may_have_no_body_but_what_follows_it_is_not_kept():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 4\r\n\r\ntext")
        await reader.read()

    async with talking(talk) as port, client_of(port) as client:
        assert (await call(client, "HEAD")).body == b""
        with within(10):
            assert (await call(client, "HEAD")).body == b""


@pytest.mark.parametrize("name", ["X-Bad", "X: y\r\nZ"])
async def test_a_line_break_in_a_header_is_refused(name: str):
    async with client_of(1) as client:
        with pytest.raises(ValueError, match="line break"):
            client.make_head("GET", "/", [(name, "a\r\nHost: evil")])


async def test_how_a_body_is_framed_is_not_for_headers_to_say():
    async with stub(Answer(body=b"text")) as server, client_of(server.port) as client:
        odd = [("content-length", "99"), ("Transfer-Encoding", "chunked"), ("HOST", "other")]
        await client.request(client.make_head("POST", "/", odd), [b"body"])
    (request,) = server.requests
    assert request.body == b"body"
    assert request.headers["host"] == "other"
    assert "transfer-encoding" not in request.headers


# Large bodies ------------------------------------------------------------------------------------


PARTS = [(b"x" * 70_000,), (b"a", b"y" * 300_000, b"b"), (b"a", b"z" * 3_000_000, b"b" * 90_000)]


@pytest.fixture(scope="module")
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    ca, server, client = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), None
    ca.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    return server, client


@pytest.mark.parametrize("parts", PARTS, ids=["one", "three", "large"])
@pytest.mark.parametrize("bandwidth", [None, 50_000_000.0])
@pytest.mark.parametrize("secure", [False, True])
async def test_a_large_body_arrives_whole_and_is_told_to_be_sent(tls, parts, bandwidth, secure):
    sent = []

    def echo(request: Request) -> Answer:
        return Answer(body=request.body)

    limiter = BandwidthLimiter(bandwidth) if bandwidth else None
    server_tls, client_tls = tls if secure else (None, None)
    async with (
        stub(echo, server_tls) as server,
        client_of(server.port, bandwidth=limiter, ssl_context=client_tls) as client,
    ):
        for _ in range(2):
            head = client.make_head("PUT", "/", [])
            views = [memoryview(part) for part in parts]
            response = await client.request(head, views, on_sent=lambda: sent.append(1))
            assert await body_of(response) == b"".join(parts)
    assert sent == [1, 1]
    assert server.connections == 1


class Watched(bytearray):
    """Tells whether it is still held by anybody."""


@pytest.mark.parametrize("size", [1_000, 300_000, 3_000_000])
async def test_what_was_sent_is_held_by_nobody_while_its_answer_is_waited_for(size: int):
    """A prediction may take minutes, and others are sent meanwhile."""
    came, may_answer, sent = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(size)
        came.set()
        await may_answer.wait()
        writer.write(OK + b"Content-Length: 0\r\n\r\n")

    async with talking(talk) as port, client_of(port) as client:
        body = Watched(size)
        watch = weakref.ref(body)
        head = client.make_head("PUT", "/", [])
        calling = asyncio.create_task(client.request(head, [memoryview(body)], on_sent=sent.set))
        del body
        with within(10):
            await sent.wait()
            await came.wait()
        await asyncio.sleep(0)
        assert watch() is None
        may_answer.set()
        assert (await calling).body == b""


async def test_what_nobody_reads_is_not_taken_from_the_connection():
    """Only what the sockets' buffers hold leaves the server."""
    written = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 200000000\r\n\r\n")
        for _ in range(2_000):
            writer.write(bytes(100_000))
            written += 100_000
            await writer.drain()

    async with talking(talk) as port, client_of(port) as client:
        response = await call(client, "GET")
        assert response.body is None
        before = -1
        while written != before:  # as long as more is taken
            before = written
            await asyncio.sleep(0.2)
        assert written < 50_000_000
        assert len(await body_of(response)) == 200_000_000


async def test_a_packed_body_is_unpacked_while_it_is_read():
    text = b"some line\n" * 500_000
    packed = Answer(body=gzip.compress(text), headers={"Content-Encoding": "gzip"})
    async with stub(packed) as server, client_of(server.port) as client:
        for _ in range(2):
            response = await call(client, "GET")
            assert response.body is None
            assert await body_of(response) == text
    assert server.connections == 1


async def test_a_packed_body_that_is_cut_off_is_an_error():
    packed = gzip.compress(b"some line\n" * 100)[:-5]
    async with (
        stub(Answer(body=packed, headers={"Content-Encoding": "gzip"})) as server,
        client_of(server.port) as client,
    ):
        response = await call(client, "GET")
        with pytest.raises(ContentEncodingError):
            await body_of(response)


async def test_an_answer_that_is_not_read_to_its_end_costs_its_connection():
    async with stub(Answer(body=bytes(1_000_000))) as server, client_of(server.port) as client:
        for _ in range(2):
            response = await call(client, "GET")
            assert await response.read_some()
            response.close()
    assert server.connections == 2


async def test_a_large_answer_that_breaks_off_is_an_error():
    half = Answer(body=bytes(1_000_000), cut=900_000)
    async with stub(half) as server, client_of(server.port) as client:
        response = await call(client, "GET")
        with pytest.raises(ClientPayloadError):
            await body_of(response)
        response.close()


# Deadlines ---------------------------------------------------------------------------------------


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK + b"Content-Length: 1000000\r\n\r\n" + bytes(100_000))
    await reader.read()


@pytest.mark.parametrize(
    ("timeouts", "error"),
    [({"total": 0.4}, TimeoutError), ({"total": math.inf, "read": 0.4}, ReadTimeout)],
)
async def test_an_answer_that_stops_is_given_up(timeouts, error):
    async with talking(half) as port, client_of(port, timeouts=timeouts) as client:
        response = await call(client, "GET")
        with within(10), pytest.raises(error):
            await body_of(response)


async def test_time_that_we_take_ourselves_does_not_count():
    async with talking(half) as port, client_of(port, timeouts={"total": 0.5}) as client:
        response = await call(client, "GET")
        with response.pause_deadlines():
            await asyncio.sleep(1.0)
        assert await response.read_some()
        with pytest.raises(TimeoutError):
            await body_of(response)


async def test_an_answer_that_drips_is_read_as_long_as_it_does():
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 70000\r\n\r\n")
        for _ in range(14):
            writer.write(bytes(5_000))
            await asyncio.sleep(0.1)

    timeouts = {"total": math.inf, "first_byte": 1.0, "read": 1.0}
    async with talking(drip) as port, client_of(port, timeouts=timeouts) as client:
        assert len(await body_of(await call(client, "GET"))) == 70_000


@pytest.mark.parametrize("secure", [False, True])
async def test_a_body_that_nobody_takes_is_given_up(tls, secure):
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    server_tls, client_tls = tls if secure else (None, None)
    async with (
        talking(never, ssl=server_tls) as port,
        client_of(port, ssl_context=client_tls, timeouts={"send": 0.4}) as client,
    ):
        with within(10), pytest.raises(SendStalled):
            await call(client, "PUT", bytes(30_000_000))


@pytest.mark.parametrize("secure", [False, True])
async def test_an_early_refusal_is_heard_and_ends_the_sending(tls, secure):
    taken = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        while data := await reader.read(1 << 16):
            taken += len(data)

    server_tls, client_tls = tls if secure else (None, None)
    async with (
        talking(refuse, ssl=server_tls) as port,
        client_of(port, ssl_context=client_tls) as client,
    ):
        with within(10):
            response = await call(client, "PUT", bytes(100_000_000))
        assert (response.status, response.body) == (413, b"no")
    assert taken < 100_000_000


@pytest.mark.parametrize("size", [10, 30_000_000])
@pytest.mark.parametrize("text", [b"HTTP/1.1 503 Busy\r\n\r\nfull", b""], ids=["503", "nothing"])
async def test_a_server_may_say_no_before_it_is_asked(text: bytes, size: int):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.write_eof()
        while await reader.read(1 << 16):
            pass

    async with talking(refuse) as port, client_of(port) as client:
        with within(10):
            if text:
                response = await call(client, "PUT", bytes(size))
                assert (response.status, response.body) == (503, b"full")
            else:
                with pytest.raises(ServerDisconnectedError):
                    await call(client, "PUT", bytes(size))


async def test_an_early_success_is_read_while_the_rest_is_sent():
    """A service that answers as it reads: what it has yet to read is still sent."""

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 4\r\n\r\n")
        await reader.readexactly(20_000_000)
        writer.write(b"text")

    async with talking(stream) as port, client_of(port) as client:
        with within(20):
            assert (await call(client, "PUT", bytes(20_000_000))).body == b"text"


# Connections -------------------------------------------------------------------------------------


async def test_a_cancelled_reader_closes_its_connection():
    left = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 1000000\r\n\r\n" + bytes(100_000))
        await reader.read()
        left.set()

    async with talking(talk) as port, client_of(port) as client:
        response = await call(client, "GET")
        with anyio.move_on_after(0.1):
            await body_of(response)
        with within(10):
            await left.wait()


async def test_calls_under_way_fail_when_the_client_is_closed():
    called = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        called.set()
        await reader.read()

    async with talking(talk) as port, client_of(port) as client, asyncio.TaskGroup() as tasks:
        tasks.create_task(_raises(client, ServerDisconnectedError))
        await called.wait()
        client.close()


async def _raises(client: HttpClient, error: type[OSError]) -> None:
    with pytest.raises(error):
        await call(client, "GET")


async def test_a_name_is_resolved_and_all_its_addresses_are_tried():
    """`localhost` is both addresses on most machines; somebody listens on one of them only."""
    async with (
        stub(Answer(body=b"text")) as server,
        client_of(server.port, "localhost") as client,
    ):
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(call(client, "GET")) for _ in range(20)]
        assert {task.result().body for task in calls} == {b"text"}
        assert server.requests[0].headers["host"] == f"localhost:{server.port}"


async def test_a_name_that_does_not_exist_is_told_to_all_who_wait():
    async with client_of(80, "nowhere.invalid") as client, asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(_raises(client, ClientConnectorDNSError))


async def test_a_refusal_is_told_in_the_words_of_the_system(free_tcp_port: int):
    async with client_of(free_tcp_port) as client:
        with pytest.raises(ClientConnectorError) as caught:
            await call(client, "GET")
    assert isinstance(caught.value.os_error, ConnectionRefusedError)


async def test_one_call_after_the_other_shares_a_connection_and_many_have_one_each():
    async with stub(Answer(body=b"text")) as server, client_of(server.port) as client:
        for _ in range(5):
            await call(client, "POST", b"body")
        assert server.connections == 1
        async with asyncio.TaskGroup() as tasks:
            for _ in range(30):
                tasks.create_task(call(client, "POST", b"body"))
        assert server.connections <= 30
        assert len(server.requests) == 35


async def test_nothing_is_open_any_more_when_the_client_is_closed():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK + b"Content-Length: 0\r\n\r\n")

    sockets: list[socket.socket] = []
    async with talking(talk) as port:
        async with client_of(port) as client:
            await call(client, "GET")
            (connection,) = client._connections
            sockets.append(connection._transport.get_extra_info("socket"))
        await anyio.wait_all_tasks_blocked()
        assert client._connections == set()
        assert sockets[0].fileno() == -1
