"""`ports.Store` in memory: for tests, simulations, and items leased from a run elsewhere.

It has no thread, disk or clock, so it runs on a virtual clock too. Each verb begins with a
checkpoint, so that a cancelled caller has changed nothing.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from anyio.lowlevel import checkpoint

from batchinfer.domain import (
    Counts,
    Failure,
    Item,
    Mode,
    OpenItem,
    Outcome,
    Record,
    Reply,
    RunInfo,
    State,
    Submitted,
)
from batchinfer.errors import SourceError
from batchinfer.ports import AddResult, KnownItem, LimitChanged, PutBack, SubmittedObject
from batchinfer.store.transitions import (
    FINAL_STATES,
    ItemStatus,
    apply_found_object,
    apply_record,
    merge_page,
    reset_for_retry,
    restat_files,
)

TEST_RUN_INFO = RunInfo(id="test", created_at=0.0, mode=Mode.SYNC, config={}, sources=())


class MemoryStore:
    """A store in dicts.

    An item that has a position already (it was leased from another store) keeps it, and counts its
    attempts on from those it has. Others are put behind all that are there.
    """

    def __init__(self, info: RunInfo = TEST_RUN_INFO) -> None:
        self.info = info
        self.is_source_complete = False
        self.records: list[Record] = []
        """Every record that counted, in order."""
        self.limit_changes: list[LimitChanged] = []
        """How the limit moved."""
        self._items: dict[int, Item] = {}
        self._statuses: dict[int, ItemStatus] = {}
        self._order: list[int] = []
        """Positions, sorted."""
        self._positions: dict[str, int] = {}
        self._outcomes: dict[int, dict[int, Outcome]] = {}
        self._objects: dict[int, dict[int, str]] = {}

    def final_outcomes(self) -> dict[str, Outcome]:
        """Final outcomes by key, in input order."""
        return {
            self._items[position].key: self._final_outcome(position)
            for position in self._order
            if self._statuses[position].state in FINAL_STATES
        }

    def item_states(self) -> dict[str, State]:
        """States by key, in input order."""
        return {
            self._items[position].key: self._statuses[position].state for position in self._order
        }

    # ports.WorkQueue ------------------------------------------------------------------------------

    async def add(self, items: Sequence[Item], maybe_in_flight: Container[int] = ()) -> AddResult:
        """See `ports.WorkQueue`. Raises SourceError, too, when two keys have one position."""
        await checkpoint()
        keys = {item.key for item in items} & self._positions.keys()
        known = {key: self._find_item(self._positions[key]) for key in keys}
        merged = merge_page(items, known, maybe_in_flight)
        self._check_positions(merged.new)
        for item in sorted(merged.new, key=lambda item: item.position <= 0):  # given ones first
            self._insert(item)
        for item in merged.updated:
            self._items[item.position] = item
        positions = tuple(sorted(item.position for item, _ in known.values()))
        return AddResult(
            len(merged.new), merged.changed_file_keys, merged.changed_param_keys, positions
        )

    async def fetch_pending(self, after: int, limit: int, due: float) -> Sequence[Item]:
        """See `ports.WorkQueue`."""
        await checkpoint()
        ready = (
            self._find_item(position)[0]
            for index in range(bisect_right(self._order, after), len(self._order))
            if self._is_due(self._statuses[position := self._order[index]], due)
        )
        return list(islice(ready, limit))

    async def fetch_next_retry_at(self, after: float) -> float | None:
        """See `ports.WorkQueue`."""
        await checkpoint()
        times = (status.retry_at for status in self._statuses.values())
        return min((at for at in times if at is not None and at > after), default=None)

    async def clamp_future_times(self, now: float) -> None:
        """See `ports.WorkQueue`."""
        await checkpoint()
        began = {record.position: record.attempt.started_at for record in self.records}
        for position, status in self._statuses.items():
            submitted, retry = status.submitted_at, status.retry_at
            if submitted is not None and submitted > now:
                submitted = now
            if retry is not None and retry > now and began[position] > now:
                retry = now
            self._statuses[position] = replace(status, submitted_at=submitted, retry_at=retry)

    async def mark_source_complete(self) -> None:
        """See `ports.WorkQueue`."""
        await checkpoint()
        self.is_source_complete = True

    async def find_known(self, keys: Sequence[str]) -> Mapping[str, KnownItem]:
        """See `ports.WorkQueue`."""
        await checkpoint()
        return {key: self._know(self._positions[key]) for key in keys if key in self._positions}

    async def put_back(self, items: Sequence[Item]) -> PutBack:
        """See `ports.WorkQueue`."""
        await checkpoint()
        succeeded, failed = 0, Counter[str]()
        for item in items:
            position = self._positions.get(item.key)
            if position is None or self._statuses[position].state not in FINAL_STATES:
                continue
            known, status = self._know(position), self._statuses[position]
            if known.state is State.SUCCEEDED:
                succeeded += 1
            else:
                failed[known.code or ""] += 1
            self._items[position] = replace(item, position=position)
            self._statuses[position] = replace(reset_for_retry(status), submitted_attempt=0)
            self._outcomes.pop(position, None)
            self._objects.pop(position, None)
        return PutBack(succeeded, failed)

    def _know(self, position: int) -> KnownItem:
        item, state = self._find_item(position)
        outcome = self._outcomes.get(position, {}).get(item.attempts)
        code = outcome.code if isinstance(outcome, Failure) else None
        return KnownItem(position, state, item.attempts, item.files, code)

    # ports.RecordSink -----------------------------------------------------------------------------

    async def commit_records(self, records: Sequence[Record]) -> Sequence[State | None]:
        """See `ports.RecordSink`."""
        await checkpoint()
        return [self._apply_record(record) for record in records]

    async def save_limit_changes(self, changes: Sequence[LimitChanged]) -> None:
        """See `ports.RecordSink`."""
        await checkpoint()
        self.limit_changes.extend(changes)

    async def fetch_counts(self) -> Counts:
        """See `ports.RecordSink`."""
        await checkpoint()
        states = [status.state for status in self._statuses.values()]
        return Counts(**{state.value: states.count(state) for state in State})

    # ports.Submissions ----------------------------------------------------------------------------

    async def mark_submitted(self, objects: Sequence[SubmittedObject], at: float) -> int:
        """See `ports.Submissions`."""
        await checkpoint()
        count = 0
        for one in objects:
            status = self._statuses.get(one.position)
            submitted = apply_found_object(status, one.attempt, at) if status else None
            if submitted:
                self._statuses[one.position] = submitted
                self._objects.setdefault(one.position, {})[one.attempt] = one.name
                count += 1
        return count

    async def fetch_open(self, positions: Collection[int]) -> Mapping[int, OpenItem]:
        """See `ports.OpenItems`."""
        await checkpoint()
        return {
            position: self._as_open_item(position)
            for position in positions
            if position in self._statuses and self._statuses[position].state not in FINAL_STATES
        }

    async def fetch_lowest_open_position(self) -> int | None:
        """See `ports.OpenItems`."""
        await checkpoint()
        return next(
            (
                position
                for position in self._order
                if (status := self._statuses[position]).state is State.SUBMITTED
                or (status.state is State.PENDING and status.attempts)
            ),
            None,
        )

    async def fetch_overdue(self, submitted_before: float, limit: int) -> Sequence[OpenItem]:
        """See `ports.Submissions`."""
        await checkpoint()
        late = sorted(
            (status.submitted_at, position)
            for position, status in self._statuses.items()
            if status.state is State.SUBMITTED
            and status.submitted_at is not None
            and status.submitted_at < submitted_before
        )
        return [self._as_open_item(position) for _, position in late[:limit]]

    # ----------------------------------------------------------------------------------------------

    async def requeue(self, *, code: str | None = None, key: str | None = None) -> int:
        """As `SqliteStore.requeue`."""
        await checkpoint()
        count = 0
        for position, status in self._statuses.items():
            item, outcome = self._items[position], self._outcomes.get(position, {})
            failure = outcome.get(status.attempts)
            if (
                status.state is State.FAILED
                and key in {None, item.key}
                and code in {None, getattr(failure, "code", None)}
            ):
                self._statuses[position] = reset_for_retry(status)
                self._items[position] = replace(item, files=restat_files(item.files))
                count += 1
        return count

    def _check_positions(self, items: Sequence[Item]) -> None:
        """Raise SourceError when a given position is another item's."""
        keys: dict[int, str] = {}
        for item in items:
            owner = self._items.get(item.position)
            key = keys.setdefault(item.position, item.key) if owner is None else owner.key
            if item.position > 0 and key != item.key:
                raise SourceError(
                    f"Position {item.position} belongs to {key!r} and cannot be that of "
                    f"{item.key!r}, too: lease items of one run only."
                )

    def _insert(self, item: Item) -> None:
        position = item.position
        if position <= 0:
            position = self._order[-1] + 1 if self._order else 1
        self._items[position] = replace(item, position=position)
        self._statuses[position] = ItemStatus(
            attempts=item.attempts, uncounted_attempts=item.uncounted_attempts
        )
        self._positions[item.key] = position
        insort(self._order, position)

    def _apply_record(self, record: Record) -> State | None:
        before = self._statuses[record.position]
        after = apply_record(before, record)
        if after is None:
            return None
        self.records.append(record)
        self._statuses[record.position] = after
        attempt = record.attempt
        if isinstance(attempt.outcome, Submitted):
            self._objects.setdefault(record.position, {})[attempt.number] = attempt.outcome.name
        else:
            self._outcomes.setdefault(record.position, {})[attempt.number] = attempt.outcome
        return before.state

    def _find_item(self, position: int) -> tuple[Item, State]:
        status = self._statuses[position]
        item = replace(
            self._items[position],
            attempts=status.attempts,
            uncounted_attempts=status.uncounted_attempts,
        )
        return item, status.state

    def _is_due(self, status: ItemStatus, due: float) -> bool:
        return status.state is State.PENDING and (status.retry_at is None or status.retry_at <= due)

    def _final_outcome(self, position: int) -> Outcome:
        """The reply, if there is one; else the latest failure."""
        outcomes = self._outcomes[position]
        replies = [outcome for outcome in outcomes.values() if isinstance(outcome, Reply)]
        return replies[0] if replies else outcomes[max(outcomes)]

    def _as_open_item(self, position: int) -> OpenItem:
        status = self._statuses[position]
        objects = dict(self._objects.get(position, {}))
        return OpenItem(
            position,
            status.state,
            status.submitted_attempt,
            status.submitted_at,
            status.uncounted_attempts,
            objects,
            self._items[position].key,
        )
