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
from collections.abc import AsyncIterator, Callable, Collection, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from batchinfer.domain import Counts, Item, Json, Open, Record, RunInfo, State
from batchinfer.errors import StoreError
from batchinfer.ports import Added, Adjusted, Placed
from batchinfer.store import additions, queues, recording, run_metadata, sessions
from batchinfer.store.database import (
    DATABASE,
    closed_on_error,
    identity_of,
    make,
    open_to_write,
    translated,
)
from batchinfer.store.run_metadata import read_info
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
        self._write = Desk(directory, opened.writer, opened.identity)
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

    async def add(self, items: Sequence[Item], begun: Container[int] = ()) -> Added:
        """Add a page. Raises SourceError when one key stands for two paths."""
        return await self._write.do(additions.add, items, begun, self._session)

    async def pending(self, after: int, limit: int, due: float) -> Sequence[Item]:
        """Pending items that are due, a page of them."""
        return await self._read.do(queues.pending, after, limit, due)

    async def next_due(self, after: float) -> float | None:
        """When the next item is due that backs off beyond `after`."""
        return await self._read.do(queues.next_due, after)

    async def record(self, records: Sequence[Record]) -> Sequence[State | None]:
        """Commit a pile."""
        return await self._write.do(recording.record, self.directory, records, self._session)

    async def adopt(self, placed: Sequence[Placed], at: float) -> int:
        """Mark as submitted what was found in the bucket."""
        return await self._write.do(recording.adopt, placed, at, self._session)

    async def unfinished(self, positions: Collection[int]) -> Mapping[int, Open]:
        """Those of `positions` without a final outcome."""
        return await self._read.do(queues.unfinished, positions)

    async def lowest_unfinished(self) -> int | None:
        """Where outputs may still turn up, at the lowest."""
        return await self._read.do(queues.lowest_unfinished)

    async def overdue(self, submitted_before: float, limit: int) -> Sequence[Open]:
        """Items submitted too long ago."""
        return await self._read.do(queues.overdue, submitted_before, limit)

    async def forget_future(self, now: float) -> None:
        """Bring what lies in the future back to `now`."""
        await self._write.do(queues.forget_future, now)

    async def source_read(self) -> None:
        """Note that the source has been read to its end."""
        await self._write.do(run_metadata.source_read)
        self.source_is_read = True

    async def note(self, adjusted: Sequence[Adjusted]) -> None:
        """Keep how the limit moved."""
        await self._write.do(run_metadata.note, adjusted)

    async def counts(self) -> Counts:
        """Items by state."""
        return await self._read.do(queues.counts)

    async def begin(self, params: Mapping[str, Json]) -> Session:
        """Begin a session: from now on this process sends, these being the config's [params]."""
        self._session = await self._write.do(sessions.begin, params)
        return self._session

    async def keep_help(self, text: str) -> None:
        """Keep the model's help with the run, in place of what was kept before."""
        await self._write.do(run_metadata.keep_help, text)

    async def requeue(self, *, code: str | None = None, key: str | None = None) -> int:
        """Put failed items back to pending, due now, with a fresh budget of attempts; how many.

        Only those whose failure has this `code`, only the one with this `key`, if given. Size and
        time of their files are taken as they are now.
        """
        return await self._write.do(queues.requeue, code, key)


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening a run gives; done in a thread."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    info: RunInfo
    source_is_read: bool
    identity: tuple[int, int] | None
    """Device and inode of the database."""

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Open the run in `directory`."""
        writer = open_to_write(directory)
        identity = identity_of(directory)
        with closed_on_error(writer):
            reader = open_to_write(directory)
            with closed_on_error(reader), translated(directory / DATABASE):
                reader.execute("PRAGMA query_only = ON")
                return cls(writer, reader, *read_info(reader), identity)


class Desk:
    """One connection, used by one thread at a time."""

    def __init__(
        self,
        directory: Path,
        connection: sqlite3.Connection,
        identity: tuple[int, int] | None = None,
    ) -> None:
        """`identity`: of the file that must still be there at each verb."""
        self._directory, self._identity = directory, identity
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
                if self._identity is not None and identity_of(self._directory) != self._identity:
                    raise StoreError(_gone(self._path))
                return verb(self._connection, *args, **kwargs)

        return await to_thread.run_sync(work, limiter=self._limiter)

    async def close(self) -> None:
        """Close the connection once its last verb is done."""
        self._identity = None
        await self.do(sqlite3.Connection.close)


def _gone(path: Path) -> str:
    return (
        f"{path} was deleted, moved or replaced while the run was going on: nothing more can be "
        "recorded, so the run stops here. Put the run directory back and resume the run, or start "
        "a new one."
    )
