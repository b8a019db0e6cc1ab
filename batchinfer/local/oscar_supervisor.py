"""Runs the script of an OSCAR service by OSCAR's own supervisor (`faas-supervisor`).

It is started as the platform starts it: the body of a call, or the event of an object, on its
standard input; the script and where objects come from and go to in variables. It fetches the
object, and uploads the outputs, itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from batchinfer.errors import ConfigError
from batchinfer.local.child_processes import ChildProcesses
from batchinfer.local.journal import Journal
from batchinfer.local.oscar_script import SupervisorCrashed
from batchinfer.local.predictor import PredictionRequest
from batchinfer.local.s3_proxy import LOCAL_S3_REGION
from batchinfer.local.service_options import LocalServiceOptions

_MODULE: Final = "faassupervisor.supervisor"
_EVENT_TIME: Final = "2026-01-01T00:00:00Z"


class SupervisorPredictor:
    """Makes predictions by the supervisor of a virtual environment."""

    def __init__(
        self,
        options: LocalServiceOptions,
        journal: Journal,
        get_store_url: Callable[[], str | None],
    ) -> None:
        """`get_store_url`: where the S3 server listens; None while it is away.

        Raises ConfigError when there is no script or no supervisor.
        """
        self._options, self._journal, self._get_store_url = options, journal, get_store_url
        self._python = str(Path(options.supervisor_venv or "").absolute() / "bin" / "python")
        try:
            self._script = Path(options.script or "").read_bytes()
            subprocess.run(  # noqa: S603 - what the user named
                [self._python, "-c", f"import {_MODULE}"], check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise ConfigError(
                f"{options.supervisor_venv} has no faas-supervisor that starts, or the script "
                f"cannot be read: {error}"
            ) from error
        self._children = ChildProcesses(_kill)

    def predict_call(self, request: PredictionRequest) -> bytes:
        """Predict for a call: the body of its answer."""
        return self._run(request, request.payload)

    def predict_job(self, request: PredictionRequest) -> Mapping[str, bytes]:
        """Predict for an object; the supervisor itself uploads what comes of it."""
        key, name = f"inputs/{request.name}", self._options.name
        stored = {"object": {"key": key}, "bucket": {"name": name, "arn": f"arn:aws:s3:::{name}"}}
        record = {"eventSource": "minio:s3", "eventTime": _EVENT_TIME, "s3": stored}
        event = {"Key": f"{name}/{key}", "Records": [record]}
        with suppress(SupervisorCrashed):  # a job that fails leaves what it has uploaded
            self._run(request, json.dumps(event).encode())
        return {}

    def stop(self) -> None:
        """End what runs."""
        self._children.stop()

    def _run(self, request: PredictionRequest, event: bytes) -> bytes:
        """What the supervisor printed. Raises SupervisorCrashed."""
        sha256 = hashlib.sha256(request.payload).hexdigest()
        self._journal.record("started", mode=request.mode, name=request.name, sha256=sha256)
        with TemporaryDirectory() as folder:
            process = subprocess.Popen(  # noqa: S603 - what the user named
                [self._python, "-W", "ignore", "-m", _MODULE],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | self._make_variables(folder),
                start_new_session=True,
            )
            with self._children.track(process):
                if request.kill_model:
                    _kill(process)
                with suppress(BrokenPipeError):
                    printed, errors = process.communicate(event)
        event_name = "finished" if process.returncode == 0 else "killed"
        self._journal.record(event_name, mode=request.mode, name=request.name, sha256=sha256)
        if process.returncode:
            raise SupervisorCrashed((printed + errors).decode("utf-8", "replace"))
        return printed

    def _make_variables(self, folder: str) -> Mapping[str, str]:
        options = self._options
        provider = {
            "endpoint": self._get_store_url(),
            "region": LOCAL_S3_REGION,
            "access_key": options.access_key,
            "secret_key": options.secret_key,
        }
        output = {"storage_provider": "minio.default", "path": f"{options.name}/outputs"}
        config = {
            "name": options.name,
            "log_level": "CRITICAL",
            "storage_providers": {"minio": {"default": provider}},
            "output": [output],
        }
        return {
            "SCRIPT": base64.b64encode(self._script).decode(),
            "FUNCTION_CONFIG": base64.b64encode(json.dumps(config).encode()).decode(),
            "TMPDIR": folder,
            "PYTHONUTF8": "1",
        }


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
