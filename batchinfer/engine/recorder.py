"""The one writer: whatever happened passes through here before anybody may count on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from batchinfer.domain import Attempt, Counts, Failure, Item, OpenItem, Record, State
from batchinfer.ports import RecordsTooLarge, Store
from batchinfer.retry_policy import Finish, Retry

MAX_BATCH_RECORDS = 256
"""Records in one transaction at most, and handed over but not yet written at most."""


class ChangeNotifier:
    """Wakes whoever waits for something to have changed; no wake-up is ever lost.

    Take `count`, look at the world, and wait `beyond` that count.
    """

    def __init__(self) -> None:
        self.count = 0
        self._event = anyio.Event()

    def notify(self) -> None:
        """Something has changed."""
        self.count += 1
        self._event.set()
        self._event = anyio.Event()

    async def wait_changed(self, count: int) -> None:
        """Wait until something has changed since `count`."""
        while self.count <= count:
            await self._event.wait()


class Recorder:
    """Commits records in piles (group commit without a timer); keeps the run's durable counts."""

    def __init__(self, store: Store, changes: ChangeNotifier) -> None:
        self.changes = changes
        self.window: set[int] = set()
        """Positions in the window: from being fed until their record is durable."""
        self.failed_by_code: Counter[str] = Counter()
        """Items failed in this process, by code."""
        self.succeeded_count = 0
        self._store = store
        self._states: Counter[State] = Counter()
        self._send, self._receive = anyio.create_memory_object_stream[Record](MAX_BATCH_RECORDS)
        self._put_count = self._written_count = 0

    @property
    def counts(self) -> Counts:
        """Items by state, as committed."""
        return Counts(*(self._states[state] for state in State))

    async def reload_counts(self) -> None:
        """Ask the store for the counts: at the start, or when it was changed past this recorder."""
        counts = await self._store.fetch_counts()
        self._states = Counter({state: getattr(counts, state) for state in State})
        self.changes.notify()

    def count_added(self, new_count: int) -> None:
        """Items were added to the store."""
        self._states[State.PENDING] += new_count
        self.changes.notify()

    async def put(self, record: Record) -> None:
        """Hand a record over; waits while too much is unwritten."""
        self._put_count += 1
        try:
            self._send.send_nowait(record)
        except anyio.WouldBlock:
            await self._send.send(record)

    async def flush(self) -> None:
        """Wait until all that was handed over is durable."""
        while self._written_count < self._put_count:
            await self.changes.wait_changed(self.changes.count)

    def close(self) -> None:
        """Nothing more will be handed over; `write` comes to its end after the rest."""
        self._send.close()

    def close_receiver(self) -> None:
        """Write no more; whoever still hands something over is told (BrokenResourceError)."""
        self._receive.close()

    async def write_batch(self) -> Sequence[Record]:
        """Write the next pile that changes anything; its records that counted. None: the end."""
        committed: Sequence[Record] = ()
        while not committed and (batch := await _next_batch(self._receive)):
            try:
                previous_states = await self._store.commit_records(batch)
            except RecordsTooLarge as error:
                batch = [
                    as_too_large_failure(one) if one.position in error.positions else one
                    for one in batch
                ]
                previous_states = await self._store.commit_records(batch)
            committed = [
                self._count_transition(record, previous)
                for record, previous in zip(batch, previous_states, strict=True)
                if previous is not None
            ]
            self._written_count += len(batch)
            self.window.difference_update(r.position for r in batch if r.state is not State.PENDING)
            self.changes.notify()
        return committed

    def _count_transition(self, record: Record, previous: State) -> Record:
        self._states[previous] -= 1
        self._states[record.state] += 1
        if record.state is State.SUCCEEDED:
            self.succeeded_count += 1
        elif record.state is State.FAILED and isinstance(record.attempt.outcome, Failure):
            self.failed_by_code[record.attempt.outcome.code] += 1
        return record


def make_record(
    item: Item | OpenItem, attempt: Attempt, decision: Finish | Retry, now: float
) -> Record:
    """The record of an attempt and of what was decided after it."""
    state, retry_at = State.PENDING, None
    if isinstance(decision, Finish):
        state = decision.state
    else:
        retry_at = now + decision.delay
    return Record(item.position, attempt, state, retry_at, item.key)


def as_too_large_failure(record: Record) -> Record:
    """What is recorded of a reply that no store can hold: a failure of its item."""
    outcome = Failure(
        "reply_too_large",
        "The reply, or its log, is larger than a run directory can hold. Let the model return less "
        "(a file instead of text, fewer or smaller objects), then `batchinfer retry`.",
        inputs=getattr(record.attempt.outcome, "inputs", ()),
    )
    return replace(record, attempt=replace(record.attempt, outcome=outcome), state=State.FAILED)


async def _next_batch(receive: MemoryObjectReceiveStream[Record]) -> Sequence[Record]:
    """One record, and what has piled up behind it; none at the end of the stream."""
    batch: list[Record] = []
    try:
        batch.append(await receive.receive())
        while len(batch) < MAX_BATCH_RECORDS:
            batch.append(receive.receive_nowait())
    except (anyio.WouldBlock, anyio.EndOfStream):
        pass
    return batch
