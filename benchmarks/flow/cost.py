"""What engine and flow control cost an item, alone: `python -m benchmarks.flow.cost`.

The backend answers without a network and the store forgets everything, so that what is left is the
pipeline itself. `bare` are as many tasks that only call the backend. Printed
are microseconds of CPU an item, the least of several rounds, for a fixed limit (nothing is learned)
and for the adaptive one (each answer is a sample, with the seconds it took on the server).
"""

# ruff: noqa: ARG002 - the arguments are those of the ports

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio

from batchinfer.domain import Counts, Item, Outcome, Record, Reply, State
from batchinfer.engine import Engine, RunPolicy
from batchinfer.flow import AdaptiveLimit, ConcurrencyLimit, FixedLimit, Gate
from batchinfer.ports import AddResult, Event, LimitChanged

IN_FLIGHT = (64, 500, 2_000)
ITEMS = 20_000
ROUNDS = 3
ANSWERS_PER_TURN = 16
SERVED_SHARE = 0.4
"""Of the time that a call takes, how much is said to be on the server."""


@dataclass(slots=True)
class Forgetful:
    """A queue and a sink that keep nothing of what is done; each item is handed out once."""

    items: list[Item]
    _handed: int = 0

    async def add(self, items: Sequence[Item], maybe_in_flight: object = ()) -> AddResult:
        """See `WorkQueue`; nothing is added."""
        raise NotImplementedError

    async def fetch_pending(self, after: int, limit: int, due: float) -> Sequence[Item]:
        """See `WorkQueue`."""
        await anyio.lowlevel.checkpoint()
        page = self.items[self._handed : self._handed + limit]
        self._handed += len(page)
        return page

    async def fetch_next_retry_at(self, after: float) -> float | None:
        """See `WorkQueue`."""
        await anyio.lowlevel.checkpoint()

    async def clamp_future_times(self, now: float) -> None:
        """See `WorkQueue`."""
        await anyio.lowlevel.checkpoint()

    async def mark_source_complete(self) -> None:
        """See `WorkQueue`."""
        await anyio.lowlevel.checkpoint()

    async def commit_records(self, records: Sequence[Record]) -> Sequence[State | None]:
        """See `RecordSink`."""
        await anyio.lowlevel.checkpoint()
        return [State.PENDING] * len(records)

    async def save_limit_changes(self, changes: Sequence[LimitChanged]) -> None:
        """See `RecordSink`."""
        await anyio.lowlevel.checkpoint()

    async def fetch_counts(self) -> Counts:
        """See `RecordSink`."""
        await anyio.lowlevel.checkpoint()
        return Counts(pending=len(self.items))


class Trickle:
    """A backend that answers in order, a few calls in each turn of the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop = asyncio.get_running_loop()

    async def attempt(self, item: Item, number: int) -> Outcome:
        """See `Backend`."""
        began, answered = self._loop.time(), self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._answer_some)
        self._waiting.append(answered)
        await answered
        return Reply(server_seconds=SERVED_SHARE * (self._loop.time() - began))

    def _answer_some(self) -> None:
        for _ in range(min(len(self._waiting), ANSWERS_PER_TURN)):
            answered = self._waiting.popleft()
            if not answered.done():  # else it was cut off
                answered.set_result(None)
        if self._waiting:
            self._loop.call_soon(self._answer_some)


class Silent:
    """An observer that ignores everything."""

    def notify(self, event: Event) -> None:
        """See `Observer`."""


async def run_bare(items: list[Item], in_flight: int) -> None:
    """Only call the backend, so many at a time."""
    backend, todo = Trickle(), iter(items)

    async def work() -> None:
        for item in todo:
            await backend.attempt(item, 1)

    await asyncio.gather(*(work() for _ in range(in_flight)))


def engine_with(make_limit: Callable[[int], ConcurrencyLimit]) -> Callable[..., object]:
    """A run of the engine with that limit."""

    async def run(items: list[Item], in_flight: int) -> None:
        store = Forgetful(items)
        engine = Engine(
            queue=store,
            sink=store,
            gate=Gate(make_limit(in_flight)),
            observer=Silent(),
            backend=Trickle(),
            policy=RunPolicy(),
        )
        progress = await engine.run()
        if progress.counts.succeeded != len(items):
            raise AssertionError(f"not all items came back: {progress}")

    return run


KINDS: dict[str, Callable[..., object]] = {
    "bare": run_bare,
    "fixed": engine_with(FixedLimit),
    "adaptive": engine_with(lambda in_flight: AdaptiveLimit(in_flight, in_flight, in_flight)),
}


def measure(kind: str, in_flight: int, count: int) -> float:
    """Microseconds of CPU an item."""
    items = [Item(f"item-{n}", position=n) for n in range(1, count + 1)]
    gc.collect()
    began = time.process_time()
    asyncio.run(KINDS[kind](items, in_flight))  # type: ignore[arg-type]
    return (time.process_time() - began) / count * 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flow.cost", description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS, metavar="N")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    parser.add_argument("--in-flight", type=int, nargs="*", default=IN_FLIGHT, metavar="N")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    given = parser.parse_args(arguments)
    print(f"us of CPU an item, Python {sys.version.split()[0]}")
    print("in flight", *(f"{kind:>10}" for kind in given.kinds))
    for in_flight in given.in_flight:
        rounds = [
            [measure(kind, in_flight, given.items) for kind in given.kinds]
            for _ in range(given.rounds)
        ]
        least = [min(times) for times in zip(*rounds, strict=True)]
        print(f"{in_flight:>9}", *(f"{us:>10.1f}" for us in least), flush=True)


if __name__ == "__main__":
    main()
