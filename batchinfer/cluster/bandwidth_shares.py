"""Shares of the run's bandwidth: together, workers never send faster than the run may.

Rules:

1. A tenth is shared equally, so that a worker which gets an attempt can begin to send it; the rest
   goes by attempts in flight.
2. What one gets more another gave up first, and has confirmed it. Only a worker that is lost has
   its share taken without asking.
3. A worker gets no attempt before it has a share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

from batchinfer.cluster.worker_link import WorkerLink
from batchinfer.cluster.worker_transport import WorkerGone, WorkerRefusal

UPDATE_SECONDS: Final = 1.0
"""Seconds between two looks at who needs how much."""
EQUAL_PART: Final = 0.1
MIN_CHANGE: Final = 0.1
"""Shares are changed when one would be so much larger or smaller."""
CONFIRM_SECONDS: Final = 2.0
"""Seconds that a worker is given to confirm its share."""


class BandwidthShares:
    """Shares of `total` bytes per second."""

    def __init__(self, total: float) -> None:
        self._total = total
        self._shares: dict[WorkerLink, float] = {}
        """What each may send at most, as far as is known."""
        self._lock = asyncio.Lock()

    async def admit(self, link: WorkerLink) -> None:
        """Give a new worker its first share, as soon as others have given it up."""
        while not self._shares.get(link):
            async with self._lock:
                self._shares[link] = 0.0
                await self._share_out(dict.fromkeys(self._shares, self._total / len(self._shares)))
            if not self._shares.get(link):
                await asyncio.sleep(UPDATE_SECONDS)

    def remove(self, link: WorkerLink) -> None:
        """A worker is lost."""
        self._shares.pop(link, None)

    async def run(self) -> None:
        """Follow the attempts in flight, until cancelled."""
        while True:
            await asyncio.sleep(UPDATE_SECONDS)
            async with self._lock:
                wanted = divide(self._total, {link: link.in_flight for link in self._shares})
                if any(
                    abs(share - self._shares[link]) > MIN_CHANGE * self._shares[link]
                    for link, share in wanted.items()
                ):
                    await self._share_out(wanted)

    async def _share_out(self, wanted: dict[WorkerLink, float]) -> None:
        """Lower shares first, then raise others by what has become free."""
        lower = [link for link, share in wanted.items() if share < self._shares.get(link, 0.0)]
        await self._set_shares(lower, wanted)
        raises = {
            link: share - self._shares[link]
            for link, share in wanted.items()
            if link in self._shares and share > self._shares[link]
        }
        free = max(self._total - sum(self._shares.values()), 0.0)
        factor = min(free / max(sum(raises.values()), 1e-9), 1.0)
        await self._set_shares(
            raises, {link: self._shares[link] + factor * more for link, more in raises.items()}
        )

    async def _set_shares(
        self, links: Collection[WorkerLink], shares: dict[WorkerLink, float]
    ) -> None:
        await asyncio.gather(*(self._set_share(link, shares[link]) for link in links))

    async def _set_share(self, link: WorkerLink, share: float) -> None:
        before = self._shares.get(link)
        if before is None or share <= 0.0:
            return
        self._shares[link] = max(before, share)  # until it is known which of them holds
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await link.worker.limit_bandwidth(share)
        except (OSError, WorkerGone, WorkerRefusal):
            return
        if link in self._shares:  # not lost meanwhile
            self._shares[link] = share


def divide(total: float, in_flight: dict[WorkerLink, int]) -> dict[WorkerLink, float]:
    """The share of each worker, by its attempts in flight (rule 1)."""
    counts: Sequence[int] = list(in_flight.values())
    equal_part = EQUAL_PART if any(counts) else 1.0
    return {
        link: total * (equal_part / len(counts) + (1 - equal_part) * count / max(sum(counts), 1))
        for link, count in in_flight.items()
    }
