"""The other end of the socket: telling the process at work on a run what to do."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchinfer.api.control.address import SOCKET, address_in
from batchinfer.api.control.instructions import Instruction, Simple, line_of
from batchinfer.api.preparing import must_be_known
from batchinfer.errors import ConfigError, StoreError
from batchinfer.shell import command_line
from batchinfer.store.lock import is_held

PATIENCE = 15.0
"""Seconds that an answer may take: the process may be writing, or its machine be busy."""
_LONGEST = 2**20


def ask(run: Path, instruction: Instruction) -> Mapping[str, Any]:
    """Tell the process at work; its answer: `said`, in words, and `status` (docs/scripting.md).

    Never from the process itself, which would wait for its own answer. Raises StoreError when there
    is nobody to tell, ConfigError when it refuses.
    """
    must_be_known(run)
    try:
        answer = _exchange(run, line_of(instruction))
    except TimeoutError:
        raise StoreError(
            f"The process at work in {run} has not answered for {PATIENCE:.0f} s. It may be busy: "
            "try again."
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(_nobody(run, error)) from None
    if answer.get("ok") is not True:
        raise ConfigError(f"It is refused: {answer.get('message')}")
    return answer


def at_work(run: Path) -> Mapping[str, Any] | None:
    """What the process at work tells of itself (`status`); None when nobody is at work.

    Empty when there is one that cannot be asked: it begins or ends just now, or has no socket.
    """
    try:
        status = _exchange(run, line_of(Simple.STATUS)).get("status")
    except (OSError, ValueError):
        return {} if is_held(run) else None
    return status if isinstance(status, dict) else {}


def _exchange(run: Path, line: bytes) -> Mapping[str, Any]:
    """One line there, one back. Raises OSError when nobody answers, ValueError for no answer."""
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no Unix sockets")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        with address_in(run) as address:
            connection.connect(address)
        connection.sendall(line)
        said = b""
        while not said.endswith(b"\n") and len(said) < _LONGEST:
            more = connection.recv(65_536)
            if not more:
                break
            said += more
    answer = json.loads(said)
    if not isinstance(answer, dict):
        raise ValueError("no answer")  # noqa: TRY004 - of a kind with what json raises
    return answer


def _nobody(run: Path, error: Exception) -> str:
    if not is_held(run):
        return f"{run} is not running. Go on with it: {command_line('resume', run)}"
    return (
        f"{run} is running, but its process does not answer ({run / SOCKET}: {error}). If it is "
        "just starting or ending, try again; else it has no socket: Ctrl-C or SIGTERM stops it."
    )
