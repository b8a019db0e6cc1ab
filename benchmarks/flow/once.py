"""A store for simulations in sync mode, which costs nothing where many items back off."""

from __future__ import annotations

from collections.abc import Sequence

from anyio.lowlevel import checkpoint

from batchinfer.domain import Item
from batchinfer.testing import MemoryStore


class OnceStore(MemoryStore):
    """Hands out each item once: what is to be tried again, the engine remembers by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._handed = 0

    async def fetch_pending(self, after: int, limit: int, due: float) -> Sequence[Item]:
        """The next page, whatever was asked for."""
        await checkpoint()
        del after, due
        positions = range(self._handed + 1, len(self._items) + 1)[:limit]
        self._handed += len(positions)
        return [self._items[position] for position in positions]

    async def fetch_next_retry_at(self, after: float) -> None:
        """Nothing is due that was not handed out."""
        await checkpoint()
        del after
