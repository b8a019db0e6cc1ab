"""Runs the real `deepaas-cli` of a virtual environment, as the service script runs it.

Rules (docs/platform.md, "The path of a request", "The payload"):

* stdout and stderr are one file, so that output and log records merge as they do in a container.
* Each prediction is a process of its own. Whatever it starts, and its temporary files, go with it.
* Which of several modules is meant, DEEPaaS reads from the variable `DEEPAAS_V2_MODEL`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from batchinfer.errors import ConfigError
from batchinfer.local.child_processes import ChildProcesses

_MIN_DEEPAAS_VERSION = (2, 5, 0)
"""The service script refuses what is older."""
_LOG_FILE = "service.log"
_PREDICT_CALLED = b"predict was called."
_LOG_POLL_SECONDS = 0.01


class VenvRunner:
    """A virtual environment with DEEPaaS and one module in it."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError when no prediction can come of it: no DEEPaaS, no module, too old."""
        programs = folder.absolute() / "bin"
        self._cli = str(programs / "deepaas-cli")
        self._variables = os.environ | {
            "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "VIRTUAL_ENV": str(folder.absolute()),
            "PYTHONUTF8": "1",
            "COLUMNS": "80",
        }
        # The script's lines would come first, too (`script`, rules): not so here.
        self._variables.pop("PYTHONUNBUFFERED", None)
        self._children = ChildProcesses(_kill)
        deepaas = _check_version(self._ask_version(self._cli), folder)
        python = self._ask_version(str(programs / "python")).split()[-1]
        self.versions = deepaas, python
        """Of DEEPaaS and of Python."""

    def run(self, argv: list[str], folder: Path, *, kill_model: bool) -> str:
        """All that `deepaas-cli` wrote until it ended, or was killed."""
        log = folder / _LOG_FILE
        with log.open("wb") as log_file:
            process = subprocess.Popen(  # noqa: S603 - what the user named; no shell
                [self._cli, *argv],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env=self._variables | {"TMPDIR": str(folder)},
                start_new_session=True,
            )
        with self._children.track(process):
            if kill_model:
                _wait_for_call(process, log)
                _kill(process)
            process.wait()
        return log.read_bytes().decode("utf-8", "replace")

    def stop(self) -> None:
        """Kill what runs."""
        self._children.stop()

    def _ask_version(self, program: str) -> str:
        """What a program says of its version. Raises ConfigError."""
        try:
            completed = subprocess.run(  # noqa: S603 - as above
                [program, "--version"],
                capture_output=True,
                text=True,
                check=True,
                env=self._variables,
            )
        except OSError as error:
            raise ConfigError(f"cannot run {program}: {error.strerror}") from error
        except subprocess.CalledProcessError as error:
            raise ConfigError(
                f"{program} does not start: {_startup_error(error.stderr)}"
            ) from error
        return str(completed.stdout).strip()


def _check_version(output: str, folder: Path) -> str:
    """The version as the service script reads it. Raises ConfigError when it is too old."""
    version = output.rpartition("\n")[2].partition("-")[0]
    if tuple(int(part) for part in version.split(".") if part.isdecimal()) < _MIN_DEEPAAS_VERSION:
        oldest = ".".join(map(str, _MIN_DEEPAAS_VERSION))
        raise ConfigError(f"{folder} has DEEPaaS {version}, and the platform needs {oldest}")
    return version


def _startup_error(stderr: str) -> str:
    """DEEPaaS's own words, or the last line of a traceback."""
    _, mark, words = stderr.partition("[ERROR]: ")
    return " ".join(words.split()) if mark else stderr.strip().rpartition("\n")[2]


def _wait_for_call(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the model is called, or all is over."""
    while process.poll() is None and _PREDICT_CALLED not in log.read_bytes():
        time.sleep(_LOG_POLL_SECONDS)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
