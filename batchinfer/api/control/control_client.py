"""The other end of the socket: telling the process at work on a run what to do."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchinfer.api.control.commands import ControlCommand, SimpleCommand, encode_command
from batchinfer.api.control.socket_path import SOCKET_NAME, short_socket_path
from batchinfer.api.job import require_run
from batchinfer.errors import ConfigError, StoreError
from batchinfer.shell import format_command
from batchinfer.store.lock import is_run_locked

ANSWER_TIMEOUT = 15.0
"""Seconds that an answer may take: the process may be writing, or its machine be busy."""
_MAX_ANSWER_BYTES = 2**20


def send_command(run: Path, command: ControlCommand) -> Mapping[str, Any]:
    """Tell the process at work; its answer: `said` and `status` (docs/reference/scripting.md).

    Never from the process itself, which would wait for its own answer. Raises StoreError when there
    is nobody to tell, ConfigError when it refuses.
    """
    require_run(run)
    try:
        answer = _exchange(run, encode_command(command))
    except TimeoutError:
        raise StoreError(
            f"The process at work in {run} has not answered for {ANSWER_TIMEOUT:.0f} s. It may be "
            "busy: "
            "try again."
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(_no_answer_message(run, error)) from None
    if answer.get("ok") is not True:
        raise ConfigError(f"It is refused: {answer.get('message')}")
    return answer


def get_worker_status(run: Path) -> Mapping[str, Any] | None:
    """What the process at work tells of itself (`status`); None when nobody is at work.

    Empty when there is one that cannot be asked: it begins or ends just now, or has no socket.
    """
    try:
        status = _exchange(run, encode_command(SimpleCommand.STATUS)).get("status")
    except (OSError, ValueError):
        return {} if is_run_locked(run) else None
    return status if isinstance(status, dict) else {}


def _exchange(run: Path, line: bytes) -> Mapping[str, Any]:
    """One line there, one back. Raises OSError when nobody answers, ValueError for no answer."""
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
        return f"{run} is not running. Go on with it: {format_command('resume', run)}"
    return (
        f"{run} is running, but its process does not answer ({run / SOCKET_NAME}: {error}). If it "
        "is "
        "just starting or ending, try again; else it has no socket: Ctrl-C or SIGTERM stops it."
    )
