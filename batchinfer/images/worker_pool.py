"""Worker processes of `thumbnails`: started on demand, one image at a time, replaced when dead."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from batchinfer.images.image_info import ImageInfo, UnreadableImage
from batchinfer.images.thumbnail_maker import Thumbnail
from batchinfer.images.worker_protocol import decode_messages

_MAX_FAILED_STARTS: Final = 3
"""Workers in a row that die before they are ready: after that no more are started."""
_INHERITED_VARIABLES: Final = (
    "PATH",
    "LD_",
    "DYLD_",
    "LANG",
    "LC_",
    "TMP",
    "SYSTEMROOT",
    "COVERAGE_",
)
"""How names of environment variables begin that a worker may see."""
_READ_BYTES: Final = 1 << 20
_SIGALRM_EXIT_CODE: Final = -int(getattr(signal, "SIGALRM", 14))


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    ready: bool = False
    job_index: int | None = None
    """Of the job it is at."""
    deadline: float = 0.0
    """By the monotonic clock."""
    buffer: bytearray = field(default_factory=bytearray)

    def send(self, message: dict[str, Any]) -> None:
        """Send a job; that the worker is dead is noticed when it is read from."""
        stdin = self.process.stdin
        if stdin is not None:
            with suppress(OSError):
                stdin.write(json.dumps(message).encode() + b"\n")
                stdin.flush()

    def kill(self) -> int:
        """Kill it, and leave nothing of it; its exit code."""
        self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not sent will not be
                    pipe.close()
        return code


class WorkerPool:
    """At most `count` processes. Use it with `with`: they are gone afterwards."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._timeout = seconds
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._failed_jobs: dict[int, UnreadableImage] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in list(self._workers):
            self._drop(worker)
        self._selector.close()

    @property
    def has_capacity(self) -> bool:
        """Whether a job can be given."""
        busy = sum(worker.job_index is not None for worker in self._workers)
        return busy < self._count

    def submit(self, index: int, path: str, edge: int, quality: int) -> None:
        """Have a thumbnail made; `wait` returns it under `index`."""
        if self._failed_starts >= _MAX_FAILED_STARTS:
            self._failed_jobs[index] = UnreadableImage(
                "the processes that decode pictures die as they start"
            )
            return
        try:
            worker = self._find_idle() or self._start_worker()
        except OSError as error:
            self._failed_jobs[index] = UnreadableImage(
                f"no process to decode it could start: {error.strerror}"
            )
            return
        worker.job_index = index
        worker.deadline = time.monotonic() + self._timeout
        worker.send(
            {
                "path": os.path.abspath(path),  # noqa: PTH100 - a path's bytes stay as they are
                "edge": edge,
                "quality": quality,
                "seconds": self._timeout,
            }
        )

    def wait(self) -> dict[int, Thumbnail | UnreadableImage]:
        """What is done, by index; waits until something is. Empty only if nothing was submitted."""
        found: dict[int, Thumbnail | UnreadableImage] = {**self._failed_jobs}
        self._failed_jobs.clear()
        while not found and (busy := [one for one in self._workers if one.job_index is not None]):
            first = min(worker.deadline for worker in busy)
            for key, _ in self._selector.select(max(0.0, first - time.monotonic())):
                found.update(self._read_worker(key.data))
            for worker in busy:
                if worker.job_index is not None and worker.deadline <= time.monotonic():
                    found[worker.job_index] = self._timed_out()
                    self._drop(worker)
        return found

    def _read_worker(self, worker: _Worker) -> dict[int, Thumbnail | UnreadableImage]:
        stdout = worker.process.stdout
        data = os.read(stdout.fileno(), _READ_BYTES) if stdout is not None else b""
        worker.buffer += data
        found: dict[int, Thumbnail | UnreadableImage] = {}
        try:
            for head, content in decode_messages(worker.buffer):
                if "ready" in head:
                    worker.ready, self._failed_starts = True, 0
                elif worker.job_index is not None:
                    found[worker.job_index] = _parse_result(head, content)
                    worker.job_index = None
        except (ValueError, KeyError, TypeError):
            data = b""
        if not data:
            index, worker.job_index = worker.job_index, None
            self._failed_starts += not worker.ready
            code = self._drop(worker)
            if index is not None:
                found[index] = (
                    self._timed_out()
                    if code == _SIGALRM_EXIT_CODE
                    else UnreadableImage("the process that decoded it died")
                )
        return found

    def _timed_out(self) -> UnreadableImage:
        return UnreadableImage(f"decoding it took longer than {self._timeout:g} seconds")

    def _find_idle(self) -> _Worker | None:
        for worker in [one for one in self._workers if one.job_index is None]:
            if worker.process.poll() is None:
                return worker
            self._drop(worker)  # killed between two images: no image is at fault
        return None

    def _start_worker(self) -> _Worker:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "batchinfer.images.thumbnail_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_worker_environment(),
            start_new_session=True,  # Ctrl-C is for this process, which then ends them
        )
        worker = _Worker(process)
        self._workers.append(worker)
        if process.stdout is not None:
            self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    def _drop(self, worker: _Worker) -> int:
        if worker.process.stdout is not None:
            self._selector.unregister(worker.process.stdout)
        self._workers.remove(worker)
        return worker.kill()


def _parse_result(head: dict[str, Any], content: bytes) -> Thumbnail | UnreadableImage:
    if "reason" in head:
        return UnreadableImage(head["reason"])
    return Thumbnail(
        content, head["media_type"], head["width"], head["height"], ImageInfo(**head["facts"])
    )


def _worker_environment() -> dict[str, str]:
    """What a worker needs to know, and no secret; it finds what this process finds to import."""
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(dict.fromkeys([here, *filter(None, sys.path)]))
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(_INHERITED_VARIABLES)
    }
    return {**kept, "PYTHONPATH": path}
