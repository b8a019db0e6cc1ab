"""What happened, for tests and the curious: predictions that ran, events that were lost.

Each line is written with one `write`, so that a kill leaves whole lines.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from threading import Lock
from typing import Any


class Journal:
    """Counts, and appends one JSON line for each thing counted to a file, if there is one."""

    def __init__(self, path: str | None) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._fd = None if path is None else os.open(path, flags, 0o644)
        self._lock = Lock()
        self.counts: Counter[str] = Counter()

    def record(self, event: str, *, mode: str, name: str, sha256: str | None = None) -> None:
        """Write that it happened: `started`, `finished`, `killed`, `event_lost` ..."""
        with self._lock:
            self.counts[f"{mode}_{event}"] += 1
        if self._fd is not None:
            line = {"time": time.time(), "event": event, "mode": mode, "name": name}
            os.write(self._fd, json.dumps(line | {"sha256": sha256}).encode() + b"\n")

    def close(self) -> None:
        """Write no more."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal, oldest first; none if nothing happened yet."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines()]
