"""`ports.Store` in `run.db`: the one that outlives the process.

Rules:

1. One operation is one transaction in one worker thread, and is not cut off halfway: for a
   cancelled caller it has either not begun or is done.
2. One writing connection and one reading one, each used by one thread at a time.
3. `transitions` decides what changes; here it is read and written, a whole batch or page at once,
   one statement a table (`json_codec` says why).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Collection, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, Self, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from batchinfer.domain import Counts, Item, Json, OpenItem, Record, RunInfo, State
from batchinfer.errors import StoreError
from batchinfer.ports import AddResult, KnownItem, LimitChanged, PutBack, SubmittedObject
from batchinfer.store import (
    attempt_records,
    item_counts,
    known_items,
    run_metadata,
    sessions,
    work_queue,
)
from batchinfer.store.database import (
    DATABASE_NAME,
    close_on_error,
    create_database,
    get_file_identity,
    open_writable,
    translate_errors,
)
from batchinfer.store.run_metadata import read_run_info
from batchinfer.store.sessions import RunSession

_READER_CACHE_KIB: Final = 2_048
"""Pages in the memory of the reading connection: it reads the queue from its beginning to its end,
and hardly any page twice."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SqliteStore:
    """A run in its directory. Take the directory's `RunLock` first: there is one writer."""

    def __init__(self, directory: Path, connections: RunConnections) -> None:
        """Use `create` or `open`."""
        self.directory = directory
        self.info, self.is_source_complete = connections.info, connections.is_source_complete
        self._session: RunSession | None = None
        self._writer = ThreadedConnection(directory, connections.writer, connections.file_identity)
        self._reader = ThreadedConnection(directory, connections.reader)

    @classmethod
    @asynccontextmanager
    async def create(cls, directory: Path, info: RunInfo) -> AsyncIterator[Self]:
        """Make a run and open it. Raises StoreError when the directory holds one already."""
        await to_thread.run_sync(create_database, directory, info)
        async with cls.open(directory) as store:
            yield store

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path) -> AsyncIterator[Self]:
        """Open a run. Raises RunCorrupt when there is none that this version can read."""
        store = cls(directory, await to_thread.run_sync(RunConnections.open, directory))
        try:
            yield store
        finally:
            with CancelScope(shield=True):
                await store.aclose()

    async def aclose(self) -> None:
        """Let running operations end, then close; what WAL holds moves into `run.db`."""
        await self._reader.close()
        await self._writer.close()

    # ports.Store ----------------------------------------------------------------------------------

    async def add(self, items: Sequence[Item], maybe_in_flight: Container[int] = ()) -> AddResult:
        """Add a page. Raises SourceError when one key stands for two paths."""
        return await self._writer.run(work_queue.add_items, items, maybe_in_flight, self._session)

    async def fetch_pending(self, after: int, limit: int, due: float) -> Sequence[Item]:
        """Pending items that are due, a page of them."""
        return await self._reader.run(work_queue.fetch_pending, after, limit, due)

    async def fetch_next_retry_at(self, after: float) -> float | None:
        """When the next item is due that backs off beyond `after`."""
        return await self._reader.run(work_queue.fetch_next_retry_at, after)

    async def commit_records(self, records: Sequence[Record]) -> Sequence[State | None]:
        """Commit a batch."""
        return await self._writer.run(
            attempt_records.commit_records, self.directory, records, self._session
        )

    async def mark_submitted(self, objects: Sequence[SubmittedObject], at: float) -> int:
        """Mark as submitted what was found in the bucket."""
        return await self._writer.run(attempt_records.mark_submitted, objects, at, self._session)

    async def fetch_open(self, positions: Collection[int]) -> Mapping[int, OpenItem]:
        """Those of `positions` without a final outcome."""
        return await self._reader.run(work_queue.fetch_open, positions)

    async def fetch_lowest_open_position(self) -> int | None:
        """Where outputs may still turn up, at the lowest."""
        return await self._reader.run(work_queue.fetch_lowest_open_position)

    async def fetch_overdue(self, submitted_before: float, limit: int) -> Sequence[OpenItem]:
        """Items submitted too long ago."""
        return await self._reader.run(work_queue.fetch_overdue, submitted_before, limit)

    async def clamp_future_times(self, now: float) -> None:
        """Bring what lies in the future back to `now`."""
        await self._writer.run(work_queue.clamp_future_times, now)

    async def mark_source_complete(self) -> None:
        """Note that the source has been read to its end."""
        await self._writer.run(run_metadata.mark_source_complete)
        self.is_source_complete = True

    async def find_known(self, keys: Sequence[str]) -> Mapping[str, KnownItem]:
        """Those of these keys that are in the run."""
        return await self._reader.run(known_items.find_known, keys)

    async def put_back(self, items: Sequence[Item]) -> PutBack:
        """Put finished items back to pending, with these files."""
        return await self._writer.run(known_items.put_back_items, items)

    async def save_limit_changes(self, changes: Sequence[LimitChanged]) -> None:
        """Keep how the limit moved."""
        await self._writer.run(run_metadata.save_limit_changes, changes)

    async def fetch_counts(self) -> Counts:
        """Items by state."""
        return await self._reader.run(item_counts.fetch_counts)

    async def fetch_failure_counts(self) -> Mapping[str, int]:
        """How many items of the run have failed, by code, most frequent first."""
        return await self._reader.run(item_counts.fetch_failure_counts)

    async def start_session(self, params: Mapping[str, Json]) -> RunSession:
        """Begin a session: from now on this process sends, these being the config's [params]."""
        self._session = await self._writer.run(sessions.start_session, params)
        return self._session

    async def save_model_help(self, text: str) -> None:
        """Keep the model's help with the run, in place of what was kept before."""
        await self._writer.run(run_metadata.save_model_help, text)

    async def count_reused(self) -> int:
        """How many results were taken over from earlier runs."""
        return await self._reader.run(known_items.count_reused)

    async def requeue_reused(self, *, key: str | None = None) -> int:
        """Put items back whose results were taken over, as `requeue` does failed ones; how many."""
        return await self._writer.run(known_items.put_back_reused, key)

    async def requeue(self, *, code: str | None = None, key: str | None = None) -> int:
        """Put failed items back to pending, due now, with a fresh budget of attempts; how many.

        Only those whose failure has this `code`, only the one with this `key`, if given. Size and
        time of their files are taken as they are now.
        """
        return await self._writer.run(work_queue.requeue_failed, code, key)


@dataclass(frozen=True, slots=True)
class RunConnections:
    """What opening a run gives."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    info: RunInfo
    is_source_complete: bool
    file_identity: tuple[int, int] | None
    """Device and inode of the database."""

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open the run in `directory`."""
        writer = open_writable(directory)
        file_identity = get_file_identity(directory)
        with close_on_error(writer):
            reader = open_writable(directory)
            with close_on_error(reader), translate_errors(directory / DATABASE_NAME):
                reader.execute("PRAGMA query_only = ON")
                reader.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
                return cls(writer, reader, *read_run_info(reader), file_identity)


class ThreadedConnection:
    """One connection, used by one thread at a time."""

    def __init__(
        self,
        directory: Path,
        connection: sqlite3.Connection,
        file_identity: tuple[int, int] | None = None,
    ) -> None:
        """`file_identity`: of the file that must still be there at each operation."""
        self._directory, self._file_identity = directory, file_identity
        self._path = directory / DATABASE_NAME
        self._connection = connection
        self._limiter = CapacityLimiter(1)
        # The limiter queues callers without a thread. It is not enough: a caller that asyncio
        # itself cancels leaves it while its thread is still at work.
        self._lock = threading.Lock()

    async def run(
        self,
        operation: Callable[Concatenate[sqlite3.Connection, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Carry out `operation` in a thread, to its end."""

        def run_operation() -> _T:
            with self._lock, translate_errors(self._path):
                if (
                    self._file_identity is not None
                    and get_file_identity(self._directory) != self._file_identity
                ):
                    raise StoreError(_database_gone_message(self._path))
                return operation(self._connection, *args, **kwargs)

        return await to_thread.run_sync(run_operation, limiter=self._limiter)

    async def close(self) -> None:
        """Close the connection once its last operation is done."""
        self._file_identity = None
        await self.run(sqlite3.Connection.close)


def _database_gone_message(path: Path) -> str:
    return (
        f"{path} was deleted, moved or replaced while the run was going on: nothing more can be "
        "recorded, so the run stops here. Put the run directory back and resume the run, or start "
        "a new one."
    )
