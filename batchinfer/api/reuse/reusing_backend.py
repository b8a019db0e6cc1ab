"""A backend that looks whether an earlier run has the answer, before another one makes a call."""

from __future__ import annotations

from functools import partial
from typing import Final

from batchinfer.api.reuse.earlier_results import EarlierResults
from batchinfer.backends.thread_pool import WORK_TIMEOUT_SECONDS, DaemonThreadPool
from batchinfer.domain import Item, Outcome, Reply, Submitted
from batchinfer.ports import Backend, CallClock, HoldingBackend

MAX_LOOKUP_THREADS: Final = 8


class ReusingBackend:
    """The port `Backend`: takes over what can be, and leaves the rest to another one.

    Only the first attempt at an item is looked up: who asks for another one wants a call.
    """

    def __init__(self, backend: Backend, earlier: EarlierResults) -> None:
        self._backend, self._earlier = backend, earlier
        self._thread_pool = DaemonThreadPool(MAX_LOOKUP_THREADS)

    async def attempt(self, item: Item, number: int) -> Outcome | Submitted:
        """See `ports.Backend`."""
        return await self._find_reply(item, number) or await self._backend.attempt(item, number)

    async def _find_reply(self, item: Item, number: int) -> Reply | None:
        if number > 1:
            return None
        try:
            return await self._thread_pool.run(
                partial(self._earlier.find_reply, item), WORK_TIMEOUT_SECONDS
            )
        except (TimeoutError, OSError, MemoryError, RuntimeError):
            return None  # the call will say what is the matter


class HoldingReusingBackend(ReusingBackend):
    """The same of a backend whose calls may be on hold."""

    def __init__(self, backend: HoldingBackend, earlier: EarlierResults) -> None:
        super().__init__(backend, earlier)
        self._holding_backend = backend

    async def attempt_timed(self, item: Item, number: int, clock: CallClock) -> Outcome | Submitted:
        """See `ports.HoldingBackend`."""
        if reply := await self._find_reply(item, number):
            return reply
        return await self._holding_backend.attempt_timed(item, number, clock)


def reuse_results(backend: Backend, earlier: EarlierResults | None) -> Backend:
    """The backend, which is asked only for what no earlier run has."""
    if earlier is None or earlier.is_empty:
        return backend
    if isinstance(backend, HoldingBackend):
        return HoldingReusingBackend(backend, earlier)
    return ReusingBackend(backend, earlier)
