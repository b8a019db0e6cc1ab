"""Reads the source into the queue, and hands what is pending there to the scheduler.

Nothing is held per item of the run, only per item in the window. A place in the window is free
again only when a record is durable: this is how a slow writer applies backpressure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Self, TypeAlias

import anyio

from batchinfer.domain import Item
from batchinfer.engine.recorder import Recorder
from batchinfer.engine.run_policy import RunPolicy
from batchinfer.engine.scheduler import Scheduler
from batchinfer.engine.service_pool import ServicePool
from batchinfer.failures import (
    make_files_changed_notice,
    make_held_back_notice,
    make_params_changed_notice,
)
from batchinfer.flow import ConcurrencyLimit, Gate, GateGroup
from batchinfer.ports import Clock, Committed, Observer, Progress, WorkQueue

ReadPage: TypeAlias = Callable[[int], Awaitable[Sequence[Item]]]
"""Reads at most so many more items of the source; none: it has been read to its end."""

FEED_PAGE_ITEMS = 500
FIRST_SOURCE_PAGE_ITEMS = 32
"""Small, so that the first call is under way while a million files are still being listed."""
WINDOW_SPARE_ITEMS = 256
"""Items in the window beside those in flight: a batch being written and the next one, so that the
gate never waits for a commit."""
MAX_RETRY_SLEEP_SECONDS = 60.0
"""Seconds that are waited at a time: the clock may be set meanwhile."""
MAX_BACKING_OFF_ITEMS = 1_000
"""Items that may back off at a time: enough that many refusals do not starve the gate, few enough
that memory stays flat."""


class SeenPositions:
    """Positions that the source has passed: only these may be sent while the source is open.

    An item that was never tried takes over what its source says now, once. So it waits until the
    source has passed it; from then on it may be in flight, and stays as it is. Items that the
    source does not have any more count as passed when it has been read to its end. Takes a byte for
    each item that was in the run before.
    """

    def __init__(self, known_count: int, seen_flags: bytes | bytearray = b"") -> None:
        """`known_count`: items that were in the run when the source was opened."""
        self._known_count = known_count
        self._seen_flags = bytearray(seen_flags or known_count + 1)
        self._snapshot: Self | None = None

    def __contains__(self, position: object) -> bool:
        """Whether it has passed this one: known and seen again, or new."""
        if not isinstance(position, int) or position < 0:
            return False
        return position > self._known_count or self._seen_flags[position] == 1

    def add(self, positions: Iterable[int]) -> None:
        """The source has passed these."""
        for position in positions:
            if position <= self._known_count and not self._seen_flags[position]:
                self._seen_flags[position], self._snapshot = 1, None

    def mark_complete(self) -> None:
        """The source has been read to its end: it has passed all."""
        self._known_count, self._seen_flags, self._snapshot = 0, bytearray(1), None

    def snapshot(self) -> Self:
        """A copy as it is now."""
        if self._snapshot is None:
            self._snapshot = type(self)(self._known_count, self._seen_flags)
        return self._snapshot

    def next_candidate(self, after: int) -> int:
        """The lowest position beyond `after` that may be a passed one."""
        found = self._seen_flags.find(1, after + 1)
        return max(after, self._known_count) + 1 if found == -1 else found


class Feeder:
    """Adds to the queue, and feeds from it; knows when nothing is left to do.

    `scheduler` None: nothing is fed (collect only). `submitted_limit`: that of async mode.
    """

    def __init__(
        self,
        queue: WorkQueue,
        gate: Gate | GateGroup,
        scheduler: Scheduler | ServicePool | None,
        recorder: Recorder,
        *,
        policy: RunPolicy,
        observer: Observer,
        clock: Clock,
        read_page: ReadPage | None,
        submitted_limit: ConcurrencyLimit | None,
        collects: bool,
        get_progress: Callable[[], Progress],
    ) -> None:
        self.is_source_open = read_page is not None
        """Whether there may be more than what was added."""
        self.submitted_limit = submitted_limit
        self._queue, self._gate, self._scheduler = queue, gate, scheduler
        self._recorder, self._changes, self._policy = recorder, recorder.changes, policy
        self._observer, self._clock, self._read_page = observer, clock, read_page
        self._collects, self._get_progress, self._fed_count = collects, get_progress, 0
        self._seen_positions = SeenPositions(0)
        self._reported_held_back = 0

    def set_submitted_limit(self, submitted_limit: ConcurrencyLimit) -> None:
        """Set the limit of what is submitted; ready items beyond it go back to the queue."""
        self.submitted_limit = submitted_limit
        excess = (
            len(self._recorder.window) + self._recorder.counts.submitted - submitted_limit.value
        )
        for position in self._scheduler.release_ready(excess) if self._scheduler else ():
            self._recorder.window.discard(position)
            self._fed_count -= 1

    def start(self) -> None:
        """Begin, now that the items are counted that were in the run before the source is read."""
        if self.is_source_open and not self._policy.is_watching:
            self._seen_positions = SeenPositions(self._recorder.counts.total)

    async def read_source(self) -> None:
        """Read the source to its end."""
        if self._read_page is None:
            return
        size, changed, params_changed = FIRST_SOURCE_PAGE_ITEMS, 0, 0
        while page := await self._read_page(size):
            added = await self._queue.add(page, self._seen_positions)
            self._seen_positions.add(added.known_positions)
            self._recorder.count_added(added.new_count)
            self._observer.notify(Committed((), self._get_progress()))
            changed, params_changed = (
                changed + len(added.changed_file_keys),
                params_changed + len(added.changed_param_keys),
            )
            if added.changed_file_keys:
                self._observer.notify(
                    make_files_changed_notice(changed, added.changed_file_keys[-1])
                )
            if added.changed_param_keys:
                self._observer.notify(
                    make_params_changed_notice(params_changed, added.changed_param_keys[-1])
                )
            size = FEED_PAGE_ITEMS
        await self._queue.mark_source_complete()
        self._seen_positions.mark_complete()
        self.is_source_open = False
        self._changes.notify()

    async def feed(self) -> None:
        """Feed pending items until nothing is left to do."""
        if self._scheduler is None:
            while not self._is_done():
                await self._changes.wait_changed(self._changes.count)
            return
        after = 0
        while True:
            change_count = self._changes.count
            # Taken before the page is read: an item in the window now may be on it, still pending;
            # and one that the source passes from now on, as it was before.
            window, seen_positions = (
                frozenset(self._recorder.window),
                self._seen_positions.snapshot(),
            )
            size = (
                FEED_PAGE_ITEMS
                if self.submitted_limit is None
                else min(FEED_PAGE_ITEMS, self.submitted_limit.value)
            )
            after = seen_positions.next_candidate(after) - 1
            page = await self._queue.fetch_pending(after, size, self._clock())
            fresh = [
                one for one in page if one.position in seen_positions and one.position not in window
            ]
            for item in fresh:
                if not await self._wait_for_window():
                    return
                self._fed_count += 1
                self._recorder.window.add(item.position)
                self._scheduler.add(item)
            if page:
                # In async mode what is to be tried again is pending, before the new ones.
                again = fresh and self.submitted_limit is not None
                after = 0 if again else page[-1].position
            elif self._is_done():
                return
            else:
                if not self.is_source_open:
                    self._scheduler.mark_source_exhausted()
                await self._wait_for_change(change_count)
                after = 0

    async def _wait_for_change(self, change_count: int) -> None:
        now = self._clock()
        retry_at = await self._queue.fetch_next_retry_at(now)
        if retry_at is not None and retry_at - now > MAX_RETRY_SLEEP_SECONDS:
            await self._queue.clamp_future_times(now)
            retry_at = await self._queue.fetch_next_retry_at(now)
        with anyio.move_on_after(
            None if retry_at is None else min(retry_at - now, MAX_RETRY_SLEEP_SECONDS)
        ):
            await self._changes.wait_changed(change_count)

    async def _wait_for_window(self) -> bool:
        """Wait for a place in the window; False when there will be none in this process."""
        while not self._has_window_space():
            if self._is_done():
                return False
            await self._changes.wait_changed(self._changes.count)
        return True

    def _has_window_space(self) -> bool:
        window_size, submitted_limit = len(self._recorder.window), self.submitted_limit
        backing_off = 0 if self._scheduler is None else self._scheduler.backing_off_count
        return (
            not self._is_item_limit_reached()
            and window_size - backing_off < 2 * self._gate.limit.value + WINDOW_SPARE_ITEMS
            and backing_off < MAX_BACKING_OFF_ITEMS
            and (
                submitted_limit is None
                or window_size + self._recorder.counts.submitted < submitted_limit.value
            )
        )

    def _report_held_back(self, count: int) -> None:
        """Say, once for so many, that they wait for what becomes of another item."""
        if count != self._reported_held_back and self._scheduler is not None:
            self._reported_held_back = count
            self._observer.notify(make_held_back_notice(count, self._scheduler.held_back_message))

    def _is_item_limit_reached(self) -> bool:
        return self._policy.max_items is not None and self._fed_count >= self._policy.max_items

    def _is_done(self) -> bool:
        counts, submitted_limit = self._recorder.counts, self.submitted_limit
        held_back = 0 if self._scheduler is None else self._scheduler.held_back_count
        if self._scheduler is not None and held_back == len(self._recorder.window) > 0:
            all_fed = not self.is_source_open and counts.pending == held_back
            if all_fed or self._is_item_limit_reached():
                self._scheduler.fail_held_back()
            elif self._policy.is_watching and counts.pending == held_back:
                self._report_held_back(held_back)
        if self._recorder.window:
            return False
        if self._is_item_limit_reached():
            return counts.submitted == 0 or not self._collects
        if self.is_source_open:
            return False
        if self._scheduler is None:
            return counts.submitted == 0
        if submitted_limit is not None and not self._collects:
            return counts.pending == 0 or counts.submitted >= submitted_limit.value
        return counts.pending == 0 and counts.submitted == 0
