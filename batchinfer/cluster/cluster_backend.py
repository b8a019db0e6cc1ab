"""The port `Backend` over the workers of a cluster.

Rules:

1. An attempt whose worker is lost is begun again elsewhere, within the same attempt: the item is
   not at fault, and nothing is recorded. One that has lost `MAX_LOSSES_PER_ATTEMPT` workers fails
   as an attempt: it may be what kills them.
2. *No second job.* In async mode the lost worker may have put the object. Once its lease has
   ended, and it can put nothing more, the next worker looks whether the object is there, and adopts
   it: all workers give it the same name.
3. A shortage (files, threads, memory) concerns its worker; the attempt is begun on another. Only
   when `MAX_SHORTAGES_PER_ATTEMPT` were short is it the engine's business.
4. A file that a worker cannot read, and this machine can, is no item's fault: others are asked
   first, and a worker that reads none of several gets nothing any more: its mount is missing.
5. An attempt that is with no worker is on hold (`ports.CallClock`), and one that is begun elsewhere
   counts from then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol, runtime_checkable

from batchinfer.cluster.cluster_pool import ClusterPool
from batchinfer.cluster.worker_link import CALL_SECONDS, WorkerLink, WorkerLost
from batchinfer.cluster.worker_transport import WorkerGone
from batchinfer.domain import Failure, FailureKind, Item, Outcome, ServiceSignal, Submitted
from batchinfer.errors import BatchInferError
from batchinfer.inputs import read_head
from batchinfer.ports import Backend, CallClock
from batchinfer.text_format import escape_undecodable

MAX_LOSSES_PER_ATTEMPT: Final = 5
MAX_SHORTAGES_PER_ATTEMPT: Final = 3
MAX_UNREADABLE_PER_ATTEMPT: Final = 3
"""Workers that are asked to read an item's files before it is blamed."""
MAX_UNREADABLE_STREAK: Final = 3
"""Files in a row that a worker cannot read, and this machine can, before it gets nothing more."""
LEASE_MARGIN_SECONDS: Final = 1.0
"""Seconds added to a lease for what was on its way when it ended."""


@asynccontextmanager
async def open_cluster_backend(
    pool: ClusterPool, bucket_attempts: BucketAttempts | None = None
) -> AsyncIterator[ClusterBackend]:
    """A backend over the workers of `pool`, which is watched over as long as the context.

    Waits for the first worker. Raises FatalError when none comes, or all refuse.
    """
    watching = asyncio.get_running_loop().create_task(pool.run())
    try:
        await pool.acquire()
        yield ClusterBackend(pool, bucket_attempts)
    finally:
        watching.cancel()
        await asyncio.wait([watching])


@runtime_checkable
class AdoptingBackend(Backend, Protocol):
    """A backend of this process that knows of objects in the bucket from before."""

    def has_remembered(self, position: int, number: int) -> bool:
        """Whether this attempt of an item may adopt one of them."""


class BucketAttempts:
    """Async mode: what is known of attempts that may have been made already."""

    def __init__(self, local: AdoptingBackend) -> None:
        self.local = local
        """Makes the attempts for which it alone knows what to adopt."""
        self.unconfirmed: set[tuple[int, int]] = set()
        """Attempts, by position and number, whose object may be there."""


class _NoClock:
    """For who does not ask when a call really begins. See `ports.CallClock`."""

    def hold(self) -> None:
        """See CallClock."""

    resume = restart = hold


_NO_CLOCK: Final = _NoClock()


class _AttemptHistory:
    """What an attempt has met so far."""

    __slots__ = ("began", "losses", "shortages", "unreadable", "unreadable_at")

    def __init__(self) -> None:
        self.began = 0.0
        """When it was given to its latest worker, on the event loop's clock."""
        self.losses = self.shortages = self.unreadable = 0
        self.unreadable_at: set[str] = set()


class ClusterBackend:
    """Makes attempts by the workers of a pool; see the rules above."""

    def __init__(self, pool: ClusterPool, bucket_attempts: BucketAttempts | None = None) -> None:
        self._pool, self._bucket_attempts = pool, bucket_attempts
        self._loop = asyncio.get_running_loop()

    async def attempt(self, item: Item, number: int) -> Outcome | Submitted:
        """See `ports.Backend`."""
        return await self.attempt_timed(item, number, _NO_CLOCK)

    async def attempt_timed(self, item: Item, number: int, clock: CallClock) -> Outcome | Submitted:
        """See `ports.HoldingBackend`."""
        bucket = self._bucket_attempts
        if bucket is not None and bucket.local.has_remembered(item.position, number):
            return await bucket.local.attempt(item, number)
        history = _AttemptHistory()
        while True:
            link = await self._acquire(clock, history)
            try:
                outcome = await self._attempt_at(link, item, number, clock)
            except WorkerLost:
                self._pool.note_loss(link)
                history.losses += 1
                if history.losses >= MAX_LOSSES_PER_ATTEMPT:
                    return _make_lost_failure(history.losses)
                if bucket is not None:
                    bucket.unconfirmed.add((item.position, number))
                    clock.resume()  # on hold, it would keep others from the workers that are there
                    await asyncio.sleep(self._pool.lease_seconds + LEASE_MARGIN_SECONDS)
                continue
            finally:
                self._pool.wake_waiting()
            self._pool.note_answer()
            if not (isinstance(outcome, Failure) and not outcome.sent):
                link.unreadable_streak = 0
                if link.capacity.was_short:
                    link.capacity.on_answer(self._loop.time())
                return outcome
            if not await self._is_worker_at_fault(link, item, outcome, history):
                return outcome

    async def _acquire(self, clock: CallClock, history: _AttemptHistory) -> WorkerLink:
        """The worker that takes the attempt now. Raises FatalError."""
        link = self._pool.find_room(history.unreadable_at)
        if link is None:
            clock.hold()
            link = await self._pool.acquire(history.unreadable_at)
            clock.restart()
        elif history.began:  # at another worker before
            clock.restart()
        history.began = self._loop.time()
        return link

    async def _attempt_at(
        self, link: WorkerLink, item: Item, number: int, clock: CallClock
    ) -> Outcome | Submitted:
        """Let a worker make the attempt. Raises WorkerLost, FatalError."""
        if not link.has_checked_input and item.files:
            clock.hold()
            await self._check_input(link, item.files[0].path)
            clock.restart()
        bucket = self._bucket_attempts
        if bucket is None:
            return await link.attempt(item, number, clock)
        place = (item.position, number)
        is_unconfirmed = place in bucket.unconfirmed
        outcome = await link.attempt(item, number, clock, is_unconfirmed=is_unconfirmed)
        if isinstance(outcome, Submitted):
            bucket.unconfirmed.discard(place)
        elif isinstance(outcome, Failure) and outcome.kind is FailureKind.UNAVAILABLE:
            bucket.unconfirmed.add(place)  # another worker may make it next
        return outcome

    async def _is_worker_at_fault(
        self, link: WorkerLink, item: Item, failure: Failure, history: _AttemptHistory
    ) -> bool:
        """Whether what was not sent may be sent by another worker, or by this one later."""
        if failure.signal is ServiceSignal.LOCAL_SHORTAGE:
            link.capacity.on_shortage(link.in_flight + 1, history.began, self._loop.time())
            history.shortages += 1
            return history.shortages < MAX_SHORTAGES_PER_ATTEMPT
        if failure.signal is not ServiceSignal.INPUT_UNREADABLE:
            return False
        path = await self._find_readable(item)
        if path is None:
            return False
        link.unreadable_streak += 1
        history.unreadable += 1
        history.unreadable_at.add(link.address)
        if link.unreadable_streak >= MAX_UNREADABLE_STREAK:
            self._pool.refuse(link, _describe_missing_mount(path, failure.message))
            return True
        return history.unreadable < MAX_UNREADABLE_PER_ATTEMPT

    # Inputs ---------------------------------------------------------------------------------------

    async def _check_input(self, link: WorkerLink, path: str) -> None:
        """Before its first attempt: whether the worker sees the source. Raises WorkerLost."""
        async with link.input_lock:
            if link.has_checked_input:
                return
            if link.is_lost:
                raise WorkerLost(link.address)
            try:
                reason = await link.call(lambda: link.worker.check_input(path), 2 * CALL_SECONDS)
            except WorkerGone:
                raise WorkerLost(link.address) from None
            if reason is not None and await _can_read_here(path):
                self._pool.refuse(link, _describe_missing_mount(path, reason))
                raise WorkerLost(link.address)
            link.has_checked_input = reason is None

    async def _find_readable(self, item: Item) -> str | None:
        """The first file of an item, if this machine can read all of them."""
        for file in item.files:
            if not await _can_read_here(file.path):
                return None
        return item.files[0].path if item.files else None


async def _can_read_here(path: str) -> bool:
    try:
        await asyncio.wait_for(asyncio.to_thread(read_head, path, 1), CALL_SECONDS)
    except (OSError, ValueError, BatchInferError):
        return False
    return True


def _describe_missing_mount(path: str, reason: str) -> str:
    return (
        f"it cannot read {escape_undecodable(path)}, which this machine can ({reason.rstrip('.')}):"
        " mount the source there under the same path, readable for the user of the worker"
    )


def _make_lost_failure(losses: int) -> Failure:
    return Failure(
        "worker_lost",
        f"{losses} workers were lost while they worked at this item, one after the other. Look "
        "into their logs: were they killed for lack of memory?",
        FailureKind.TRANSIENT,
        signal=ServiceSignal.UNSENT,
    )
