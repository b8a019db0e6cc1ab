"""Which workers there are, and which of them takes the next attempt.

Rules:

1. A worker is opened as soon as the scheduler knows it, also one that joins later. The next attempt
   goes to the one with the fewest in flight: who answers quickly gets more.
2. A worker that refuses, or that cannot be reached, gets nothing, and is asked again after a while.
   When all refuse, the run ends with what they say.
3. While there is no worker, attempts wait: an outage, reported as one, for `give_up_after` seconds.
4. Workers that are lost again and again, without any answer in between, end the run: what kills
   them would kill the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Final

from batchinfer.cluster.bandwidth_shares import BandwidthShares
from batchinfer.cluster.worker_link import WorkerLink
from batchinfer.cluster.worker_outage import REFUSED_SECONDS, WorkerOutage
from batchinfer.cluster.worker_refusals import WorkerRefusals
from batchinfer.cluster.worker_transport import (
    RemoteWorker,
    WorkerGone,
    WorkerRefusal,
    WorkerSetup,
    WorkerTransport,
)
from batchinfer.errors import FatalError
from batchinfer.flow.memory_budget import MemoryBudget
from batchinfer.ports import Observer

WATCH_SECONDS: Final = 1.0
"""Seconds between two looks at who is there."""
OPEN_SECONDS: Final = 60.0
"""Seconds that a worker is given to open the run."""
MAX_LOSSES_WITHOUT_ANSWER: Final = 10
"""Workers lost in a row, without an answer in between."""
CLOSE_WORKERS_SECONDS: Final = 3.0
"""Seconds that workers are given to close at the end; their leases end in any case."""


class ClusterPool:
    """The workers of a run. `run` watches over them; all times are the event loop's.

    `bandwidth`: bytes per second that all of them send together, at most.
    """

    def __init__(
        self,
        transport: WorkerTransport,
        setup: WorkerSetup,
        observer: Observer,
        memory_budget: MemoryBudget,
        *,
        give_up_after: float,
        max_in_flight: int | None = None,
        bandwidth: float | None = None,
        refused_seconds: float = REFUSED_SECONDS,
    ) -> None:
        self.lease_seconds = setup.lease_seconds
        """As in `WorkerSetup`."""
        self._transport, self._setup = transport, setup
        self._memory_budget, self._max_in_flight = memory_budget, max_in_flight
        self._bandwidth_shares = BandwidthShares(bandwidth) if bandwidth else None
        self._outage = WorkerOutage(
            observer, give_up_after=give_up_after, refused_seconds=refused_seconds
        )
        self._refusals = WorkerRefusals(observer)
        self._loop = asyncio.get_running_loop()
        self._listed: frozenset[str] = frozenset()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._links: dict[str, WorkerLink] = {}
        self._scheduler_trouble = ""
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closing: set[asyncio.Task[None]] = set()
        self._losses = 0
        self._fatal: FatalError | None = None

    # Attempts -------------------------------------------------------------------------------------

    async def acquire(self, avoided: Collection[str] = ()) -> WorkerLink:
        """The worker that takes the next attempt, as soon as one has room. Raises FatalError.

        `avoided`: addresses that are taken only if there is no other.
        """
        while True:
            if self._fatal is not None:
                raise FatalError(self._fatal.code, self._fatal.message)
            if (link := self.find_room(avoided)) is not None:
                return link
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                else:
                    self.wake_waiting()  # the room is for another
                raise

    def find_room(self, avoided: Collection[str] = ()) -> WorkerLink | None:
        """The worker that takes the next attempt, if one has room. `avoided`: see `acquire`."""
        now, best = self._loop.time(), None
        is_choosy = bool(avoided) and any(
            not link.is_lost and link.address not in avoided for link in self._links.values()
        )
        for link in self._links.values():
            if (
                (best is None or link.in_flight < best.in_flight)
                and not link.is_lost
                and link.has_room(now)
                and not (is_choosy and link.address in avoided)
            ):
                best = link
        return best

    def wake_waiting(self) -> None:
        """There may be room for an attempt that waits."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():  # cancelled
                waiter.set_result(None)
                return

    def note_answer(self) -> None:
        """A worker has brought an outcome: it can work."""
        self._losses = 0

    def note_loss(self, link: WorkerLink) -> None:
        """An attempt was lost with its worker; the first that says so counts."""
        if not link.is_loss_counted:
            link.is_loss_counted = True
            self._losses += 1
            if self._losses >= MAX_LOSSES_WITHOUT_ANSWER:
                self._fail(
                    FatalError(
                        "workers_lost",
                        f"{self._losses} workers were lost one after the other, and none of them "
                        "answered anything in between (the latest: "
                        f"{link.address}). No item was failed for it: look into the logs of the "
                        "workers (killed for lack of memory?), then continue",
                    )
                )

    def refuse(self, link: WorkerLink, reason: str) -> None:
        """Give this worker nothing more: it cannot do what the others may be able to."""
        self._refusals.add(link.address, reason)
        link.is_loss_counted = True  # it was not lost
        link.lose()
        if (task := self._tasks.get(link.address)) is not None:
            task.cancel()

    # Watching -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch over the workers until cancelled; then let them close."""
        sharing = None
        if self._bandwidth_shares is not None:
            sharing = self._loop.create_task(self._bandwidth_shares.run())
        try:
            while True:
                await self._refresh()
                self._watch_outage()
                await asyncio.sleep(WATCH_SECONDS)
        except Exception as error:
            name = type(error).__name__
            self._fail(FatalError("cluster_error", f"The cluster cannot be watched ({name})"))
            raise
        finally:
            if sharing is not None:
                sharing.cancel()
            await self._close()

    async def is_listed(self, address: str) -> bool:
        """Whether the scheduler knows the worker, asked now."""
        await self._refresh()
        return address in self._listed

    async def _refresh(self) -> None:
        """Open workers that are new, and lose those that the scheduler does not know any more."""
        try:
            self._listed = frozenset(await self._transport.list_addresses())
        except OSError as error:
            self._scheduler_trouble = f"the scheduler does not answer ({error})"
            return  # says nothing about the workers
        self._scheduler_trouble = ""
        for address in self._listed - self._tasks.keys():
            if self._refusals.may_ask(address):
                self._tasks[address] = self._loop.create_task(self._serve(address))
        for address in self._links.keys() - self._listed:
            self._links[address].lose()
            self._tasks[address].cancel()
        self._refusals.keep(self._listed)

    async def _serve(self, address: str) -> None:
        """Open a worker, and carry its attempts until it is lost."""
        worker: RemoteWorker | None = None
        link: WorkerLink | None = None
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                worker = await self._transport.connect(address)
                capacity = await worker.open(self._setup)
                link = self._make_link(address, worker, capacity)
                if self._bandwidth_shares is not None:
                    await self._bandwidth_shares.admit(link)
            self._add_link(link)
            await link.run()
        except WorkerRefusal as refusal:
            self._refusals.add(address, str(refusal))
        except TimeoutError:
            self._refusals.add(
                address,
                f"it did not open the run within {OPEN_SECONDS:g} s: is it busy with other tasks?",
            )
        except (OSError, WorkerGone) as error:
            self._refusals.add(
                address,
                f"it cannot be reached from here ({str(error) or type(error).__name__}): workers "
                "are called directly, so let this machine reach their ports (`dask worker "
                "--worker-port`), or start the run inside the cluster's network",
            )
        except Exception as error:  # noqa: BLE001 - another worker may do; its text may quote settings
            self._refusals.add(address, f"it failed in an unforeseen way ({type(error).__name__})")
        finally:
            self._links.pop(address, None)
            self._tasks.pop(address, None)
            if link is not None:
                link.lose()
                if self._bandwidth_shares is not None:
                    self._bandwidth_shares.remove(link)
            if worker is not None:
                closing = self._loop.create_task(_close_quietly(worker))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def _make_link(self, address: str, worker: RemoteWorker, capacity: int | None) -> WorkerLink:
        limits = [limit for limit in (capacity, self._max_in_flight) if limit is not None]
        return WorkerLink(
            address,
            worker,
            capacity=min(limits, default=None),
            lease_seconds=self.lease_seconds,
            memory_budget=self._memory_budget,
            is_listed=self.is_listed,
            on_heard_again=self._wake_all,
        )

    def _add_link(self, link: WorkerLink) -> None:
        self._links[link.address] = link
        self._refusals.remove(link.address)
        self._watch_outage()

    # Ends -----------------------------------------------------------------------------------------

    def _watch_outage(self) -> None:
        now = self._loop.time()
        if self._links:
            self._outage.end(now)
            self._wake_all()  # a pause after a shortage may be over
        elif self._waiters:
            error = self._outage.update(
                now,
                refusals=self._refusals.describe(),
                are_all_refusing=self._refusals.include_all(self._listed),
                scheduler_trouble=self._scheduler_trouble,
            )
            if error is not None:
                self._fail(error)

    def _fail(self, error: FatalError) -> None:
        self._fatal = error
        self._wake_all()

    def _wake_all(self) -> None:
        while self._waiters:
            self.wake_waiting()

    async def _close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()  # which lets its worker close
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_WORKERS_SECONDS)
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_WORKERS_SECONDS)


async def _close_quietly(worker: RemoteWorker) -> None:
    """Let a worker close, if it is still there."""
    try:
        async with asyncio.timeout(CLOSE_WORKERS_SECONDS):
            await worker.close()
    except (OSError, WorkerGone, WorkerRefusal):
        return
