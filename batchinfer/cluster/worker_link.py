"""The coordinator's side of one worker: attempts go out in batches, outcomes come back in batches.

Both directions are self-clocking, as the recorder's commits are: at most one `start` and one
`collect` are under way, and what comes meanwhile goes with the next. A call that is not answered is
made again, for as long as the worker may still be there: `lease_seconds`, after which it has given
up by itself. A worker that is not heard of for much of that is silent: nobody knows what became of
its attempts, so they are on hold, and it gets no more.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, TypeVar

from batchinfer.cluster.worker_transport import (
    AttemptEnd,
    AttemptRequest,
    AttemptResult,
    LargeOutcome,
    RemoteWorker,
    WorkerGone,
)
from batchinfer.domain import Item, Outcome, Reply, Submitted
from batchinfer.errors import FatalError
from batchinfer.flow import MachineCapacity
from batchinfer.flow.memory_budget import MemoryBudget
from batchinfer.ports import CallClock

T = TypeVar("T")

MAX_COLLECT_SECONDS: Final = 10.0
"""Seconds that one `collect` waits, at most; less where the lease is short."""
MAX_STARTED_TOGETHER: Final = 1_000
"""Attempts begun by one call."""
PIECE_BYTES: Final = 1 << 23
"""Bytes of a large outcome that are fetched by one call."""
REPEAT_SECONDS: Final = 0.5
"""Seconds until a call that was not answered is made again."""
CALL_SECONDS: Final = 20.0
"""Seconds that a call which waits for nothing is given."""


HEARTBEAT_LEASE_SHARE: Final = 0.35
"""Share of a lease without an answer after which a call is made that brings nothing."""
SILENT_LEASE_SHARE: Final = 0.45
"""Share of a lease without an answer after which a worker counts as silent."""
WATCH_LEASE_SHARE: Final = 0.05


class WorkerLost(Exception):  # noqa: N818 - reads as a fact
    """The worker is gone, and with it what it had in flight."""


class WorkerLink:
    """One open worker.

    `is_listed` tells whether the scheduler knows the worker, after asking it again.
    `on_heard_again` is called when a worker is no longer silent.
    """

    def __init__(
        self,
        address: str,
        worker: RemoteWorker,
        *,
        capacity: int | None,
        lease_seconds: float,
        memory_budget: MemoryBudget,
        is_listed: Callable[[str], Awaitable[bool]],
        on_heard_again: Callable[[], None] = lambda: None,
    ) -> None:
        self.address = address
        self.worker = worker
        self.capacity = MachineCapacity(capacity)
        """Attempts that its machine bears at once."""
        self.in_flight = 0
        self.is_lost = False
        self.is_silent = False
        """Whether it has not been heard of for some time."""
        self.has_checked_input = False
        """Whether the worker was seen to read an input of the run."""
        self.unreadable_streak = 0
        """Inputs in a row that it cannot read, and the coordinator can."""
        self.input_lock = asyncio.Lock()
        """Held while it is seen whether the worker can read an input."""
        self.is_loss_counted = False
        """Whether the pool knows that it was lost."""
        self._lease_seconds, self._memory_budget = lease_seconds, memory_budget
        self._is_listed, self._on_heard_again = is_listed, on_heard_again
        self._loop = asyncio.get_running_loop()
        self._next_id = 0
        self._waiting: dict[int, asyncio.Future[Outcome | Submitted]] = {}
        self._clocks: dict[int, CallClock] = {}
        """Of the attempts in flight."""
        self._requests: list[AttemptRequest] = []
        self._dropped: list[int] = []
        self._has_outgoing = asyncio.Event()
        self._answered_at = self._loop.time()

    def has_room(self, now: float) -> bool:
        """Whether the worker may take another attempt; `now` on the event loop's clock."""
        limit, opens_at = self.capacity.value, self.capacity.next_open_at
        if self.is_silent:
            return False
        return (limit is None or self.in_flight < limit) and (opens_at is None or now >= opens_at)

    async def attempt(
        self, item: Item, number: int, clock: CallClock, *, is_unconfirmed: bool = False
    ) -> Outcome | Submitted:
        """Let the worker make an attempt. Raises WorkerLost, FatalError.

        `is_unconfirmed`: it may have been made already.
        """
        if self.is_lost:
            raise WorkerLost(self.address)
        self._next_id = attempt_id = self._next_id + 1
        future: asyncio.Future[Outcome | Submitted] = self._loop.create_future()
        self._waiting[attempt_id], self._clocks[attempt_id] = future, clock
        self._requests.append((attempt_id, item, number, is_unconfirmed))
        self._has_outgoing.set()
        self.in_flight += 1
        try:
            return await future
        except asyncio.CancelledError:
            self._drop(attempt_id)
            raise
        finally:
            self.in_flight -= 1
            self._waiting.pop(attempt_id, None)
            self._clocks.pop(attempt_id, None)

    async def run(self) -> None:
        """Carry attempts and outcomes until the worker is lost: then it returns."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send())
                tasks.create_task(self._receive())
                tasks.create_task(self._watch_silence())
        except* (WorkerLost, WorkerGone):
            pass
        finally:
            self.lose()

    def lose(self) -> None:
        """The worker is gone: whoever waits for it gets WorkerLost."""
        self.is_lost = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(WorkerLost(self.address))

    async def call(self, make_call: Callable[[], Awaitable[T]], max_seconds: float) -> T:
        """Make a call, again and again until it is answered. Raises WorkerLost, WorkerGone."""
        while True:
            try:
                async with asyncio.timeout(max_seconds):
                    answer = await make_call()
            except OSError:  # TimeoutError is one
                silent_for = self._loop.time() - self._answered_at
                if silent_for > self._lease_seconds or not await self._is_listed(self.address):
                    raise WorkerLost(self.address) from None
                await asyncio.sleep(REPEAT_SECONDS)
            else:
                self._note_heard()
                return answer

    def _note_heard(self) -> None:
        self._answered_at = self._loop.time()
        if self.is_silent:
            self.is_silent = False
            for clock in self._clocks.values():
                clock.resume()
            self._on_heard_again()

    async def _watch_silence(self) -> None:
        while True:
            quiet_for = self._loop.time() - self._answered_at
            if quiet_for >= SILENT_LEASE_SHARE * self._lease_seconds:
                if not self.is_silent:
                    self.is_silent = True
                    for clock in self._clocks.values():
                        clock.hold()
            elif quiet_for >= HEARTBEAT_LEASE_SHARE * self._lease_seconds:
                self._has_outgoing.set()  # perhaps nothing was asked, and it counts for it as well
            await asyncio.sleep(WATCH_LEASE_SHARE * self._lease_seconds)

    # The two directions ---------------------------------------------------------------------------

    async def _send(self) -> None:
        sequence = 0
        while True:
            await self._has_outgoing.wait()
            batch = self._requests[:MAX_STARTED_TOGETHER]
            del self._requests[:MAX_STARTED_TOGETHER]
            dropped, self._dropped = self._dropped, []
            if not self._requests:
                self._has_outgoing.clear()
            sequence += 1
            data = pickle.dumps(batch, protocol=pickle.HIGHEST_PROTOCOL)
            await self.call(
                lambda: self.worker.start(sequence, data, dropped),  # noqa: B023 - awaited here
                CALL_SECONDS,
            )

    async def _receive(self) -> None:
        sequence = 0
        max_seconds = min(MAX_COLLECT_SECONDS, self._lease_seconds / 3)
        while True:
            sequence += 1
            data = await self.call(
                lambda: self.worker.collect(sequence, max_seconds),  # noqa: B023 - as above
                max_seconds + CALL_SECONDS,
            )
            results: list[AttemptResult] = pickle.loads(data)  # noqa: S301 - our worker's
            del data
            for attempt_id, result in results:
                if isinstance(result, LargeOutcome):
                    await self._fetch(attempt_id, result)
                else:
                    self._settle(attempt_id, pickle.loads(result))  # noqa: S301

    async def _fetch(self, attempt_id: int, large: LargeOutcome) -> None:
        """Bring a large outcome in pieces, when there is memory for it."""
        if attempt_id not in self._waiting:
            self._drop(attempt_id)
            return
        with self._memory_budget.new_reservation() as reservation:
            await reservation.acquire(large.memory_size)
            pieces: list[bytes] = []
            for offset in range(0, large.size, PIECE_BYTES):
                piece = await self.call(
                    lambda: self.worker.fetch(attempt_id, offset, PIECE_BYTES),  # noqa: B023
                    CALL_SECONDS,
                )
                pieces.append(piece)
            data = b"".join(pieces)
            del pieces
            outcome: AttemptEnd = pickle.loads(data)  # noqa: S301 - our worker's
            if isinstance(outcome, Reply):
                lease = reservation.lease(self._loop.call_soon_threadsafe)
                outcome = replace(outcome, lease=lease)
            self._settle(attempt_id, outcome)
        self._drop(attempt_id)

    def _settle(self, attempt_id: int, end: AttemptEnd) -> None:
        future = self._waiting.get(attempt_id)
        if future is None or future.done():
            return
        if isinstance(end, FatalError):
            future.set_exception(end)
        else:
            future.set_result(end)

    def _drop(self, attempt_id: int) -> None:
        self._dropped.append(attempt_id)
        self._has_outgoing.set()
