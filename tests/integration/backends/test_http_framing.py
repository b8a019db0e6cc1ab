"""Answers in odd framings, over both carriers: what they come to, and that no bytes of one are ever
taken for another's.
"""

from __future__ import annotations

import asyncio

import anyio
import pytest

from batchinfer.domain import Failure, FailureKind
from batchinfer.errors import FatalError
from support.http_calls import ITEM, OK, backend_at
from support.scripted_server import (
    CHUNK,
    CHUNKED,
    HEAD,
    LENGTH,
    OTHER,
    WHOLE,
    Script,
    label_of,
    scripted,
)

pytestmark = pytest.mark.usefixtures("carrier")


@pytest.mark.parametrize(
    "text",
    [
        CHUNKED + b"\r\n" + CHUNK + b"0\r\n\r\n",
        CHUNKED + b"\r\n" + CHUNK.replace(b"\r\n", b";name=value\r\n", 1) + b"0\r\n\r\n",
        CHUNKED + b"Trailer: X-Sum\r\n\r\n" + CHUNK + b"0\r\nX-Sum: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE,
        b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 103 Early\r\nLink: z\r\n\r\n" + WHOLE,
        HEAD + b"X-Folded: a\r\n b\r\n" + LENGTH + b"\r\n" + OK,
        WHOLE.replace(b"\r\n", b"\n"),
    ],
    ids=["chunks", "extension", "trailer", "100", "102 and 103", "folded", "line feeds"],
)
async def test_an_odd_answer_is_read_and_its_connection_is_kept(text: bytes):
    async with scripted(text, OTHER) as server, backend_at(server.port) as backend:
        assert label_of(await backend.attempt(ITEM, 1)) == "cat"
        assert label_of(await backend.attempt(ITEM, 1)) == "dog"
    assert server.connections == 1


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_an_answer_may_come_in_drops(size: int):
    text = b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"\r\n" + CHUNK + b"0\r\n\r\n"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        for start in range(0, len(text), size):
            writer.write(text[start : start + size])
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    async with (
        await asyncio.start_server(talk, "127.0.0.1", 0) as server,
        backend_at(server.sockets[0].getsockname()[1]) as backend,
    ):
        assert label_of(await backend.attempt(ITEM, 1)) == "cat"


@pytest.mark.parametrize(
    "text",
    [
        b"hello\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        HEAD + b"no header\r\n" + LENGTH + b"\r\n" + OK,
        HEAD + LENGTH + LENGTH + b"\r\n" + OK,
        HEAD + LENGTH + b"Content-Length: 1\r\n\r\n" + OK,
        HEAD + b"Content-Length: %d, %d\r\n\r\n" % (len(OK), len(OK)) + OK,
        HEAD + b"Content-Length: -1\r\n\r\n" + OK,
        HEAD + b"Content-Length: +9\r\n\r\n" + OK,
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + OK,
        CHUNKED + LENGTH + b"\r\n" + CHUNK + b"0\r\n\r\n",
        HEAD + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + b"0\r\n\r\n",
        HEAD + b"X-Null: a\0b\r\n" + LENGTH + b"\r\n" + OK,
    ],
    ids=[
        *("text", "ssh", "no colon", "same twice", "two", "list", "minus", "plus", "huge"),
        *("chunks and length", "length and chunks", "null"),
    ],
)
async def test_what_is_no_http_is_called_that(text: bytes):
    async with scripted(text) as server, backend_at(server.port) as backend:
        failure = await backend.attempt(ITEM, 1)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.kind) == ("bad_response", FailureKind.TRANSIENT)
    assert "is no HTTP" in failure.message
    assert len(server.requests) == 1


async def test_a_chunk_without_a_size_is_no_http():
    text = CHUNKED + b"\r\n" + CHUNK + b"zz\r\n"
    async with scripted(text) as server, backend_at(server.port) as backend:
        failure = await backend.attempt(ITEM, 1)
    assert isinstance(failure, Failure)
    assert failure.code == "bad_response"


async def test_a_connection_that_was_closed_meanwhile_is_not_used():
    async with scripted(WHOLE, OTHER, closes=True) as server, backend_at(server.port) as backend:
        assert label_of(await backend.attempt(ITEM, 1)) == "cat"
        await server.client_left.wait()
        assert label_of(await backend.attempt(ITEM, 1)) == "dog"
    assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize("length", [b"Content-Length: 26\r\n", b""])
@pytest.mark.parametrize("size", [1, 200])
async def test_a_server_that_is_too_busy_may_say_so_before_it_is_asked(length: bytes, size: int):
    """It ends its side of the connection at once; what we send is not read before that."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = b"HTTP/1.1 503 Busy\r\n" + length + b"\r\npending request queue full"
        for start in range(0, len(text), size):
            writer.write(text[start : start + size])
            await writer.drain()
        writer.write_eof()
        await reader.read()
        writer.close()

    async with (
        await asyncio.start_server(talk, "127.0.0.1", 0) as server,
        backend_at(server.sockets[0].getsockname()[1]) as backend,
    ):
        failure = await backend.attempt(ITEM, 1)
    assert isinstance(failure, Failure)
    assert failure.code == "http_503"


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n", HEAD + b"Connection: close\r\n"])
async def test_a_connection_that_is_not_to_be_kept_is_not(head: bytes):
    text = head + LENGTH + b"\r\n" + OK
    async with scripted(text, OTHER) as server, backend_at(server.port) as backend:
        assert label_of(await backend.attempt(ITEM, 1)) == "cat"
        assert label_of(await backend.attempt(ITEM, 1)) == "dog"
    assert server.connections == 2


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_is_whole_with_its_head(status: int):
    """Whatever length its head speaks of."""
    text = b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status
    async with scripted(text, WHOLE) as server, backend_at(server.port) as backend:
        with anyio.fail_after(10):
            with pytest.raises(FatalError):
                await backend.attempt(ITEM, 1)
            assert label_of(await backend.attempt(ITEM, 1)) == "cat"


async def test_a_head_without_an_end_is_given_up():
    async with (
        scripted(HEAD + b"X-More: " + b"y" * 1_000_000) as server,
        backend_at(server.port) as backend,
    ):
        failure = await backend.attempt(ITEM, 1)
    assert isinstance(failure, Failure)
    assert failure.code == "bad_response"
    assert "a header of the answer" in failure.message


async def test_ipv6_and_a_query_are_called_as_they_are_written():
    try:
        script = Script([WHOLE])
        server = await asyncio.start_server(script.talk, "::1", 0)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    port = server.sockets[0].getsockname()[1]
    endpoint = f"http://[::1]:{port}/run/a%20b?x=1&y=%26"
    async with server, backend_at(0, endpoint=endpoint) as backend:
        assert label_of(await backend.attempt(ITEM, 1)) == "cat"
    (request,) = script.requests
    head = request.decode().split("\r\n")
    assert head[0] == "POST /run/a%20b?x=1&y=%26 HTTP/1.1"
    assert f"Host: [::1]:{port}" in head


async def test_the_headers_that_are_sent():
    async with scripted(WHOLE) as server, backend_at(server.port, user_agent="x/1") as backend:
        await backend.attempt(ITEM, 1)
    head, body = server.requests[0].split(b"\r\n\r\n")
    names = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert set(names) == {
        *("Host", "Authorization", "Content-Type", "Content-Length"),
        *("User-Agent", "Accept", "Accept-Encoding"),
    }
    assert names["Host"] == f"127.0.0.1:{server.port}"
    assert names["Accept"] == "*/*"
    assert names["Accept-Encoding"].startswith("gzip, deflate")
    assert names["Content-Length"] == str(len(body))
