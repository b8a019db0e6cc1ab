"""How many bytes may be in memory at a time, however many attempts are in flight.

Rules:

1. Room is given in the order in which it was asked for: nothing small overtakes what is large,
   which else might wait for ever.
2. What is larger than the whole budget goes alone.
3. Who needs no room never waits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
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

    def _fits(self, size: int) -> bool:
        return self.held == 0 or self.held + size <= self.budget

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()


@dataclass(slots=True, eq=False)
class _Turn:
    """Somebody who waits."""

    size: int
    came: anyio.Event = field(default_factory=anyio.Event)
