"""How many bytes may be in memory at a time, however many attempts are in flight.

Rules:

1. Room is given in the order in which it was asked for: nothing small overtakes what is large,
   which else might wait for ever.
2. What is larger than the whole budget goes alone.
3. Who needs no room never waits.
4. What is leased (a result on its way to the disk) counts, but is waited for by nobody alone: one
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

MEMORY: Final = 256_000_000
"""The budget where none is given, in bytes."""
MAX_REPLY: Final = 64_000_000
"""Bytes of one reply, at most, where nothing else is said."""


class Cargo:
    """Shares out `budget` bytes."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.held = 0
        """Bytes given out."""
        self.leased = 0
        """How many of them are leased."""
        self._queue: deque[_Turn] = deque()

    def room(self) -> Room:
        """An empty room; `with` gives back at its end what was taken."""
        return Room(self)

    async def take(self, size: int) -> None:
        """Wait for so many bytes."""
        if not self._queue and self._fits(size):
            self.held += size
            return
        turn = _Turn(size)
        self._queue.append(turn)
        try:
            await turn.came.wait()
        except BaseException:
            if turn.came.is_set():
                self.give_back(size)
            else:
                self._queue.remove(turn)
                self._admit()
            raise

    def give_back(self, size: int) -> None:
        """So many of the bytes taken are free again."""
        self.held -= size
        self._admit()

    def begin_lease(self, size: int) -> None:
        """So many of the bytes taken are leased from now on."""
        self.leased += size
        self._admit()

    def end_lease(self, size: int) -> None:
        """So many of the leased bytes are free again."""
        self.leased -= size
        self.give_back(size)

    def _fits(self, size: int) -> bool:
        return self.held == self.leased or self.held + size <= self.budget

    def _admit(self) -> None:
        while self._queue and self._fits(self._queue[0].size):
            turn = self._queue.popleft()
            self.held += turn.size
            turn.came.set()


class Room:
    """What one body takes up. Made by `Cargo.room`."""

    def __init__(self, cargo: Cargo) -> None:
        self.size = 0
        """Bytes taken."""
        self._cargo = cargo

    async def take(self, size: int) -> None:
        """Wait for so many bytes; once, for who holds some and waits for more blocks himself."""
        if size > 0:
            await self._cargo.take(size)
            self.size = size

    def shrink(self, size: int) -> None:
        """Keep so many bytes at most."""
        if size < self.size:
            spare, self.size = self.size - size, size
            self._cargo.give_back(spare)

    def leave(self) -> None:
        """Give everything back."""
        self.shrink(0)

    def lease(self, soon: Callable[[Callable[[], None]], object]) -> Lease | None:
        """Turn what is taken into a lease; None when nothing is. See `Lease` for `soon`."""
        if not self.size:
            return None
        size, self.size = self.size, 0
        return Lease(self._cargo, size, soon)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()


class Lease:
    """Bytes that are free again when this object is forgotten. Made by `Room.lease`.

    Results are forgotten in threads, too: `soon` calls a function on the event loop from anywhere.
    """

    def __init__(
        self, cargo: Cargo, size: int, soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self._soon = soon
        self._end = partial(cargo.end_lease, size)
        cargo.begin_lease(size)

    def __del__(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._soon(self._end)


@dataclass(slots=True, eq=False)
class _Turn:
    """Somebody who waits."""

    size: int
    came: anyio.Event = field(default_factory=anyio.Event)
