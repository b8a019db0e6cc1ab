"""Memory for large bodies, which the next body has again when one was sent.

It is the system's own (malloc would keep what it is given back). New memory is cleared by the
system page by page, which takes half as long as to read, encode and hash what is put there.
"""

from __future__ import annotations

import mmap
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Final

from batchinfer.flow.memory_budget import MemoryBudget

IDLE_SECONDS: Final = 2.0
"""Seconds after which the system has back what no body needed."""
_SIZES_PER_DOUBLING: Final = 8
"""Memory comes in so many sizes between one power of two and the next: an eighth may be unused."""


class BodyMemoryPool:
    """Lends memory that `budget` has given out. For any thread.

    What it gets back it keeps for `idle_seconds`, if the budget has no other use for it.
    """

    def __init__(self, budget: MemoryBudget, idle_seconds: float = IDLE_SECONDS) -> None:
        self._budget = budget
        self._idle_seconds = idle_seconds
        self._idle: deque[tuple[float, mmap.mmap]] = deque()
        """Since when; the one that was used last at the end, for it may be in the cache."""
        self._idle_bytes = 0
        self._lock = threading.Lock()

    def lend(self, size: int) -> BodyMemory:
        """Memory of `size` bytes or a little more; what they are is left to chance."""
        size = _round_up(size)
        with self._lock:
            memory = self._take_idle(size)
            self._drop_idle()
        return BodyMemory(memory or _map_memory(size), self)

    def keep(self, memory: mmap.mmap) -> None:
        """For BodyMemory: it is not needed any more, and the budget knows."""
        with self._lock:
            self._idle_bytes += len(memory)
            self._idle.append((time.monotonic(), memory))
            self._drop_idle()

    def _take_idle(self, size: int) -> mmap.mmap | None:
        for index in range(len(self._idle) - 1, -1, -1):
            memory = self._idle[index][1]
            if len(memory) == size:
                del self._idle[index]
                self._idle_bytes -= size
                return memory
        return None

    def _drop_idle(self) -> None:
        """Let the system have back what is too much, and what was idle for long."""
        max_bytes = self._budget.total_bytes - self._budget.used_bytes
        oldest = time.monotonic() - self._idle_seconds
        while self._idle and (self._idle_bytes > max_bytes or self._idle[0][0] < oldest):
            self._idle_bytes -= len(self._idle.popleft()[1])


class BodyMemory:
    """Memory of one body. Made by `BodyMemoryPool.lend`.

    Whoever has sent the body gives it back; else it is the system's when nobody knows of it.
    """

    __slots__ = ("_memory", "_pool")

    def __init__(self, memory: mmap.mmap, pool: BodyMemoryPool) -> None:
        self._memory: mmap.mmap | None = memory
        self._pool = pool

    @property
    def view(self) -> memoryview:
        """All of it, to be read and written; nothing when it was given back."""
        return memoryview(b"" if self._memory is None else self._memory)

    def give_back(self) -> None:
        """Let another body have it, unless somebody still has a view of it.

        A view of a body that is only thought to be sent must never show another one. What cannot
        be resized has a view, says Python.
        """
        memory, self._memory = self._memory, None
        if memory is None:
            return
        try:
            memory.resize(len(memory))
        except (BufferError, OSError, SystemError, ValueError):  # a view; a system that never does
            return
        self._pool.keep(memory)


def _round_up(size: int) -> int:
    step = max(mmap.PAGESIZE, (1 << size.bit_length()) // (2 * _SIZES_PER_DOUBLING))
    return -(-size // step) * step


def _map_memory(size: int) -> mmap.mmap:
    """Memory of the system's. Private and in huge pages, where there are any, to fill it takes half
    the time.
    """  # noqa: D205 - one thought
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
