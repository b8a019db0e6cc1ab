"""Items that wait for their next attempt, whichever service makes it."""

from __future__ import annotations

from collections import deque

from batchinfer.engine.attempt_runner import WorkItem


class WaitingItems:
    """Two queues: fresh items and those that were put back, and retries that must be paid for."""

    def __init__(self) -> None:
        self.ready: deque[WorkItem] = deque()
        self.retries: deque[WorkItem] = deque()
        """Retries after trouble of the service, which the budget has to pay for."""

    def __len__(self) -> int:
        return len(self.ready) + len(self.retries)

    def clear(self) -> None:
        """Forget all: the run stops."""
        self.ready.clear()
        self.retries.clear()
