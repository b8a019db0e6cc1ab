"""The control socket of a running job, `.control` in its run directory: server and client.

* The server makes it while the run is locked, so an existing one was left by a process that was
  killed: it is replaced. It is removed at the end.
* Only its owner may use it (mode 0600), from before the first connection on.
* A connection sends one line, gets one line, and is closed. A client that sends nothing in time, or
  too much, gets the same refusal as one that sends nonsense.
* A run works without the socket: where none can be made, a notice says so. Errors of a connection
  (no free descriptor, a client that disconnects) affect that connection only.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.abc import SocketListener, SocketStream

from batchinfer.api.control.commands import ControlCommand, SimpleCommand, encode_command
from batchinfer.api.control.controller import Controller
from batchinfer.api.job import require_run
from batchinfer.domain import Mode
from batchinfer.engine import Engine
from batchinfer.errors import ConfigError, StoreError
from batchinfer.ports import Notice, Observer
from batchinfer.shell import format_command
from batchinfer.store.lock import is_run_locked

SOCKET_NAME: Final = ".control"
"""In the run directory; hidden, so that sources skip it."""

_FD_DIRECTORY: Final = Path("/proc/self/fd")
MAX_COMMAND_BYTES = 4096
"""Bytes of a line that is asked."""
CLIENT_TIMEOUT = 5.0
"""Seconds that a connection has to ask, and to take its answer."""
_ACCEPT_RETRY_SECONDS = 1.0
"""Seconds until it is tried again when no connection can be accepted (too many open files)."""
ANSWER_TIMEOUT = 15.0
"""Seconds that an answer may take: the process may be writing, or its machine be busy."""
_MAX_ANSWER_BYTES = 2**20


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


def send_command(run: Path, command: ControlCommand) -> Mapping[str, Any]:
    """Send a command to the running process; its answer.

    It has `said`, in words, and `status` (docs/reference/scripting.md). Never send one from
    the process itself, which would wait for its own answer. Raises StoreError when there
    is no such process, ConfigError when it refuses.
    """
    require_run(run)
    try:
        answer = _exchange(run, encode_command(command))
    except TimeoutError:
        raise StoreError(
            f"The process running {run} has not answered for {ANSWER_TIMEOUT:.0f} s. It may be "
            "busy: try again."
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(_no_answer_message(run, error)) from None
    if answer.get("ok") is not True:
        raise ConfigError(f"The running process refused: {answer.get('message')}")
    return answer


def get_worker_status(run: Path) -> Mapping[str, Any] | None:
    """The `status` of the running process; None when none is running.

    Empty when it does not answer: it is just starting or ending, or has no socket.
    """
    try:
        status = _exchange(run, encode_command(SimpleCommand.STATUS)).get("status")
    except (OSError, ValueError):
        return {} if is_run_locked(run) else None
    return status if isinstance(status, dict) else {}


def _exchange(run: Path, line: bytes) -> Mapping[str, Any]:
    """Send a line, receive one. Raises OSError without an answer, ValueError for a bad one."""
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no Unix sockets")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_TIMEOUT)
        with short_socket_path(run) as address:
            connection.connect(address)
        connection.sendall(line)
        received = b""
        while not received.endswith(b"\n") and len(received) < _MAX_ANSWER_BYTES:
            chunk = connection.recv(65_536)
            if not chunk:
                break
            received += chunk
    answer = json.loads(received)
    if not isinstance(answer, dict):
        raise ValueError("no answer")  # noqa: TRY004 - of a kind with what json raises
    return answer


def _no_answer_message(run: Path, error: Exception) -> str:
    if not is_run_locked(run):
        return f"{run} is not running. Continue it: {format_command('resume', run)}"
    return (
        f"{run} is running, but its process does not answer ({run / SOCKET_NAME}: {error}). If it "
        "is just starting or ending, try again; else it has no socket: Ctrl-C or SIGTERM stops it."
    )


@contextmanager
def short_socket_path(run: Path) -> Iterator[str]:
    """A path of the socket for `bind` and `connect`, which take about a hundred bytes at most.

    Where the system has it, by a descriptor of the run directory: then any path will do. Raises
    OSError when the directory cannot be opened.
    """
    if not _FD_DIRECTORY.is_dir():
        yield os.fspath(run / SOCKET_NAME)
        return
    descriptor = os.open(run, os.O_RDONLY)
    try:
        yield f"{_FD_DIRECTORY}/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)
