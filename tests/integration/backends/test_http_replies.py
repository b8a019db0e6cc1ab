"""Replies are bounded in size, and in the memory that they take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from batchinfer.backends.http_backend import HttpBackend
from batchinfer.domain import Failure, Item, Outcome, Reply
from support.http_calls import backend_at

pytestmark = pytest.mark.usefixtures("carrier")

HEAD = b"HTTP/1.1 200 OK\r\n"
LOG = b"2026-11-23 07:35:30.498 6943 INFO deepaas.cmd.cli [-] return: "
LARGE = LOG + b"{'a': '" + b"x" * 3_000_000 + b"'}\n"


@asynccontextmanager
async def answering(
    *parts: bytes, endless: bytes = b""
) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A port where every call gets these parts, then `endless` again and again; who has left."""
    left = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split()[0])
            await reader.readexactly(size)
            for part in parts:
                writer.write(part)
                await writer.drain()
            while endless:
                writer.write(endless)
                await writer.drain()
            await reader.read()
        except ConnectionError:
            left.set()
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], left


def framed(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def test_an_endless_reply_is_given_up_at_the_limit():
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    begin = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    async with (
        answering(begin, endless=chunk) as (port, left),
        backend_at(port, max_reply=5_000_000) as backend,
    ):
        outcome = await backend.attempt(Item("a"), 1)
        assert isinstance(outcome, Failure)
        assert outcome.code == "reply_too_large"
        assert "5,000,000 bytes" in outcome.message
        with anyio.fail_after(30):
            await left.wait()


async def test_a_length_that_is_announced_is_believed():
    """Nothing of the body comes, and nobody waits for it."""
    async with (
        answering(HEAD + b"Content-Length: 9000000\r\n\r\n") as (port, _),
        backend_at(port, max_reply=5_000_000) as backend,
    ):
        with anyio.fail_after(30):
            outcome = await backend.attempt(Item("a"), 1)
    assert isinstance(outcome, Failure)
    assert outcome.code == "reply_too_large"
    assert "9,000,000 bytes" in outcome.message


@pytest.mark.parametrize("spool", [True, False])
async def test_a_large_reply_is_the_same_by_way_of_a_file(tmp_path: Path, spool: bool):
    folder = tmp_path if spool else None
    async with answering(framed(LARGE)) as (port, _), backend_at(port, spool_dir=folder) as backend:
        outcome = await backend.attempt(Item("a"), 1)
    assert isinstance(outcome, Reply)
    assert outcome.prediction == {"a": "x" * 3_000_000}
    assert not [path async for path in anyio.Path(tmp_path).iterdir()]


@pytest.mark.parametrize("memory", [1_000, 10_000_000, 40_000_000])
async def test_replies_that_need_more_than_there_is_do_not_wait_for_each_other(memory: int):
    got: list[Outcome] = []

    async def call(backend: HttpBackend) -> None:
        got.append(await backend.attempt(Item("a"), 1))

    async with answering(framed(LARGE)) as (port, _), backend_at(port, memory=memory) as backend:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for _ in range(6):
                    tasks.start_soon(call, backend)
    assert [type(outcome) for outcome in got] == [Reply] * 6


async def test_a_reply_takes_room_until_it_is_forgotten():
    async with answering(framed(LARGE)) as (port, _), backend_at(port) as backend:
        outcome = await backend.attempt(Item("a"), 1)
        assert backend._memory_budget.used_bytes > len(LARGE)
        del outcome
        await anyio.sleep(0.05)
        assert backend._memory_budget.used_bytes == 0
