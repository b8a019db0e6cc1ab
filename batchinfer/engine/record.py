"""The one writer: whatever happened passes through here before anybody may count on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from batchinfer.domain import Attempt, Counts, Failure, Record, State
from batchinfer.ports import Store, TooLarge
from batchinfer.retry import Finish, Retry

PILE = 256
"""Records in one transaction at most, and handed over but not yet written at most."""


class News:
    """Wakes whoever waits for something to have changed; no wake-up is ever lost.

    Take `count`, look at the world, and wait `beyond` that count.
    """

    def __init__(self) -> None:
        self.count = 0
        self._next = anyio.Event()

    def tell(self) -> None:
        """Something has changed."""
        self.count += 1
        self._next.set()
        self._next = anyio.Event()

    async def beyond(self, count: int) -> None:
        """Wait until something has changed since `count`."""
        while self.count <= count:
            await self._next.wait()


class Recorder:
    """Commits records in piles (group commit without a timer); keeps the run's durable counts."""

    def __init__(self, store: Store, news: News) -> None:
        self.news = news
        self.alive: set[int] = set()
        """Positions in the window: from being fed until their record is durable."""
        self.failed_here: Counter[str] = Counter()
        """Items failed in this process, by code."""
        self.succeeded_here = 0
        self._store = store
        self._states: Counter[State] = Counter()
        self._send, self._receive = anyio.create_memory_object_stream[Record](PILE)
        self._handed = self._written = 0

    @property
    def counts(self) -> Counts:
        """Items by state, as committed."""
        return Counts(*(self._states[state] for state in State))

    async def recount(self) -> None:
        """Ask the store for the counts: at the start, or when it was changed past this recorder."""
        counts = await self._store.counts()
        self._states = Counter({state: getattr(counts, state) for state in State})
        self.news.tell()

    def added(self, new: int) -> None:
        """Items were added to the store."""
        self._states[State.PENDING] += new
        self.news.tell()

    async def hand(self, record: Record) -> None:
        """Hand a record over; waits while too much is unwritten."""
        self._handed += 1
        try:
            self._send.send_nowait(record)
        except anyio.WouldBlock:
            await self._send.send(record)

    async def settle(self) -> None:
        """Wait until all that was handed over is durable."""
        while self._written < self._handed:
            await self.news.beyond(self.news.count)

    def close(self) -> None:
        """Nothing more will be handed over; `write` comes to its end after the rest."""
        self._send.close()

    def end(self) -> None:
        """Write no more; whoever still hands something over is told (BrokenResourceError)."""
        self._receive.close()

    async def write(self) -> Sequence[Record]:
        """Write the next pile that changes anything; its records that counted. None: the end."""
        counted: Sequence[Record] = ()
        while not counted and (pile := await _next_pile(self._receive)):
            try:
                before = await self._store.record(pile)
            except TooLarge as error:
                pile = [cut_down(one) if one.position in error.positions else one for one in pile]
                before = await self._store.record(pile)
            counted = [
                self._moved(record, was)
                for record, was in zip(pile, before, strict=True)
                if was is not None
            ]
            self._written += len(pile)
            self.alive.difference_update(r.position for r in pile if r.state is not State.PENDING)
            self.news.tell()
        return counted

    def _moved(self, record: Record, was: State) -> Record:
        self._states[was] -= 1
        self._states[record.state] += 1
        if record.state is State.SUCCEEDED:
            self.succeeded_here += 1
        elif record.state is State.FAILED and isinstance(record.attempt.outcome, Failure):
            self.failed_here[record.attempt.outcome.code] += 1
        return record


def record_of(position: int, attempt: Attempt, decision: Finish | Retry, now: float) -> Record:
    """The record of an attempt and of what was decided after it."""
    if isinstance(decision, Finish):
        return Record(position, attempt, decision.state)
    return Record(position, attempt, State.PENDING, now + decision.delay)


def cut_down(record: Record) -> Record:
    """What is recorded of a reply that no store can hold: a failure of its item."""
    outcome = Failure(
        "reply_too_large",
        "The reply, or its log, is larger than a run directory can hold. Let the model return less "
        "(a file instead of text, fewer or smaller objects), then `batchinfer retry`.",
        inputs=getattr(record.attempt.outcome, "inputs", ()),
    )
    return replace(record, attempt=replace(record.attempt, outcome=outcome), state=State.FAILED)


async def _next_pile(receive: MemoryObjectReceiveStream[Record]) -> Sequence[Record]:
    """One record, and what has piled up behind it; none at the end of the stream."""
    pile: list[Record] = []
    try:
        pile.append(await receive.receive())
        while len(pile) < PILE:
            pile.append(receive.receive_nowait())
    except (anyio.WouldBlock, anyio.EndOfStream):
        pass
    return pile
