"""The socket of a run that goes on: `.control` in its directory, for the time the engine runs.

Rules:

* Made while the run is locked, so that one that is there already is of a process that was killed:
  it is replaced. Removed at the end.
* Only its owner may use it (mode 0600), from before the first connection on.
* A connection brings one line, gets one line, and is closed. Nobody holds it for long: whoever says
  nothing in time, or too much, is refused like whoever says nonsense.
* The run needs no socket: where there can be none, a notice says so and the run goes on. Whatever
  goes wrong with a connection stays with it (no open file to be had, a client that leaves).
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import SocketListener, SocketStream

from batchinfer.api.control.controller import Controller
from batchinfer.api.control.socket_path import SOCKET_NAME, short_socket_path
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
                f"This run cannot be steered by `batchinfer ctl`: {run / SOCKET_NAME} cannot be "
                "made "
                f"({error}). All else is as ever; it would take a shorter path, on a local disk.",
            )
        )
        return None


async def _serve_forever(listener: SocketListener, handle_line: Callable[[bytes], bytes]) -> None:
    async def handle_connection(connection: SocketStream) -> None:
        # Whoever leaves early misses the answer; that is all.
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
