"""A store that tells what is written, as a test wants it told."""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from batchinfer.backends.bucket_client import ListedObject
from batchinfer.backends.output_notifications import OutputNotifications
from batchinfer.backends.output_watcher import BucketOutputWatcher
from batchinfer.backends.redaction import Redactor
from batchinfer.engine.recorder import ChangeNotifier
from batchinfer.protocols.ai4os.object_names import make_object_name
from support.protocols import AI4OS_BUCKET
from support.watched_bucket import GRACE, RUN, TAG, Desk


class FakeStream:
    def __init__(self, source: "FakeSource") -> None:
        self._source = source

    async def fetch_written(self) -> Sequence[ListedObject]:
        source = self._source
        while not source.told:
            await source.changes.wait_changed(source.changes.count)
        told = source.told.popleft()
        if isinstance(told, Exception):
            raise told
        return told


@dataclass
class FakeSource:
    """A `NotificationSource`: `answers` says what the next requests come to."""

    answers: list[Exception | None] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    """When a stream was asked for."""
    closed: int = 0
    told: deque[Sequence[ListedObject] | Exception] = field(default_factory=deque)
    changes: ChangeNotifier = field(default_factory=ChangeNotifier)

    @asynccontextmanager
    async def open_notifications(self, prefix: str) -> AsyncIterator[FakeStream]:
        assert prefix == f"outputs/{RUN}-"
        self.opened.append(anyio.current_time())
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        try:
            yield FakeStream(self)
        finally:
            self.closed += 1

    def tell(self, *entries: ListedObject) -> None:
        self.told.append(entries)
        self.changes.notify()

    def drop(self, error: Exception | None = None) -> None:
        self.told.append(error or ConnectionError("dropped"))
        self.changes.notify()


class NotifiedDesk(Desk):
    """A desk whose watcher is told of outputs; the poll that a new stream asks for is made."""

    def __init__(self) -> None:
        super().__init__()
        self.source = FakeSource()
        self.woken = 0
        self.watcher = BucketOutputWatcher(
            self.bucket,
            protocol=AI4OS_BUCKET,
            run_id=RUN,
            redactor=Redactor([]),
            grace_seconds=GRACE,
            notifications=OutputNotifications(
                AI4OS_BUCKET, RUN, self.source, undecided_pause=GRACE / 2, jitter=lambda: 0.0
            ),
        )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        def wakeup() -> None:
            self.woken += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.watcher.listen, wakeup)
            await anyio.wait_all_tasks_blocked()
            await self.look()
            yield
            tasks.cancel_scope.cancel()

    def entry(self, extension: str, position: int = 1, attempt: int = 1, size: int | None = None):
        key = f"outputs/{make_object_name(RUN, position, attempt, TAG)}.{extension}"
        return ListedObject(key, len(self.bucket.objects.get(key, b"")) if size is None else size)

    async def tell(self, *entries: ListedObject) -> None:
        self.source.tell(*entries)
        await anyio.wait_all_tasks_blocked()

    async def look_named(self):
        """What one look at what was named brings."""
        before = len(self.arrivals)

        async def emit(arrival) -> None:
            self.arrivals.append(arrival)

        await self.watcher.poll_named(self.store, emit)
        return self.arrivals[before:]
