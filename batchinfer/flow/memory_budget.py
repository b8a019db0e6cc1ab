"""How many bytes may be in memory at a time, however many attempts are in flight.

Rules:

1. Bytes are given in the order in which they were asked for: a small request never overtakes a
   large one, which else might wait for ever.
2. What is larger than the whole budget is let in alone.
3. A request for no bytes never waits.
4. What is leased (a result on its way to the disk) counts, but never blocks a request alone: one
   body may always be under way, so that nothing can wait for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Final, Self

import anyio

from batchinfer import defaults

DEFAULT_MEMORY_BYTES: Final = defaults.MEMORY_BYTES
"""The budget where none is given, in bytes."""
DEFAULT_MAX_REPLY_BYTES: Final = defaults.MAX_REPLY_BYTES
"""Bytes of one reply, at most, where nothing else is said."""


class MemoryBudget:
    """Shares out `total_bytes`."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.used_bytes = 0
        """Bytes given out."""
        self.leased_bytes = 0
        """How many of them are leased."""
        self._waiters: deque[_Waiter] = deque()

    def new_reservation(self) -> Reservation:
        """An empty reservation; `with` gives back at its end what was taken."""
        return Reservation(self)

    async def acquire(self, size: int) -> None:
        """Wait for so many bytes."""
        if not self._waiters and self._fits(size):
            self.used_bytes += size
            return
        waiter = _Waiter(size)
        self._waiters.append(waiter)
        try:
            await waiter.granted.wait()
        except BaseException:
            if waiter.granted.is_set():
                self.release(size)
            else:
                self._waiters.remove(waiter)
                self._wake_waiters()
            raise

    def release(self, size: int) -> None:
        """So many of the bytes taken are free again."""
        self.used_bytes -= size
        self._wake_waiters()

    def begin_lease(self, size: int) -> None:
        """So many of the bytes taken are leased from now on."""
        self.leased_bytes += size
        self._wake_waiters()

    def end_lease(self, size: int) -> None:
        """So many of the leased bytes are free again."""
        self.leased_bytes -= size
        self.release(size)

    def _fits(self, size: int) -> bool:
        return self.used_bytes == self.leased_bytes or self.used_bytes + size <= self.total_bytes

    def _wake_waiters(self) -> None:
        while self._waiters and self._fits(self._waiters[0].size):
            waiter = self._waiters.popleft()
            self.used_bytes += waiter.size
            waiter.granted.set()


class Reservation:
    """What one body takes up. Made by `MemoryBudget.new_reservation`."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: MemoryBudget) -> None:
        self.size = 0
        """Bytes taken."""
        self._budget = budget

    async def acquire(self, size: int) -> None:
        """Wait for so many bytes; once only, for holders that wait for more block each other."""
        if size > 0:
            await self._budget.acquire(size)
            self.size = size

    def shrink(self, size: int) -> None:
        """Keep so many bytes at most."""
        if size < self.size:
            freed, self.size = self.size - size, size
            self._budget.release(freed)

    def release(self) -> None:
        """Give everything back."""
        self.shrink(0)

    def lease(self, call_soon: Callable[[Callable[[], None]], object]) -> Lease | None:
        """Turn what is taken into a lease; None when nothing is. See `Lease` for `call_soon`."""
        if not self.size:
            return None
        size, self.size = self.size, 0
        return Lease(self._budget, size, call_soon)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class Lease:
    """Bytes that are free again when this object is forgotten. Made by `Reservation.lease`.

    Results are forgotten in threads, too: `call_soon` calls a function on the event loop from any.
    """

    def __init__(
        self, budget: MemoryBudget, size: int, call_soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self._call_soon = call_soon
        self._end = partial(budget.end_lease, size)
        budget.begin_lease(size)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # what another process holds takes up no memory here

    def __del__(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nothing waits any more
            self._call_soon(self._end)


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request that waits."""

    size: int
    granted: anyio.Event = field(default_factory=anyio.Event)
