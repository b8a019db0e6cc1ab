"""Runs the script of an OSCAR service, as OSCAR's supervisor does: a file in, files or a text out.

Rules (those of the supervisor; `oscar_supervisor.py` runs the real one):

* The input is the file `INPUT_FILE_PATH`: the body of a call (JSON as it is, anything else decoded
  from base64), or the object that came to `inputs/`, under its own name.
* What is then in the folder `TMP_OUTPUT_DIR` is the output: each file is an object in `outputs/`,
  folders included; a call is answered with the one file in base64, or with a zip of several.
* A call whose script left no file is answered with what it printed. How it ended does not matter.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import traceback
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zipfile import ZipFile

from batchinfer.errors import ConfigError
from batchinfer.local.child_processes import ChildProcesses
from batchinfer.local.journal import Journal
from batchinfer.local.predictor import PredictionRequest

_SHELL: Final = "/bin/sh"


class SupervisorCrashed(Exception):  # noqa: N818 - reads as a fact
    """The supervisor ended before it had an answer: a call gets a 500 with what it wrote."""


class ScriptPredictor:
    """Makes predictions by the script of a service."""

    def __init__(self, script: str, journal: Journal) -> None:
        """Raises ConfigError when there is no such script."""
        self._script = Path(script).absolute()
        if not self._script.is_file():
            raise ConfigError(f"there is no script {script}")
        self._journal = journal
        self._children = ChildProcesses(_kill)

    def predict_call(self, request: PredictionRequest) -> bytes:
        """Predict for a call: the body of its answer."""
        with TemporaryDirectory() as folder:
            printed, outputs = self._run(request, _decode_event(request.payload), Path(folder))
        match list(outputs.values()):
            case []:
                return printed + b"\n"
            case [data]:
                return base64.b64encode(data) + b"\n"
            case _:
                return base64.b64encode(_zip_files(outputs)) + b"\n"

    def predict_job(self, request: PredictionRequest) -> Mapping[str, bytes]:
        """Predict for an object: what is to be uploaded."""
        with TemporaryDirectory() as folder:
            return self._run(request, request.payload, Path(folder))[1]

    def stop(self) -> None:
        """End what runs."""
        self._children.stop()

    def _run(
        self, request: PredictionRequest, data: bytes, folder: Path
    ) -> tuple[bytes, Mapping[str, bytes]]:
        """What the script printed, and the files that it left."""
        inputs, outputs = folder / "in", folder / "out"
        inputs.mkdir()
        outputs.mkdir()
        input_file = inputs / request.name
        input_file.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        self._journal.record("started", mode=request.mode, name=request.name, sha256=sha256)
        variables = {
            "INPUT_FILE_PATH": str(input_file),
            "TMP_INPUT_DIR": str(inputs),
            "TMP_OUTPUT_DIR": str(outputs),
        }
        process = subprocess.Popen(  # noqa: S603 - what the user named
            [_SHELL, str(self._script)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | variables,
            start_new_session=True,
        )
        with self._children.track(process):
            if request.kill_model:
                _kill(process)
            printed = process.communicate()[0]
        event = "killed" if request.kill_model else "finished"
        self._journal.record(event, mode=request.mode, name=request.name, sha256=sha256)
        if request.kill_model:
            return b"", {}
        files = sorted(path for path in outputs.rglob("*") if path.is_file())
        return printed, {str(path.relative_to(outputs)): path.read_bytes() for path in files}


def _decode_event(body: bytes) -> bytes:
    """The file that a body is. Raises SupervisorCrashed."""
    try:
        event = json.loads(body)
    except ValueError:
        try:
            return base64.b64decode(body)
        except ValueError as error:
            raise SupervisorCrashed(traceback.format_exc()) from error
    if not isinstance(event, dict):
        raise SupervisorCrashed("Traceback (most recent call last):\nAttributeError: no event")
    return body


def _zip_files(files: Mapping[str, bytes]) -> bytes:
    packed = BytesIO()
    with ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
