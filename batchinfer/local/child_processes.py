"""The processes in which predictions run: they end together, also one that is just being started.

A thread notes in the journal that its prediction has started, then starts the process; a stop that
comes in between would not know of it, and the service would wait for the model to end by itself.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TypeAlias

ChildProcess: TypeAlias = "subprocess.Popen[bytes]"


class ChildProcesses:
    """Processes that run, each ended by `end` when all are stopped. For many threads."""

    def __init__(self, kill: Callable[[ChildProcess], None]) -> None:
        self._kill = kill
        self._lock = Lock()
        self._running: set[ChildProcess] = set()
        self._stopped = False

    @contextmanager
    def track(self, process: ChildProcess) -> Iterator[None]:
        """One that was started, for as long as the block lasts."""
        with self._lock:
            self._running.add(process)
            stopped = self._stopped
        try:
            if stopped:
                self._kill(process)
            yield
        finally:
            with self._lock:
                self._running.discard(process)

    def stop(self) -> None:
        """End all that run, and whatever is started from now on."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            self._kill(process)
