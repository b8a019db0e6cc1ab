"""The control socket of a running job, `.control` in its run directory: the server's end.

* The server makes it while the run is locked, so an existing one was left by a process that was
  killed: it is replaced. It is removed at the end.
* Only its owner may use it (mode 0600), from before the first connection on.
* A connection sends one line, gets one line, and is closed. A client that sends nothing in time, or
  too much, gets the same refusal as one that sends nonsense.
* A run works without the socket: where none can be made, a notice says so. Errors of a connection
  (no free descriptor, a client that disconnects) affect that connection only.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import SocketListener, SocketStream

from batchinfer.api.control.control_client import SOCKET_NAME, short_socket_path
from batchinfer.api.control.controller import Controller
from batchinfer.domain import Mode
from batchinfer.engine import Engine
from batchinfer.ports import Notice, Observer

MAX_COMMAND_BYTES = 4096
"""Bytes of a line that is asked."""
CLIENT_TIMEOUT = 5.0
"""Seconds that a connection has to ask, and to take its answer."""
_ACCEPT_RETRY_SECONDS = 1.0
"""Seconds until it is tried again when no connection can be accepted (too many open files)."""


@asynccontextmanager
async def serve_control(
    run: Path, engine: Engine, controller: Controller, mode: Mode
) -> AsyncIterator[None]:
    """While the block lasts, other processes can control the engine. What it raises passes."""
    controller.attach(engine, mode)
    listener = await _open_listener(run, controller)
    if listener is None:
        yield
        return
    cause: Exception | None = None
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_serve_forever, listener, controller.handle_line)
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised below, alone, not in a group
                cause = error
            group.cancel_scope.cancel()
    finally:
        with suppress(OSError):
            (run / SOCKET_NAME).unlink()
        await listener.aclose()
    if cause is not None:
        raise cause


async def _open_listener(run: Path, observer: Observer) -> SocketListener | None:
    if not hasattr(socket, "AF_UNIX"):
        return None
    try:
        with short_socket_path(run) as address:
            # A stale one is removed; the new one is bound, made private, and only then listened to.
            return await anyio.create_unix_listener(address, mode=0o600, backlog=64)
    except OSError as error:
        observer.notify(
            Notice(
                "no_control",
                f"This run cannot be controlled by `batchinfer ctl`: {run / SOCKET_NAME} cannot be "
                f"made ({error}). The run continues without it (a shorter path on a local disk "
                "would help).",
            )
        )
        return None


async def _serve_forever(listener: SocketListener, handle_line: Callable[[bytes], bytes]) -> None:
    async def handle_connection(connection: SocketStream) -> None:
        # A client that disconnects early misses the answer.
        with suppress(Exception), anyio.move_on_after(2 * CLIENT_TIMEOUT):
            async with connection:
                await connection.send(handle_line(await _receive_line(connection)))

    while True:
        with suppress(Exception):  # a group, when several went wrong at once
            await listener.serve(handle_connection)
        await anyio.sleep(_ACCEPT_RETRY_SECONDS)


async def _receive_line(connection: SocketStream) -> bytes:
    """The line that is asked; nothing, when none comes in time or it is too long."""
    received = b""
    with anyio.move_on_after(CLIENT_TIMEOUT):
        while len(received) <= MAX_COMMAND_BYTES:
            line, end, _ = received.partition(b"\n")
            if end:
                return line
            try:
                received += await connection.receive(MAX_COMMAND_BYTES)
            except anyio.EndOfStream:
                return received
    return b""
