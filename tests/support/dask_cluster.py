"""A Dask cluster as a user starts one: `dask scheduler` and `dask worker`, each a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support.cli import start

PATIENCE = 60.0
"""Seconds for what happens at once, on a machine that is busy with other things."""


class DaskCluster:
    """Its processes; whatever they write goes to files in `folder`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        """Logs, the scheduler file and the workers' scratch folders."""
        self._environment = {**os.environ, **environment}
        self._scheduler_file = folder / "scheduler.json"
        self._port = self._dashboard_port = 0
        self._started = 0
        self._scheduler: subprocess.Popen[bytes]
        self._workers: list[subprocess.Popen[bytes]] = []
        self.start_scheduler()

    @property
    def address(self) -> str:
        """For `--scheduler`."""
        return f"tcp://127.0.0.1:{self._port}"

    @property
    def scheduler_file(self) -> Path:
        """For `--scheduler-file`."""
        return self._scheduler_file

    @property
    def log(self) -> bytes:
        """Everything that was written by all processes so far."""
        return b"".join(path.read_bytes() for path in sorted(self.folder.glob("*.log")))

    # The scheduler --------------------------------------------------------------------------------

    def start_scheduler(self) -> None:
        """Start it, at the address that it had."""
        self._scheduler_file.unlink(missing_ok=True)
        self._scheduler = self._start(
            "scheduler",
            *("--host", "127.0.0.1", "--port", self._port),
            *("--dashboard-address", f"127.0.0.1:{self._dashboard_port}"),
            *("--scheduler-file", self._scheduler_file),
        )
        self._wait(self._scheduler_file.exists, self._scheduler)
        self._wait(lambda: self._read_scheduler_file() is not None, self._scheduler)
        described = self._read_scheduler_file() or {}
        self._port = int(described["address"].rpartition(":")[2])
        self._dashboard_port = described["services"]["dashboard"]

    def kill_scheduler(self) -> None:
        """End it at once (SIGKILL)."""
        self._scheduler.kill()
        self._scheduler.wait()

    def get(self, path: str) -> bytes:
        """A page of the scheduler's web server, whatever its status is."""
        url = f"http://127.0.0.1:{self._dashboard_port}{path}"
        request = urllib.request.Request(url)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            return bytes(error.read())

    def _read_scheduler_file(self) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self._scheduler_file.read_text()))
        except (OSError, ValueError):
            return None

    # Workers --------------------------------------------------------------------------------------

    @property
    def worker_processes(self) -> list[subprocess.Popen[bytes]]:
        """Those that were started, and have not ended."""
        self._workers = [process for process in self._workers if process.poll() is None]
        return list(self._workers)

    def start_worker(self, *, nanny: bool = False, folder: Path | None = None) -> None:
        """Start one; `folder`: where it runs."""
        self._workers.append(
            self._start(
                "worker",
                *(self.address, "--host", "127.0.0.1", "--nthreads", 1, "--no-dashboard"),
                *("--nanny" if nanny else "--no-nanny", "--local-directory", self.folder),
                folder=folder,
            )
        )

    def keep_workers(self, number: int) -> None:
        """Start what is missing, as a batch system does, and wait until all have joined."""
        for _ in range(number - len(self.worker_processes)):
            self.start_worker()
        self.wait_for_workers(number)

    def wait_for_workers(self, number: int) -> None:
        """Until the scheduler knows so many."""
        self._wait(lambda: self.count_workers() >= number, self._scheduler)

    def count_workers(self) -> int:
        """Those that the scheduler knows."""
        return int(json.loads(self.get("/json/counts.json"))["workers"])

    def kill_worker(self, index: int) -> None:
        """End one at once (SIGKILL); with a nanny, the worker below it, which it starts again."""
        process = self.worker_processes[index]
        children = list_children(process.pid)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        if not children:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End everything at once."""
        for process in [*self._workers, self._scheduler]:
            children = list_children(process.pid)
            process.kill()
            process.wait()
            for pid in children:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _start(
        self, kind: str, *arguments: object, folder: Path | None = None
    ) -> subprocess.Popen[bytes]:
        self._started += 1
        with (self.folder / f"{kind}-{self._started}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", kind, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder or self.folder,
                env=self._environment,
            )

    def _wait(self, condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            log = self.log.decode(errors="replace")
            assert process.poll() is None, f"it has ended:\n{log}"
            assert time.monotonic() < end, f"it did not happen in time:\n{log}"
            time.sleep(0.02)


@contextmanager
def dask_cluster(
    folder: Path, workers: int = 0, environment: Mapping[str, str] | None = None
) -> Iterator[DaskCluster]:
    """A cluster for the time of a block, with so many workers (without nannies) to begin with."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = DaskCluster(folder, environment or {})
    try:
        cluster.keep_workers(workers)
        yield cluster
    finally:
        cluster.kill()


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command that is under way; in the end it is gone, whatever happened."""
    with start(*arguments) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_end(process: subprocess.Popen[str], code: int = 0) -> None:
    """Until a command has ended by itself, with that exit code."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"


def list_children(pid: int) -> list[int]:
    """Processes that `multiprocessing` has started in this one: the worker of a nanny."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        below = {child for task in tasks for child in (task / "children").read_text().split()}
        return [
            int(child)
            for child in sorted(below)
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
    except OSError:
        return []
