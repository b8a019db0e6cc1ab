"""An hour of async mode on a virtual clock, for `live.py`: what is real and what is not, see there.

Every call of the bucket takes a round trip, an event comes a little later than its object, and the
two outputs of an item are written one after the other, in either order. Time in which code runs
counts as none.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from urllib.parse import quote_plus

import anyio
import trio
import trio.testing

from batchinfer.backends.bucket_client import ListedObject, ListingPage
from batchinfer.backends.output_notifications import OutputNotifications
from batchinfer.backends.output_watcher import BucketOutputWatcher
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.s3_notifications import S3NotificationStream
from batchinfer.domain import Failure, Item, OpenItem, Record, State, Submitted
from batchinfer.engine import Engine, PollInterval, RunPolicy
from batchinfer.engine.recorder import ChangeNotifier
from batchinfer.flow import FixedLimit, Gate, ServiceHealth, ServiceState
from batchinfer.ports import Committed
from batchinfer.protocols.registry import load_protocol
from batchinfer.testing import MemoryStore
from benchmarks.peers.answering import LOG, REPLY

RUN_ID, TAG = "simulated1", "epoch123" + "0123456789abcdef"
EPOCH = 1_700_000_000.0
ROUND_TRIP = 0.02
"""Seconds of a call of the bucket."""
EVENT_DELAY = 0.02
"""Seconds from an object to its event."""
UPLOAD_GAP = 0.05
"""Seconds between the two outputs of an item."""
MAX_SUBMITTED = 1_000
PAGE = 1_000
BUCKET = "simulated"


@dataclass(frozen=True, slots=True)
class Scenario:
    """So many items whose outputs come evenly in so many seconds."""

    title: str
    items: int
    seconds: float
    notified: bool = True
    lost: int = 0
    """Jobs of the first items that leave nothing."""
    lose: float = 0.0
    """Share of the events that are lost."""
    drop: float | None = None
    """Seconds after which a stream is cut off."""


@dataclass(slots=True)
class Hour:
    """What came of it."""

    lags: list[float] = field(default_factory=list)
    """Seconds from the second output of an item to its record."""
    listings: int = 0
    """Pages of listings."""
    polls: int = 0


def simulate(scenario: Scenario) -> Hour:
    """Run a scenario."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(_Simulation(scenario).run, clock=clock)


class _Store(MemoryStore):
    """As it is, without what takes it long for so many items: looking through all of them."""

    def __init__(self) -> None:
        super().__init__()
        self._first_open = self._first_pending = 0
        """Where in the order of positions no earlier item is open, or pending."""

    async def commit_records(self, records: Sequence[Record]) -> Sequence[State | None]:
        for record in records:
            if record.state is State.PENDING:
                place = bisect_left(self._order, record.position)
                self._first_pending = min(self._first_pending, place)
        return await super().commit_records(records)

    async def fetch_pending(self, after: int, limit: int, due: float) -> Sequence[Item]:
        order = self._order
        while self._first_pending < len(order) and not self._is(State.PENDING, self._first_pending):
            self._first_pending += 1
        if self._first_pending:
            after = max(after, order[self._first_pending - 1])
        return await super().fetch_pending(after, limit, due)

    async def fetch_lowest_open_position(self) -> int | None:
        order = self._order
        while self._first_open < len(order) and self._is(State.SUCCEEDED, self._first_open):
            self._first_open += 1
        for place in range(self._first_open, len(order)):
            status = self._statuses[order[place]]
            if status.state is State.SUBMITTED or (
                status.state is State.PENDING and status.attempts
            ):
                return order[place]
        return None

    async def fetch_overdue(self, submitted_before: float, limit: int) -> Sequence[OpenItem]:
        if submitted_before <= EPOCH:  # nothing was submitted before the run
            return []
        return await super().fetch_overdue(submitted_before, limit)

    def _is(self, state: State, place: int) -> bool:
        return self._statuses[self._order[place]].state is state


class _Simulation:
    """The bucket, the service behind it, and the store's notifications."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._rng, self.hour = scenario, Random(1), Hour()
        self._objects: dict[str, bytes] = {}
        self._keys: list[str] = []
        """Of the outputs, sorted."""
        self._jobs: deque[tuple[int, str]] = deque()
        self._submitted = ChangeNotifier()
        self._written_at: dict[int, float] = {}
        self._lines: deque[tuple[float, bytes]] | None = None
        """What the stream has to tell, and when; None: there is no stream."""
        self._told = ChangeNotifier()
        self._store = _Store()

    async def run(self) -> Hour:
        protocol = load_protocol("ai4os").bucket
        assert protocol is not None
        watcher = BucketOutputWatcher(
            self,
            protocol=protocol,
            run_id=RUN_ID,
            redactor=Redactor(()),
            notifications=OutputNotifications(
                protocol,
                RUN_ID,
                self if self._scenario.notified else None,
                undecided_pause=15.0,
                jitter=self._rng.random,
            ),
        )
        self._make_name, self._make_keys = protocol.make_object_name, protocol.make_output_keys
        engine = Engine(
            queue=self._store,
            sink=self._store,
            submissions=self._store,
            gate=Gate(FixedLimit(32), None, ServiceHealth(ServiceState.WARM)),
            observer=self,
            backend=self,
            read_page=self._read_page,
            watcher=_CountingWatcher(watcher, self.hour),
            submitted_limit=FixedLimit(MAX_SUBMITTED),
            policy=RunPolicy(),
            poll_interval=PollInterval(),
            clock=lambda: EPOCH + anyio.current_time(),
            jitter=self._rng.random,
        )
        self._unread = iter([Item(str(n)) for n in range(1, self._scenario.items + 1)])
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._serve)
            await engine.run()
            self._tasks.cancel_scope.cancel()
        return self.hour

    async def _read_page(self, size: int) -> Sequence[Item]:
        await anyio.lowlevel.checkpoint()
        return [item for _, item in zip(range(size), self._unread, strict=False)]

    # The service ----------------------------------------------------------------------------------

    async def attempt(self, item: Item, number: int) -> Submitted | Failure:
        """See `ports.Backend`: put the input."""
        await anyio.sleep(ROUND_TRIP)
        name = self._make_name(RUN_ID, item.position, number, TAG)
        if item.position > self._scenario.lost or number > 1:
            self._jobs.append((item.position, name))
            self._submitted.notify()
        return Submitted(name)

    async def _serve(self) -> None:
        """Write the outputs of a job after the other."""
        pause = self._scenario.seconds / self._scenario.items
        due = anyio.current_time()
        while True:
            due += pause
            await anyio.sleep(due - anyio.current_time())
            while not self._jobs:
                await self._submitted.wait_changed(self._submitted.count)
                due = anyio.current_time()
            self._tasks.start_soon(self._write_outputs, *self._jobs.popleft())

    async def _write_outputs(self, position: int, name: str) -> None:
        log, reply = self._make_keys(name)
        outputs = [(log, LOG), (reply, REPLY)]
        self._rng.shuffle(outputs)
        for key, body in outputs:
            await anyio.sleep(UPLOAD_GAP * self._rng.random())
            self._objects[key] = body
            insort(self._keys, key)
            if self._rng.random() >= self._scenario.lose:
                self._tell(key, len(body))
        self._written_at[position] = anyio.current_time()

    def _tell(self, key: str, size: int) -> None:
        if self._lines is not None:
            about = {"bucket": {"name": BUCKET}, "object": {"key": quote_plus(key), "size": size}}
            event = {"eventName": "s3:ObjectCreated:Put", "s3": about}
            line = json.dumps({"Records": [event]}).encode() + b"\n"
            self._lines.append((anyio.current_time() + EVENT_DELAY, line))
            self._told.notify()

    # The store's notifications --------------------------------------------------------------------

    @asynccontextmanager
    async def open_notifications(self, prefix: str) -> AsyncIterator[S3NotificationStream]:
        """See `NotificationSource`."""
        assert prefix.endswith(f"{RUN_ID}-")
        await anyio.sleep(ROUND_TRIP)
        self._lines = deque()
        self._ends_at = anyio.current_time() + (self._scenario.drop or 1e9)
        try:
            yield S3NotificationStream(self, BUCKET)
        finally:
            self._lines = None

    async def read_some(self) -> bytes:
        """See `ResponseStream`."""
        assert self._lines is not None
        with anyio.move_on_after(5):
            while not self._lines:
                await self._told.wait_changed(self._told.count)
        if anyio.current_time() >= self._ends_at:
            return b""
        if not self._lines:
            return b'{"Records":null}\n'
        await anyio.sleep(self._lines[0][0] - anyio.current_time())
        now, data = anyio.current_time(), b""
        while self._lines and self._lines[0][0] <= now:
            data += self._lines.popleft()[1]
        return data

    # The bucket, see `BucketClient` ---------------------------------------------------------------

    async def get(self, key: str, max_bytes: int | None = None) -> bytes | None:
        """See BucketClient."""
        del max_bytes
        await anyio.sleep(ROUND_TRIP)
        return self._objects.get(key)

    async def list_page(
        self, prefix: str, *, start_after: str = "", token: str | None = None
    ) -> ListingPage:
        """See BucketClient."""
        await anyio.sleep(ROUND_TRIP)
        self.hour.listings += 1
        first = bisect_right(self._keys, max(start_after, token or "", prefix))
        page = [key for key in islice(self._keys, first, first + PAGE) if key.startswith(prefix)]
        has_more = first + PAGE < len(self._keys) and len(page) == PAGE
        entries = [ListedObject(key, len(self._objects[key])) for key in page]
        return ListingPage(entries, page[-1] if has_more else None)

    async def put(self, key: str, body: object, *, sha256: str | None = None) -> None:
        """See BucketClient: `attempt` does it here."""
        raise NotImplementedError

    async def exists(self, key: str) -> bool:
        """See BucketClient."""
        return key in self._objects

    async def delete(self, key: str) -> None:
        """See BucketClient: nothing is deleted."""
        raise NotImplementedError

    def notify(self, event: object) -> None:
        """See `ports.Observer`: note what has become durable."""
        if isinstance(event, Committed):
            now = anyio.current_time()
            for record in event.records:
                if record.state is State.SUCCEEDED:
                    self.hour.lags.append(now - self._written_at[record.position])


class _CountingWatcher:
    """A watcher whose polls are counted."""

    def __init__(self, watcher: BucketOutputWatcher, hour: Hour) -> None:
        self._hour, self._watcher = hour, watcher
        self.listen, self.advise = watcher.listen, watcher.advise
        self.poll_named, self.cleanup = watcher.poll_named, watcher.cleanup
        self.find_unrecorded = watcher.find_unrecorded

    async def poll(self, *args: object) -> None:
        """See `OutputWatcher`."""
        self._hour.polls += 1
        await self._watcher.poll(*args)  # type: ignore[arg-type]
