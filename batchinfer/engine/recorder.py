"""The one writer: every record passes through here, and counts once it is durable."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace

import anyio

from batchinfer.domain import Attempt, Counts, Failure, Item, OpenItem, Record, State
from batchinfer.failures import make_too_large_failure
from batchinfer.flow.retries import Finish, Retry
from batchinfer.ports import PutBack, RecordSink, RecordsTooLarge

MAX_BATCH_RECORDS = 256
"""Records in one transaction at most, and handed over but not yet written at most."""


class ChangeNotifier:
    """Wakes whoever waits for something to have changed; no wake-up is ever lost.

    Take `count`, look at what may change, and wait for a change after that count. Where nobody
    waits, a change costs nothing.
    """

    def __init__(self) -> None:
        self.count = 0
        self._event: anyio.Event | None = None
        """What those wait for that wait now; None: nobody does."""

    def notify(self) -> None:
        """Something has changed."""
        self.count += 1
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait_changed(self, count: int) -> None:
        """Wait until something has changed since `count`."""
        while self.count <= count:
            if self._event is None:
                self._event = anyio.Event()
            await self._event.wait()


class Recorder:
    """Commits records in batches (group commit without a timer); keeps the run's durable counts."""

    def __init__(self, sink: RecordSink, changes: ChangeNotifier) -> None:
        self.changes = changes
        self.window: set[int] = set()
        """Positions in the window: from being fed until their record is durable."""
        self.failed_by_code: Counter[str] = Counter()
        """Items failed in this process, by code."""
        self.succeeded_count = 0
        self._sink = sink
        self._states: Counter[State] = Counter()
        self._counts: Counts | None = None
        """The same as a value; None: they have changed since it was made."""
        self._unwritten: deque[Record] = deque()
        self._arrivals = ChangeNotifier()
        self._waiters: deque[tuple[int, anyio.Event]] = deque()
        """Who waits until that many records were taken, in order."""
        self._put_count = self._taken_count = self._written_count = 0
        self._is_closed = self._is_receiver_closed = False

    @property
    def counts(self) -> Counts:
        """Items by state, as committed."""
        if self._counts is None:
            self._counts = Counts(*(self._states[state] for state in State))
        return self._counts

    async def reload_counts(self) -> None:
        """Fetch the counts: at the start, or when they were changed past this recorder."""
        counts = await self._sink.fetch_counts()
        self._states, self._counts = (
            Counter({state: getattr(counts, state) for state in State}),
            None,
        )
        self.changes.notify()

    def count_added(self, new_count: int) -> None:
        """Items were added to the queue."""
        self._states[State.PENDING] += new_count
        self._counts = None
        self.changes.notify()

    def count_put_back(self, put_back: PutBack) -> None:
        """Finished items were put back to pending."""
        failed = sum(put_back.failed_by_code.values())
        self._states[State.SUCCEEDED] -= put_back.succeeded
        self._states[State.FAILED] -= failed
        self._states[State.PENDING] += put_back.succeeded + failed
        for code, count in put_back.failed_by_code.items():
            # Those of earlier processes are not counted there.
            self.failed_by_code[code] -= min(count, self.failed_by_code[code])
        self.failed_by_code = +self.failed_by_code
        self._counts = None
        self.changes.notify()

    async def put(self, record: Record) -> None:
        """Hand a record over; then wait while too many are unwritten.

        Who is cancelled while waiting has handed it over. Raises BrokenResourceError when nothing
        is written any more.
        """
        if self._is_receiver_closed:
            raise anyio.BrokenResourceError
        self._put_count += 1
        self._unwritten.append(record)
        self._arrivals.notify()
        if len(self._unwritten) > MAX_BATCH_RECORDS:
            await self._wait_for_room(self._put_count - MAX_BATCH_RECORDS)

    async def flush(self) -> None:
        """Wait until all that was handed over is durable."""
        while self._written_count < self._put_count:
            await self.changes.wait_changed(self.changes.count)

    def close(self) -> None:
        """Nothing more will be handed over; `write_batch` comes to its end after the rest."""
        self._is_closed = True
        self._arrivals.notify()

    def close_receiver(self) -> None:
        """Write no more; a later `put` raises BrokenResourceError."""
        self._is_receiver_closed = True
        self._wake_waiters()

    async def write_batch(self) -> Sequence[Record]:
        """Write the next batch that changes anything; its records that counted. None: the end."""
        committed: Sequence[Record] = ()
        while not committed and (batch := await self._take_batch()):
            try:
                previous_states = await self._sink.commit_records(batch)
            except RecordsTooLarge as error:
                batch = [
                    as_too_large_failure(one) if one.position in error.positions else one
                    for one in batch
                ]
                previous_states = await self._sink.commit_records(batch)
            committed = self._count_transitions(batch, previous_states)
            self._written_count += len(batch)
            self.window.difference_update(r.position for r in batch if r.state is not State.PENDING)
            self.changes.notify()
        return committed

    async def _wait_for_room(self, taken_count: int) -> None:
        """Wait until so many records were taken."""
        waiter = anyio.Event()
        self._waiters.append((taken_count, waiter))
        await waiter.wait()
        if self._taken_count < taken_count:
            raise anyio.BrokenResourceError

    async def _take_batch(self) -> Sequence[Record]:
        """One record, and those that wait behind it; none at the end."""
        unwritten = self._unwritten
        while not unwritten:
            if self._is_closed:
                return []
            await self._arrivals.wait_changed(self._arrivals.count)
        batch = [unwritten.popleft() for _ in range(min(len(unwritten), MAX_BATCH_RECORDS))]
        self._taken_count += len(batch)
        self._wake_waiters()
        return batch

    def _wake_waiters(self) -> None:
        waiters = self._waiters
        while waiters and (self._is_receiver_closed or waiters[0][0] <= self._taken_count):
            waiters.popleft()[1].set()

    def _count_transitions(
        self, batch: Sequence[Record], previous_states: Sequence[State | None]
    ) -> Sequence[Record]:
        """Count what a commit has changed; the records that counted."""
        committed = []
        succeeded_at_once = 0
        for record, previous in zip(batch, previous_states, strict=True):
            if previous is None:
                continue
            committed.append(record)
            if record.state is State.SUCCEEDED and previous is State.PENDING:
                succeeded_at_once += 1  # nearly all: counted together
            else:
                self._count_transition(record, previous)
        self._states[State.PENDING] -= succeeded_at_once
        self._states[State.SUCCEEDED] += succeeded_at_once
        self.succeeded_count += succeeded_at_once
        self._counts = None
        return committed

    def _count_transition(self, record: Record, previous: State) -> None:
        self._states[previous] -= 1
        self._states[record.state] += 1
        if record.state is State.SUCCEEDED:
            self.succeeded_count += 1
        elif record.state is State.FAILED and isinstance(record.attempt.outcome, Failure):
            self.failed_by_code[record.attempt.outcome.code] += 1


def make_record(
    item: Item | OpenItem, attempt: Attempt, decision: Finish | Retry, now: float
) -> Record:
    """The record of an attempt and of the decision after it."""
    if isinstance(decision, Finish):
        return Record(item.position, attempt, decision.state, key=item.key)
    return Record(item.position, attempt, State.PENDING, now + decision.delay, item.key)


def as_too_large_failure(record: Record) -> Record:
    """What is recorded in place of a reply that no store can hold: a failure of its item."""
    outcome = make_too_large_failure(record.attempt.outcome.inputs)
    return replace(record, attempt=replace(record.attempt, outcome=outcome), state=State.FAILED)
