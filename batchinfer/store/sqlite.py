"""`ports.Store` in `run.db`: the one that lasts.

Rules:

1. One verb is one transaction in one worker thread; it is not cut off halfway: a cancelled caller
   has either not begun or is done.
2. One writing connection and one reading one, each used by one thread at a time.
3. What changes is decided by `rules.py`; here it is read and written, a whole pile or page at once,
   one statement a table (`codec.py` says why).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from batchinfer.domain import Counts, Item, Json, Open, Record, RunInfo, State
from batchinfer.ports import Added, Adjusted, Placed
from batchinfer.store import verbs
from batchinfer.store.database import (
    DATABASE,
    closed_on_error,
    make,
    open_to_write,
    read_info,
    translated,
)
from batchinfer.store.sessions import Session

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SqliteStore:
    """A run in its directory. Take the directory's `RunLock` first: there is one writer."""

    def __init__(self, directory: Path, opened: Opened) -> None:
        """Use `create` or `open`."""
        self.directory = directory
        self.info, self.source_is_read = opened.info, opened.source_is_read
        self._session: Session | None = None
        self._write = Desk(directory, opened.writer)
        self._read = Desk(directory, opened.reader)

    @classmethod
    @asynccontextmanager
    async def create(cls, directory: Path, info: RunInfo) -> AsyncIterator[Self]:
        """Make a run and open it. Raises StoreError when the directory holds one already."""
        await to_thread.run_sync(make, directory, info)
        async with cls.open(directory) as store:
            yield store

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path) -> AsyncIterator[Self]:
        """Open a run. Raises RunCorrupt when there is none that this version can read."""
        store = cls(directory, await to_thread.run_sync(Opened.of, directory))
        try:
            yield store
        finally:
            with CancelScope(shield=True):
                await store.aclose()

    async def aclose(self) -> None:
        """Let running verbs end, then close; what WAL holds moves into `run.db`."""
        await self._read.close()
        await self._write.close()

    # ports.Store ----------------------------------------------------------------------------------

    async def add(self, items: Sequence[Item]) -> Added:
        """Add a page. Raises SourceError when one key stands for two paths."""
        return await self._write.do(verbs.add, items, self._session)

    async def pending(self, after: int, limit: int, due: float) -> Sequence[Item]:
        """Pending items that are due, a page of them."""
        return await self._read.do(verbs.pending, after, limit, due)

    async def next_due(self, after: float) -> float | None:
        """When the next item is due that backs off beyond `after`."""
        return await self._read.do(verbs.next_due, after)

    async def record(self, records: Sequence[Record]) -> Sequence[State | None]:
        """Commit a pile."""
        return await self._write.do(verbs.record, self.directory, records, self._session)

    async def adopt(self, placed: Sequence[Placed], at: float) -> int:
        """Mark as submitted what was found in the bucket."""
        return await self._write.do(verbs.adopt, placed, at, self._session)

    async def unfinished(self, positions: Collection[int]) -> Mapping[int, Open]:
        """Those of `positions` without a final outcome."""
        return await self._read.do(verbs.unfinished, positions)

    async def lowest_unfinished(self) -> int | None:
        """Where outputs may still turn up, at the lowest."""
        return await self._read.do(verbs.lowest_unfinished)

    async def overdue(self, submitted_before: float, limit: int) -> Sequence[Open]:
        """Items submitted too long ago."""
        return await self._read.do(verbs.overdue, submitted_before, limit)

    async def forget_future(self, now: float) -> None:
        """Bring what lies in the future back to `now`."""
        await self._write.do(verbs.forget_future, now)

    async def source_read(self) -> None:
        """Note that the source has been read to its end."""
        await self._write.do(verbs.source_read)
        self.source_is_read = True

    async def note(self, adjusted: Sequence[Adjusted]) -> None:
        """Keep how the limit moved."""
        await self._write.do(verbs.note, adjusted)

    async def counts(self) -> Counts:
        """Items by state."""
        return await self._read.do(verbs.counts)

    async def begin(self, params: Mapping[str, Json]) -> None:
        """Begin a session: from now on this process sends, these being the config's [params]."""
        self._session = await self._write.do(verbs.begin, params)

    async def keep_help(self, text: str) -> None:
        """Keep the model's help with the run, in place of what was kept before."""
        await self._write.do(verbs.keep_help, text)

    async def requeue(self, *, code: str | None = None, key: str | None = None) -> int:
        """Put failed items back to pending, due now, with a fresh budget of attempts; how many.

        Only those whose failure has this `code`, only the one with this `key`, if given. Size and
        time of their files are taken as they are now.
        """
        return await self._write.do(verbs.requeue, code, key)


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening a run gives; done in a thread."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    info: RunInfo
    source_is_read: bool

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Open the run in `directory`."""
        writer = open_to_write(directory)
        with closed_on_error(writer):
            reader = open_to_write(directory)
            with closed_on_error(reader), translated(directory / DATABASE):
                reader.execute("PRAGMA query_only = ON")
                return cls(writer, reader, *read_info(reader))


class Desk:
    """One connection, used by one thread at a time."""

    def __init__(self, directory: Path, connection: sqlite3.Connection) -> None:
        self._path = directory / DATABASE
        self._connection = connection
        self._limiter = CapacityLimiter(1)
        # The limiter queues callers without a thread. It is not enough: cancelled by asyncio's own
        # means, a caller leaves it while his thread is still at work.
        self._lock = threading.Lock()

    async def do(
        self,
        verb: Callable[Concatenate[sqlite3.Connection, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Carry out `verb` in a thread, to its end."""

        def work() -> _T:
            with self._lock, translated(self._path):
                return verb(self._connection, *args, **kwargs)

        return await to_thread.run_sync(work, limiter=self._limiter)

    async def close(self) -> None:
        """Close the connection once its last verb is done."""
        await self.do(sqlite3.Connection.close)
