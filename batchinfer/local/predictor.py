"""Runs one prediction: the script around it, and the model in a process or a thread.

Everything here blocks; the service calls it in worker threads, one for each container.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Protocol

from batchinfer.local import deepaas, output_capture, service_script
from batchinfer.local.child_processes import ChildProcesses
from batchinfer.local.journal import Journal
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.venv_runner import VenvRunner


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """One prediction to be made."""

    mode: str
    name: str
    """`event-file-<uuid>` of a call, the input object's base name of a job."""
    payload: bytes
    rng: Random
    kill_model: bool = False
    """Kill the model half-way."""


class ModelRunner(Protocol):
    """Runs `deepaas-cli` with a model in it."""

    def run(self, argv: list[str], folder: Path, *, kill_model: bool) -> str:
        """All that it wrote."""

    def stop(self) -> None:
        """End what runs, and what is being started, so far as that is possible."""


class Predictor:
    """Makes predictions as the platform makes them."""

    def __init__(self, options: LocalServiceOptions, journal: Journal) -> None:
        self._journal = journal
        self._runner: ModelRunner
        self._versions = options.deepaas, platform.python_version()
        if options.deepaas_venv is not None:
            self._runner = environment = VenvRunner(Path(options.deepaas_venv))
            self._versions = environment.versions
        else:
            self._runner = ThreadRunner(options) if options.threads else ProcessRunner(options)

    def predict_call(self, request: PredictionRequest) -> bytes:
        """Predict for a call: the body of its answer."""
        saving = request.name.endswith(".json")
        with _work_dirs(request.rng) as dirs:
            log = self._predict(request, dirs, saving=saving)
            return service_script.build_response_body(
                log, dirs.outputs, name=request.name, versions=self._versions
            )

    def predict_job(self, request: PredictionRequest) -> Mapping[str, bytes]:
        """Predict for an object: what is to be uploaded."""
        saving = request.name.endswith(".json")
        with _work_dirs(request.rng) as dirs:
            log = self._predict(request, dirs, saving=saving)
            return service_script.build_uploads(log, dirs.outputs, name=request.name)

    def stop(self) -> None:
        """End what runs now."""
        self._runner.stop()

    def _predict(
        self, request: PredictionRequest, dirs: service_script.WorkDirs, *, saving: bool
    ) -> str:
        prepared = service_script.prepare_command(request.payload, dirs, save_output=saving)
        log = prepared.traceback
        if not log and prepared.argv:
            record = partial(
                self._journal.record, mode=request.mode, name=request.name, sha256=prepared.sha256
            )
            is_help = "--help" in prepared.argv
            record("asked" if is_help else "started")
            try:
                log = self._runner.run(prepared.argv, dirs.working, kill_model=request.kill_model)
            except OSError:  # all arguments together are too long
                prepared.script_lines.append(service_script.EXECUTION_FAILED)
            record("helped" if is_help else "killed" if request.kill_model else "finished")
        return log + "".join(line + "\n" for line in prepared.script_lines)


class ProcessRunner:
    """Each prediction in a process of its own, as on the platform."""

    def __init__(self, options: LocalServiceOptions) -> None:
        program = [sys.executable, "-P", deepaas.__file__]
        self._command = [*program, options.deepaas, options.model_spec, str(Path.cwd())]
        self._children = ChildProcesses(subprocess.Popen.kill)
        checked = subprocess.run(  # noqa: S603 - our own program; no shell
            [*self._command, "check"], capture_output=True, text=True, check=False
        )
        if checked.returncode:
            raise ImportError(checked.stdout.strip().rpartition("\n")[2])

    def run(self, argv: list[str], folder: Path, *, kill_model: bool) -> str:
        """All that the process wrote until it ended, or was killed."""
        process = subprocess.Popen(  # noqa: S603 - our own program; no shell
            [*self._command, "die" if kill_model else "live", *argv],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUTF8": "1"},
        )
        with process, self._children.track(process):
            return process.communicate()[0].decode("utf-8", "replace")

    def stop(self) -> None:
        """Kill them."""
        self._children.stop()


class ThreadRunner:
    """Predictions in the caller's thread: quick, for tests and large trials."""

    def __init__(self, options: LocalServiceOptions) -> None:
        self._style = deepaas.LOG_STYLES[options.deepaas]
        sys.path.insert(0, str(Path.cwd()))
        self._parser = deepaas.ModelParser(deepaas.load_model(options.model_spec))
        output_capture.install(self._style)

    def run(self, argv: list[str], folder: Path, *, kill_model: bool) -> str:
        """All that the model printed or logged in this thread."""
        with output_capture.capture_output() as text:
            with suppress(_Killed, SystemExit):
                deepaas.predict(
                    self._parser,
                    argv,
                    self._style,
                    folder,
                    _raise_killed if kill_model else _do_nothing,
                )
            return text.getvalue()

    def stop(self) -> None:
        """A thread cannot be ended: nothing."""


class _Killed(BaseException):
    """Ends a prediction where a kill would."""


def _raise_killed() -> None:
    raise _Killed


def _do_nothing() -> None:
    pass


@contextmanager
def _work_dirs(rng: Random) -> Iterator[service_script.WorkDirs]:
    """Two temporary folders, gone afterwards."""
    with TemporaryDirectory() as folder, TemporaryDirectory() as outputs:
        yield service_script.WorkDirs(Path(folder), Path(outputs), rng)
