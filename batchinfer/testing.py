"""Fakes to test with, for us and for users: each passes the same contract suite as the real thing.

Rules: no thread, no disk, no clock of their own, so that they run on a virtual clock; each verb
begins with a checkpoint, so that a cancelled caller has changed nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from anyio.lowlevel import checkpoint

from batchinfer.domain import (
    Counts,
    Item,
    Mode,
    Open,
    Outcome,
    Record,
    Reply,
    RunInfo,
    State,
    Submitted,
)
from batchinfer.ports import Added, Adjusted, Placed
from batchinfer.store.rules import FINAL, Life, adopt, as_now, follow, revive, settle

INFO = RunInfo(id="test", created_at=0.0, mode=Mode.SYNC, config={}, sources=())


class MemoryStore:
    """`ports.Store` in a dict: for tests of what uses a store."""

    def __init__(self, info: RunInfo = INFO) -> None:
        self.info = info
        self.source_is_read = False
        self.records: list[Record] = []
        """Every record that counted, in order."""
        self.adjusted: list[Adjusted] = []
        """How the limit moved."""
        self._items: dict[int, Item] = {}
        self._lives: dict[int, Life] = {}
        self._positions: dict[str, int] = {}
        self._outcomes: dict[int, dict[int, Outcome]] = {}
        self._objects: dict[int, dict[int, str]] = {}

    def results(self) -> dict[str, Outcome]:
        """Final outcomes by key, in input order."""
        return {
            self._items[position].key: self._deciding(position)
            for position, life in self._lives.items()
            if life.state in FINAL
        }

    def states(self) -> dict[str, State]:
        """States by key, in input order."""
        return {self._items[position].key: life.state for position, life in self._lives.items()}

    # ports.Store ----------------------------------------------------------------------------------

    async def add(self, items: Sequence[Item]) -> Added:
        """Add a page."""
        await checkpoint()
        keys = {item.key for item in items} & self._positions.keys()
        known = {key: self._known(self._positions[key]) for key in keys}
        settled = settle(items, known)
        for item in settled.new:
            position = len(self._items) + 1
            self._items[position] = replace(item, position=position)
            self._lives[position] = Life()
            self._positions[item.key] = position
        for item in settled.renewed:
            self._items[item.position] = item
        return Added(len(settled.new), settled.changed)

    async def pending(self, after: int, limit: int, due: float) -> Sequence[Item]:
        """Pending items that are due, a page of them."""
        await checkpoint()
        ready = (
            self._known(position)[0]
            for position in range(after + 1, len(self._items) + 1)
            if self._is_ready(self._lives[position], due)
        )
        return list(islice(ready, limit))

    async def next_due(self, after: float) -> float | None:
        """When the next item is due that backs off beyond `after`."""
        await checkpoint()
        times = (life.retry_at for life in self._lives.values())
        return min((at for at in times if at is not None and at > after), default=None)

    async def record(self, records: Sequence[Record]) -> Sequence[State | None]:
        """Commit a pile."""
        await checkpoint()
        return [self._follow(record) for record in records]

    async def adopt(self, placed: Sequence[Placed], at: float) -> int:
        """Mark as submitted what was found in the bucket."""
        await checkpoint()
        count = 0
        for one in placed:
            life = self._lives.get(one.position)
            adopted = adopt(life, one.attempt, at) if life else None
            if adopted:
                self._lives[one.position] = adopted
                self._objects.setdefault(one.position, {})[one.attempt] = one.name
                count += 1
        return count

    async def unfinished(self, positions: Collection[int]) -> Mapping[int, Open]:
        """Those of `positions` without a final outcome."""
        await checkpoint()
        return {
            position: self._open(position)
            for position in positions
            if position in self._lives and self._lives[position].state not in FINAL
        }

    async def lowest_unfinished(self) -> int | None:
        """Where outputs may still turn up, at the lowest."""
        await checkpoint()
        return next(
            (
                position
                for position, life in self._lives.items()
                if life.state is State.SUBMITTED or (life.state is State.PENDING and life.attempts)
            ),
            None,
        )

    async def overdue(self, submitted_before: float, limit: int) -> Sequence[Open]:
        """Items submitted too long ago."""
        await checkpoint()
        late = sorted(
            (life.submitted_at, position)
            for position, life in self._lives.items()
            if life.state is State.SUBMITTED
            and life.submitted_at is not None
            and life.submitted_at < submitted_before
        )
        return [self._open(position) for _, position in late[:limit]]

    async def forget_future(self, now: float) -> None:
        """Bring what lies in the future back to `now`."""
        await checkpoint()
        began = {record.position: record.attempt.started_at for record in self.records}
        for position, life in self._lives.items():
            submitted, retry = life.submitted_at, life.retry_at
            if submitted is not None and submitted > now:
                submitted = now
            if retry is not None and retry > now and began[position] > now:
                retry = now
            self._lives[position] = replace(life, submitted_at=submitted, retry_at=retry)

    async def source_read(self) -> None:
        """Note that the source has been read to its end."""
        await checkpoint()
        self.source_is_read = True

    async def note(self, adjusted: Sequence[Adjusted]) -> None:
        """See `ports.Store`."""
        await checkpoint()
        self.adjusted.extend(adjusted)

    async def counts(self) -> Counts:
        """Items by state."""
        await checkpoint()
        states = [life.state for life in self._lives.values()]
        return Counts(**{state.value: states.count(state) for state in State})

    async def requeue(self, *, code: str | None = None, key: str | None = None) -> int:
        """As `SqliteStore.requeue`."""
        await checkpoint()
        count = 0
        for position, life in self._lives.items():
            item, outcome = self._items[position], self._outcomes.get(position, {})
            failure = outcome.get(life.attempts)
            if (
                life.state is State.FAILED
                and key in {None, item.key}
                and code in {None, getattr(failure, "code", None)}
            ):
                self._lives[position] = revive(life)
                self._items[position] = replace(item, files=as_now(item.files))
                count += 1
        return count

    # ----------------------------------------------------------------------------------------------

    def _follow(self, record: Record) -> State | None:
        before = self._lives[record.position]
        after = follow(before, record)
        if after is None:
            return None
        self.records.append(record)
        self._lives[record.position] = after
        attempt = record.attempt
        if isinstance(attempt.outcome, Submitted):
            self._objects.setdefault(record.position, {})[attempt.number] = attempt.outcome.name
        else:
            self._outcomes.setdefault(record.position, {})[attempt.number] = attempt.outcome
        return before.state

    def _known(self, position: int) -> tuple[Item, State]:
        life = self._lives[position]
        item = replace(self._items[position], attempts=life.attempts, spared=life.spared)
        return item, life.state

    def _is_ready(self, life: Life, due: float) -> bool:
        return life.state is State.PENDING and (life.retry_at is None or life.retry_at <= due)

    def _deciding(self, position: int) -> Outcome:
        """The reply, if there is one; else the latest failure."""
        outcomes = self._outcomes[position]
        replies = [outcome for outcome in outcomes.values() if isinstance(outcome, Reply)]
        return replies[0] if replies else outcomes[max(outcomes)]

    def _open(self, position: int) -> Open:
        life = self._lives[position]
        objects = dict(self._objects.get(position, {}))
        return Open(position, life.state, life.in_bucket, life.submitted_at, life.spared, objects)
