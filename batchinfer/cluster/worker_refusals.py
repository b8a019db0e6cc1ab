"""Workers that are there and can take no part, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from batchinfer.ports import Notice, Observer

REOPEN_SECONDS: Final = 30.0
"""Seconds after which a worker that refused is asked again."""
MAX_LISTED_REASONS: Final = 3


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: str
    ask_again_at: float


class WorkerRefusals:
    """What workers refuse for, by their addresses; each reason is reported once."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._refusals: dict[str, _Refusal] = {}
        self._noticed: set[str] = set()

    def add(self, address: str, reason: str) -> None:
        """A worker refuses, or cannot be reached."""
        self._refusals[address] = _Refusal(reason, self._loop.time() + REOPEN_SECONDS)
        if reason not in self._noticed:
            self._noticed.add(reason)
            self._observer.notify(
                Notice("worker_refused", f"The worker {address} gets no items: {reason}.")
            )

    def remove(self, address: str) -> None:
        """The worker takes part."""
        self._refusals.pop(address, None)

    def keep(self, listed: Collection[str]) -> None:
        """Forget those that the scheduler does not know any more."""
        for address in self._refusals.keys() - set(listed):
            del self._refusals[address]

    def may_ask(self, address: str) -> bool:
        """Whether this worker may be opened now."""
        refusal = self._refusals.get(address)
        return refusal is None or self._loop.time() >= refusal.ask_again_at

    def include_all(self, listed: Collection[str]) -> bool:
        """Whether there are workers, and all of them refuse."""
        return bool(listed) and self._refusals.keys() >= set(listed)

    def describe(self) -> str:
        """Why workers refuse, each reason once; empty: none does."""
        reasons = sorted({refusal.reason for refusal in self._refusals.values()})
        return "; ".join(reasons[:MAX_LISTED_REASONS])
