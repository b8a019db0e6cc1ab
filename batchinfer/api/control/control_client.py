"""The client's end of a run's control socket: asks the process that runs it.

It needs no event loop, so that `batchinfer status` and `ctl` start quickly.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from batchinfer.api.control.commands import ControlCommand, SimpleCommand, encode_command
from batchinfer.api.job import require_run
from batchinfer.domain import Counts
from batchinfer.errors import ConfigError, StoreError
from batchinfer.ports import Progress
from batchinfer.shell import format_command
from batchinfer.store.lock import is_run_locked

SOCKET_NAME: Final = ".control"
"""In the run directory; hidden, so that sources skip it."""
ANSWER_TIMEOUT = 15.0
"""Seconds that an answer may take: the process may be writing, or its machine be busy."""
_FD_DIRECTORY: Final = Path("/proc/self/fd")
_MAX_ANSWER_BYTES = 2**20


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


def progress_from_status(status: Mapping[str, Any]) -> Progress:
    """`Controller.action_status`, as another process has read it, for a display."""
    return Progress(
        Counts(*(status[each.name] for each in fields(Counts))),
        status["in_flight"],
        is_source_complete=status["complete"],
        failed_by_code=status["failures"],
        limit=status["limit"],
        estimated_servers=status["serving"],
        paused=status["paused"],
        is_watching=status.get("watching", False),
    )


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
