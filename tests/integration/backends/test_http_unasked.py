"""What a server sends without being asked is never taken for an answer.

These hold for our own carrier only: aiohttp takes what comes on an idle connection for the next
answer.
"""

from __future__ import annotations

import asyncio

import anyio
import pytest

from support.http_calls import ITEM, backend_at
from support.scripted_server import CHUNK, CHUNKED, OTHER, WHOLE, label_of, scripted

OWL = WHOLE.replace(b"cat", b"owl")


@pytest.mark.parametrize(
    "more",
    [OTHER, b"H", b"garbage", OTHER[:30], b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["an answer", "a byte", "garbage", "half a head", "100"],
)
@pytest.mark.parametrize(
    "text", [WHOLE, CHUNKED + b"\r\n" + CHUNK + b"0\r\n\r\n"], ids=["length", "chunks"]
)
async def test_what_follows_an_answer_is_not_taken_for_the_next_one(text: bytes, more: bytes):
    async with scripted(text + more, OWL) as server, backend_at(server.port) as backend:
        assert label_of(await backend.attempt(ITEM, 1)) == "cat"
        assert label_of(await backend.attempt(ITEM, 1)) == "owl"
    assert server.connections == 2


async def test_what_comes_to_an_idle_connection_closes_it():
    may_go_on, client_left = asyncio.Event(), asyncio.Event()
    answers = [WHOLE, OWL]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(answers.pop(0))
        await may_go_on.wait()
        if answers:
            writer.write(OTHER)
            await reader.read()
            client_left.set()
        writer.close()

    async with (
        await asyncio.start_server(talk, "127.0.0.1", 0) as server,
        backend_at(server.sockets[0].getsockname()[1]) as backend,
    ):
        assert label_of(await backend.attempt(ITEM, 1)) == "cat"
        may_go_on.set()
        with anyio.fail_after(10):
            await client_left.wait()
        assert label_of(await backend.attempt(ITEM, 1)) == "owl"
