"""A call that is cancelled closes its own connection, and never one that is another's by then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from yarl import URL

from batchinfer.transport.call_timeouts import CallTimeouts
from batchinfer.transport.http_client import HttpClient
from batchinfer.transport.http_connection import HttpConnection

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
LARGE = 1_000_000


class Wire:
    """A transport that takes everything; what is received is up to the test."""

    def __init__(self) -> None:
        self.is_aborted = False

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None:
        self.is_aborted = True

    def set_write_buffer_limits(self, **_: int) -> None: ...

    def get_extra_info(self, _: str) -> Any:
        return None

    def pause_reading(self) -> None: ...


@pytest.fixture
async def client():
    client = HttpClient(
        URL("http://127.0.0.1:1"), ssl_context=None, timeouts=CallTimeouts(total=60)
    )
    yield client
    client.close()


@pytest.fixture
async def connection(client):
    """The only one that there is."""
    connection = HttpConnection(client, asyncio.get_running_loop())
    connection.connection_made(Wire())
    client.keep(connection)
    return connection


def begin(client: HttpClient) -> asyncio.Task:
    return asyncio.create_task(client.request(client.make_head("GET", "/", [])))


async def waits(connection: HttpConnection) -> None:
    await asyncio.sleep(0)
    assert connection.is_busy


async def test_cancelled_before_its_answer(client, connection):
    call = begin(client)
    await waits(connection)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert connection._transport.is_aborted


async def test_cancelled_after_its_answer_when_another_has_the_connection(client, connection):
    call = begin(client)
    await waits(connection)
    connection.data_received(HEAD % 4 + b"text")
    call.cancel()
    waiter = connection.send(b"GET / HTTP/1.1\r\n\r\n", (), 0, None, 0.0)
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not connection._transport.is_aborted
    connection.data_received(HEAD % 5 + b"other")
    assert (await waiter).body == b"other"


async def test_cancelled_just_before_its_answer(client, connection):
    """Before the task learns of it, all of the answer is here."""
    call = begin(client)
    await waits(connection)
    call.cancel()
    connection.data_received(HEAD % 4 + b"text")
    assert client._take_idle(0.0) is None
    with pytest.raises(asyncio.CancelledError):
        await call
    assert connection._transport.is_aborted


async def test_cancelled_when_a_large_answer_has_begun(client, connection):
    call = begin(client)
    await waits(connection)
    connection.data_received(HEAD % LARGE + bytes(200_000))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert connection._transport.is_aborted


async def test_cancelled_while_a_large_answer_is_read(client, connection):
    call = begin(client)
    await waits(connection)
    connection.data_received(HEAD % LARGE + bytes(70_000))
    response = await call
    assert len(await response.read_some()) == 70_000
    reading = asyncio.create_task(response.read_some())
    await asyncio.sleep(0)
    reading.cancel()
    connection.data_received(bytes(LARGE - 70_000))
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert connection._transport.is_aborted


async def test_a_connection_that_closed_while_idle_leaves_the_deadlines_of_others_alone(client):
    """The timer goes on as long as any call is under way."""
    loop = asyncio.get_running_loop()
    busy, idle = HttpConnection(client, loop), HttpConnection(client, loop)
    for connection in (busy, idle):
        connection.connection_made(Wire())
        client._connections.add(connection)
        client.keep(connection)
    idle.connection_lost(None)
    call = begin(client)
    await waits(busy)
    client._tick()
    assert client._timer is not None
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
