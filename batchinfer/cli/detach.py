"""`--detach`: the same command once more, as a process of its own that outlives this one.

Rules: this one waits until the run is really under way (checked, locked, its socket up) or has
failed; a pipe says which. Until then the other one talks here, afterwards to the run's log. It is
started by the very words that were typed, and takes its secrets from the same environment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from batchinfer.api.control import SOCKET
from batchinfer.cli.options import reads_standard_input
from batchinfer.cli.talk import command, moment, say, tell
from batchinfer.errors import BatchInferError, ConfigError, StoreError

LOG: Final = "run.log"
"""In the run directory."""

_PIPE: Final = "_BATCHINFER_PIPE"
"""Environment variable by which the other process knows what it is: the pipe's descriptor."""


def detached(sources: Sequence[str] = (), *, quiet: bool = False) -> int | None:
    """Start the other process and see it under way; the exit code. None: this is the other one.

    Raises ConfigError for what cannot be done without a terminal, BatchInferError when the process
    is killed before it was under way.
    """
    if is_detached():
        return None
    if reads_standard_input(sources):
        raise ConfigError(
            "--detach cannot read standard input, which ends with this terminal. Write the "
            "manifest to a file, and name that."
        )
    process, line = start_detached()
    if not line:
        code = process.wait()
        if code < 0:
            raise BatchInferError(f"The process was ended by signal {-code} before it began.")
        return code
    tell(line)
    if not quiet:
        run = json.loads(line)["run"]
        say(
            f"The run goes on by itself. Watch it: {command('status', run, '--follow')}",
            f"Steer it: {command('ctl', run, 'pause')}   # or resume, concurrency N, rate R, stop",
        )
    return 0


def is_detached() -> bool:
    """Whether this is the other process already."""
    return _PIPE in os.environ


def start_detached() -> tuple[subprocess.Popen[bytes], str]:
    """The other process, and what it said when it was under way: nothing, if it ended before.

    Raises ConfigError where that cannot be done.
    """
    if sys.platform == "win32":
        raise ConfigError("--detach needs a system with Unix processes.")
    mine, theirs = os.pipe()
    with os.fdopen(mine, encoding="utf-8") as pipe:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            sys.orig_argv,
            executable=sys.executable,
            env={**os.environ, _PIPE: str(theirs)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs,),
            start_new_session=True,
        )
        os.close(theirs)
        try:
            return process, pipe.readline().strip()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise


class Pipe:
    """To the process that started this one and waits."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def under_way(self, run: Path) -> None:
        """Say so, and from now on everything to the run's log. Raises StoreError."""
        try:
            log = os.open(run / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreError(f"{run / LOG} cannot be written: {error}") from error
        _redirect(log)
        say(f"{moment(time.time())}: process {os.getpid()} is at work")
        socket = run / SOCKET
        self._send(
            {
                "event": "started",
                "run": str(run),
                "pid": os.getpid(),
                "log": str(run / LOG),
                "control": str(socket) if socket.exists() else None,
            }
        )

    def announce(self, message: Mapping[str, object]) -> None:
        """Say so in words of the caller, and from now on nothing to anybody."""
        _redirect(os.open(os.devnull, os.O_RDWR))
        self._send(message)

    def _send(self, message: Mapping[str, object]) -> None:
        with suppress(OSError), os.fdopen(self._descriptor, "w", encoding="utf-8") as pipe:
            pipe.write(json.dumps(message) + "\n")  # nobody waits any more: the run goes on


def _redirect(to: int) -> None:
    """From now on, stdout and stderr go there; closes the descriptor."""
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(to, descriptor)
    os.close(to)


def pipe() -> Pipe | None:
    """The pipe, if this is the other process."""
    descriptor = os.environ.pop(_PIPE, None)
    return Pipe(int(descriptor)) if descriptor else None
