"""The local service as a process of its own, for tests and the demo: start, kill, restart.

Synchronous on purpose: what a test does to the service must not share its event loop.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from batchinfer.local import journal
from batchinfer.local.service_connection import ServiceConnection
from batchinfer.local.service_options import LocalServiceOptions

_STOP_TIMEOUT = 15.0


class ServiceProcess:
    """A service that runs, or has been killed and can run again under the same address."""

    def __init__(self, options: LocalServiceOptions, cwd: Path | None, temporary: str) -> None:
        self._cwd, self._temporary = cwd, temporary
        self._process, self.connection = _start_process(options, cwd, temporary)
        port = urlsplit(self.connection.endpoint).port
        self.options = replace(options, port=port or 0)

    @property
    def pid(self) -> int:
        """Process id of the service."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """End it as a person would (SIGTERM); its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_STOP_TIMEOUT)

    def restart(self) -> None:
        """Start it again on the same port, with the same secrets; kill it first if it runs.

        Objects are there again if `options.redact_bytes` is set. Jobs that were not done are lost.
        """
        self.kill()
        self._process, self.connection = _start_process(self.options, self._cwd, self._temporary)

    def read_journal(self) -> list[dict[str, Any]]:
        """The lines of `options.read_journal`: also what happened before a restart."""
        return (
            [] if self.options.journal is None else journal.read_journal(Path(self.options.journal))
        )

    def read_stats(self) -> dict[str, int]:
        """What happened since it started, such as `sync_started`, `async_finished`."""
        return self._read_counts("stats")

    def read_bucket_stats(self) -> dict[str, int]:
        """What its bucket answered since it started: `listings`, `notification_streams`."""
        return self._read_counts("bucket-stats")

    def _read_counts(self, name: str) -> dict[str, int]:
        url = f"{self.connection.bucket.endpoint}/local/{name}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
            return dict(json.load(answer))


@contextmanager
def start_service(
    options: LocalServiceOptions | None = None, cwd: Path | None = None
) -> Iterator[ServiceProcess]:
    """A local service for the time of a block, on a free port unless told otherwise.

    `cwd` is where it runs: models are looked for there, too.

    Raises RuntimeError when it does not start; why stands on standard error.
    """
    # What a killed service leaves is deleted here. Its S3 server may still be dying: never mind.
    with TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        service = ServiceProcess(options or LocalServiceOptions(), cwd, temporary)
        try:
            yield service
        finally:
            service.kill()


def _start_process(
    options: LocalServiceOptions, cwd: Path | None, temporary: str
) -> tuple[subprocess.Popen[str], ServiceConnection]:
    process = subprocess.Popen(
        [sys.executable, "-m", "batchinfer.local"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=cwd,
        env=os.environ | {"TMPDIR": temporary},
        text=True,
    )
    assert process.stdin is not None  # noqa: S101 - pipes were asked for
    assert process.stdout is not None  # noqa: S101
    with process.stdin as told, process.stdout as ready:
        told.write(options.to_json() + "\n")
        told.close()
        line = ready.readline()
    if not line:
        raise RuntimeError(f"the local service did not start: exit status {process.wait()}")
    return process, ServiceConnection.from_json(line)
