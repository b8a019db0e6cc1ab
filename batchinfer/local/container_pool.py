"""Containers of a service: how many calls run, how many wait, when the service is cold.

Rules (docs/platform.md, "Queues, cold starts and timeouts"): one call in each container at a time;
ten may wait for each; a service scaled to zero answers nothing until a container is up; a container
is held until its prediction ends, whether or not anybody still waits for the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_MAX_WAITING_PER_CONTAINER = 10


class QueueFull(Exception):  # noqa: N818 - reads as a fact
    """All containers are taken, and as many calls wait as may."""


class ContainerPool:
    """So many places, and the state of being cold or warm."""

    def __init__(
        self,
        number: int,
        *,
        clock: Callable[[], float],
        cold_start: float = 0.0,
        scale_to_zero: float | None = None,
    ) -> None:
        self._slots = asyncio.Semaphore(number)
        self._max_calls = number * (1 + _MAX_WAITING_PER_CONTAINER)
        self._active_calls = 0
        self._clock = clock
        self._cold_start = cold_start
        self._scale_to_zero = scale_to_zero
        self._warm_at: float | None = None
        self._last_used_at = 0.0

    def seconds_until_warm(self) -> float:
        """Seconds until the service is warm, 0.0 if it is. To ask a cold one starts it."""
        now = self._clock()
        if self._warm_at is not None and self._scale_to_zero is not None and not self._active_calls:
            idle = now - max(self._last_used_at, self._warm_at)
            if idle > self._scale_to_zero:
                self._warm_at = None
        if self._warm_at is None:
            self._warm_at = now + self._cold_start
        return max(0.0, self._warm_at - now)

    @asynccontextmanager
    async def acquire(self, *, queue: bool = True) -> AsyncIterator[None]:
        """Wait for a container and hold it.

        Raises QueueFull, unless `queue` is False: jobs wait in the cluster's own queue.
        """
        if queue and self._active_calls >= self._max_calls:
            raise QueueFull
        self._active_calls += 1
        try:
            async with self._slots:
                yield
        finally:
            self._active_calls -= 1
            self._last_used_at = self._clock()
