"""The worker processes of `thumbnails`: started when needed, given one picture each, replaced."""

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

from batchinfer.images.facts import Facts, Unseen
from batchinfer.images.messages import messages
from batchinfer.images.shrinking import Thumbnail

_MOST_STILLBORN: Final = 3
"""Workers in a row that die before they are ready: after that no more are started."""
_INHERITED: Final = ("PATH", "LD_", "DYLD_", "LANG", "LC_", "TMP", "SYSTEMROOT", "COVERAGE_")
"""How names of environment variables begin that a worker may see."""
_READ: Final = 1 << 20
_ALARM: Final = -int(getattr(signal, "SIGALRM", 14))


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    ready: bool = False
    place: int | None = None
    """Of the job it is at."""
    deadline: float = 0.0
    """By the monotonic clock."""
    heard: bytearray = field(default_factory=bytearray)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a job; a worker that is dead is noticed when it is listened to."""
        stdin = self.process.stdin
        if stdin is not None:
            with suppress(OSError):
                stdin.write(json.dumps(message).encode() + b"\n")
                stdin.flush()

    def end(self) -> int:
        """Kill it, and leave nothing of it; its exit code."""
        self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not sent will not be
                    pipe.close()
        return code


class Workers:
    """At most `count` processes. Use it with `with`: they are gone afterwards."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._seconds = seconds
        self._selector = selectors.DefaultSelector()
        self._all: list[_Worker] = []
        self._stillborn = 0
        self._lost: dict[int, Unseen] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in list(self._all):
            self._drop(worker)
        self._selector.close()

    @property
    def free(self) -> bool:
        """Whether a job can be given."""
        busy = sum(worker.place is not None for worker in self._all)
        return busy < self._count

    def give(self, place: int, path: str, edge: int, quality: int) -> None:
        """Have a thumbnail made; `place` is what `wait` calls it."""
        if self._stillborn >= _MOST_STILLBORN:
            self._lost[place] = Unseen("the processes that decode pictures die as they start")
            return
        try:
            worker = self._idle() or self._started()
        except OSError as error:
            self._lost[place] = Unseen(f"no process to decode it could start: {error.strerror}")
            return
        worker.place = place
        worker.deadline = time.monotonic() + self._seconds
        worker.tell(
            {
                "path": os.path.abspath(path),  # noqa: PTH100 - a path's bytes stay as they are
                "edge": edge,
                "quality": quality,
                "seconds": self._seconds,
            }
        )

    def wait(self) -> dict[int, Thumbnail | Unseen]:
        """What is done, by place; waits until something is. Empty only if nothing was given."""
        found: dict[int, Thumbnail | Unseen] = {**self._lost}
        self._lost.clear()
        while not found and (busy := [one for one in self._all if one.place is not None]):
            first = min(worker.deadline for worker in busy)
            for key, _ in self._selector.select(max(0.0, first - time.monotonic())):
                found.update(self._heard(key.data))
            for worker in busy:
                if worker.place is not None and worker.deadline <= time.monotonic():
                    found[worker.place] = self._late()
                    self._drop(worker)
        return found

    def _heard(self, worker: _Worker) -> dict[int, Thumbnail | Unseen]:
        stdout = worker.process.stdout
        data = os.read(stdout.fileno(), _READ) if stdout is not None else b""
        worker.heard += data
        found: dict[int, Thumbnail | Unseen] = {}
        try:
            for head, content in messages(worker.heard):
                if "ready" in head:
                    worker.ready, self._stillborn = True, 0
                elif worker.place is not None:
                    found[worker.place] = _outcome(head, content)
                    worker.place = None
        except (ValueError, KeyError, TypeError):
            data = b""
        if not data:
            place, worker.place = worker.place, None
            self._stillborn += not worker.ready
            code = self._drop(worker)
            if place is not None:
                found[place] = (
                    self._late() if code == _ALARM else Unseen("the process that decoded it died")
                )
        return found

    def _late(self) -> Unseen:
        return Unseen(f"decoding it took longer than {self._seconds:g} seconds")

    def _idle(self) -> _Worker | None:
        for worker in [one for one in self._all if one.place is None]:
            if worker.process.poll() is None:
                return worker
            self._drop(worker)  # killed between two pictures: that is nobody's fault
        return None

    def _started(self) -> _Worker:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "batchinfer.images.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for this process, which then ends them
        )
        worker = _Worker(process)
        self._all.append(worker)
        if process.stdout is not None:
            self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    def _drop(self, worker: _Worker) -> int:
        if worker.process.stdout is not None:
            self._selector.unregister(worker.process.stdout)
        self._all.remove(worker)
        return worker.end()


def _outcome(head: dict[str, Any], content: bytes) -> Thumbnail | Unseen:
    if "reason" in head:
        return Unseen(head["reason"])
    return Thumbnail(
        content, head["media_type"], head["width"], head["height"], Facts(**head["facts"])
    )


def _environment() -> dict[str, str]:
    """What a worker needs to know, and no secret; it finds what this process finds to import."""
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(dict.fromkeys([here, *filter(None, sys.path)]))
    kept = {name: value for name, value in os.environ.items() if name.startswith(_INHERITED)}
    return {**kept, "PYTHONPATH": path}
