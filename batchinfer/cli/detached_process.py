"""`--detach`: the same command once more, as a process of its own that outlives this one.

Rules: this one waits until the run is really under way (checked, locked, its socket up) or has
failed; a pipe says which. Until then the other one talks here, afterwards to the run's log. It is
started by the very words that were typed, and takes its secrets from the same environment.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchinfer.cli.cli_options import uses_stdin
from batchinfer.cli.output import echo_data, echo_message, format_time, to_command_line
from batchinfer.errors import BatchInferError, ConfigError, StoreError

if TYPE_CHECKING:
    import subprocess

RUN_LOG_NAME: Final = "run.log"
"""In the run directory."""

_PIPE_FD_VARIABLE: Final = "_BATCHINFER_PIPE"
"""Environment variable by which the other process knows what it is: the pipe's descriptor."""


def detach_run(sources: Sequence[str] = (), *, quiet: bool = False) -> int | None:
    """Start the other process and see it under way; the exit code. None: this is the other one.

    Raises ConfigError for what cannot be done without a terminal, BatchInferError when the process
    is killed before it was under way.
    """
    if is_detached_child():
        return None
    if uses_stdin(sources):
        raise ConfigError(
            "--detach cannot read standard input, which ends with this terminal. Write the "
            "manifest to a file, and name that."
        )
    process, line = spawn_detached()
    if not line:
        code = process.wait()
        if code < 0:
            raise BatchInferError(f"The process was ended by signal {-code} before it began.")
        return code
    echo_data(line)
    if not quiet:
        import json

        run = json.loads(line)["run"]
        echo_message(
            f"The run goes on by itself. Watch it: {to_command_line('status', run, '--follow')}",
            f"Steer it: {to_command_line('ctl', run, 'pause')}   # or resume, concurrency N, rate "
            "R, stop",
        )
    return 0


def is_detached_child() -> bool:
    """Whether this is the other process already."""
    return _PIPE_FD_VARIABLE in os.environ


def spawn_detached() -> tuple[subprocess.Popen[bytes], str]:
    """The other process, and what it said when it was under way: nothing, if it ended before.

    Raises ConfigError where that cannot be done.
    """
    import subprocess

    if sys.platform == "win32":
        raise ConfigError("--detach needs a system with Unix processes.")
    read_descriptor, write_descriptor = os.pipe()
    with os.fdopen(read_descriptor, encoding="utf-8") as pipe:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            sys.orig_argv,
            executable=sys.executable,
            env={**os.environ, _PIPE_FD_VARIABLE: str(write_descriptor)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(write_descriptor,),
            start_new_session=True,
        )
        os.close(write_descriptor)
        try:
            return process, pipe.readline().strip()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise


class ParentPipe:
    """To the process that started this one and waits."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def report_started(self, run: Path) -> None:
        """Say so, and from now on everything to the run's log. Raises StoreError."""
        from batchinfer.api.control import SOCKET_NAME

        try:
            log = os.open(run / RUN_LOG_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreError(f"{run / RUN_LOG_NAME} cannot be written: {error}") from error
        _redirect_output(log)
        echo_message(f"{format_time(time.time())}: process {os.getpid()} is at work")
        socket = run / SOCKET_NAME
        self._send(
            {
                "event": "started",
                "run": str(run),
                "pid": os.getpid(),
                "log": str(run / RUN_LOG_NAME),
                "control": str(socket) if socket.exists() else None,
            }
        )

    def report_ready(self, message: Mapping[str, object]) -> None:
        """Say so in words of the caller, and from now on nothing to anybody."""
        _redirect_output(os.open(os.devnull, os.O_RDWR))
        self._send(message)

    def _send(self, message: Mapping[str, object]) -> None:
        import json

        with suppress(OSError), os.fdopen(self._descriptor, "w", encoding="utf-8") as pipe:
            pipe.write(json.dumps(message) + "\n")  # the parent is gone: the run continues


def _redirect_output(target: int) -> None:
    """From now on, stdout and stderr go there; closes the descriptor."""
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(target, descriptor)
    os.close(target)


def open_parent_pipe() -> ParentPipe | None:
    """The pipe, if this is the other process."""
    descriptor = os.environ.pop(_PIPE_FD_VARIABLE, None)
    return ParentPipe(int(descriptor)) if descriptor else None
