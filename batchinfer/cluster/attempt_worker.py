"""The worker's side: makes the attempts that it is given, with a backend of its own.

Rules:

1. *Nothing is lost between the two.* What has ended is kept until the coordinator asks for the
   next; a call that was not answered is made again under its number.
2. *A lease.* A coordinator that is not heard of for `lease_seconds` has died, or has given this
   worker up and begun its attempts elsewhere: what is in flight is cut off, and all is closed. The
   same happens when Dask forgets the actor.
3. *Nothing raised here shows a value*: messages of libraries quote headers and settings. What the
   service and the backend say was redacted by the backend.
"""

from __future__ import annotations

import asyncio
import pickle
import tempfile
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Final

from batchinfer.cluster.sealed_factory import UnsealError, unseal_factory
from batchinfer.cluster.worker_transport import (
    AttemptEnd,
    AttemptRequest,
    AttemptResult,
    LargeOutcome,
    ResumableBackend,
    WorkerGone,
    WorkerRefusal,
    WorkerSetup,
)
from batchinfer.cluster.worker_versions import describe_versions, find_differing_versions
from batchinfer.domain import Item, Reply
from batchinfer.errors import BatchInferError, FatalError
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.inputs import read_head
from batchinfer.machine_limits import get_max_concurrent_calls, raise_open_file_limit
from batchinfer.ports import Backend

INLINE_OUTCOME_BYTES: Final = 1 << 16
"""Bytes of a pickled outcome up to which it is brought together with others."""
MAX_COLLECTED_BYTES: Final = 1 << 23
"""Bytes of the outcomes that are brought together, about."""
CUT_OFF_SECONDS: Final = 5.0
"""Seconds that what is cut off is given to end."""
INPUT_CHECK_SECONDS: Final = 20.0
"""Seconds after which an input that is looked at does not answer at all."""


class AttemptWorker:
    """Makes attempts for one coordinator; see the rules above. In Dask, an actor."""

    def __init__(self, scratch_folder: str | None = None) -> None:
        """`scratch_folder`: for large replies while they are read; None: the system's."""
        self._session: _Session | None = None
        self._scratch_folder = scratch_folder

    def __del__(self) -> None:
        if self._session is not None:
            self._session.abandon()

    async def open(self, setup: WorkerSetup) -> int | None:
        """See `RemoteWorker`."""
        here = describe_versions(setup.protocol)
        if differing := find_differing_versions(setup.versions, here):
            raise WorkerRefusal(
                f"it has {differing}: install the same there as where the run is started"
            )
        if self._session is None or self._session.is_closed:
            raise_open_file_limit()
            session = _Session(setup.lease_seconds, self._scratch_folder, setup.bandwidth)
            await session.open(setup.sealed_factory)
            self._session = session
        return get_max_concurrent_calls()

    async def check_input(self, path: str) -> str | None:
        """See `RemoteWorker`."""
        read = self._get_session().context.copy().run
        try:
            await asyncio.wait_for(asyncio.to_thread(read, read_head, path, 1), INPUT_CHECK_SECONDS)
        except TimeoutError:
            return f"it was not read within {INPUT_CHECK_SECONDS:g} s"
        except (OSError, ValueError, BatchInferError) as error:
            return getattr(error, "strerror", None) or type(error).__name__
        return None

    async def start(self, sequence: int, requests: bytes, dropped: Sequence[int]) -> None:
        """See `RemoteWorker`."""
        self._get_session().start(sequence, requests, dropped)

    async def collect(self, sequence: int, max_seconds: float) -> bytes:
        """See `RemoteWorker`."""
        return await self._get_session().collect(sequence, max_seconds)

    async def limit_bandwidth(self, bytes_per_second: float) -> None:
        """See `RemoteWorker`."""
        self._get_session().limit_bandwidth(bytes_per_second)

    async def fetch(self, attempt_id: int, offset: int, size: int) -> bytes:
        """See `RemoteWorker`."""
        return self._get_session().fetch(attempt_id, offset, size)

    async def close(self) -> None:
        """See `RemoteWorker`."""
        if self._session is not None:
            await self._session.close()

    def _get_session(self) -> _Session:
        if self._session is None or self._session.is_closed:
            raise WorkerGone("the worker is not open")
        self._session.note_heard()
        return self._session


class _Session:
    """What a worker has open for a coordinator."""

    def __init__(
        self, lease_seconds: float, scratch_folder: str | None, bandwidth: float | None
    ) -> None:
        self.is_closed = False
        """Whether nothing is taken any more."""
        self.context = copy_context()
        """In which inputs are opened: with the addresses and keys of the run."""
        self._lease_seconds, self._scratch_folder = lease_seconds, scratch_folder
        self._bandwidth = BandwidthLimiter(bandwidth) if bandwidth else None
        self._loop = asyncio.get_running_loop()
        self._backend: Backend
        self._host: asyncio.Task[None]
        self._closing = asyncio.Event()
        self._heard_at = self._loop.time()
        self._started_sequence = 0
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ended: deque[tuple[int, bytes, AttemptEnd | None]] = deque()
        """Pickled outcomes to be brought; of a large one also itself, whose memory it holds."""
        self._large: dict[int, tuple[bytes, object]] = {}
        self._collect_lock = asyncio.Lock()
        self._something_ended = asyncio.Event()
        self._collected = (0, b"")
        """Number and answer of the latest `collect`."""
        self._waiting_collects = 0

    # Opening and closing --------------------------------------------------------------------------

    async def open(self, sealed_factory: bytes) -> None:
        """Open the backend, in a task that also closes it. Raises WorkerRefusal."""
        opened: asyncio.Future[None] = self._loop.create_future()
        self._host = self._loop.create_task(self._run(sealed_factory, opened))
        await opened

    async def close(self) -> None:
        """Cut off what is in flight, and close the backend."""
        self._closing.set()
        await asyncio.wait([self._host])

    def abandon(self) -> None:
        """The same, from any thread, without waiting."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._closing.set)

    def limit_bandwidth(self, bytes_per_second: float) -> None:
        """See `RemoteWorker`."""
        if self._bandwidth is not None:
            self._bandwidth.set_rate(bytes_per_second)

    def note_heard(self) -> None:
        """The coordinator is there."""
        self._heard_at = self._loop.time()

    async def _run(self, sealed_factory: bytes, opened: asyncio.Future[None]) -> None:
        try:
            factory = unseal_factory(sealed_factory)
            with tempfile.TemporaryDirectory(
                prefix="batchinfer-", dir=self._scratch_folder, ignore_cleanup_errors=True
            ) as scratch:
                async with factory(Path(scratch), self._bandwidth) as self._backend:
                    self.context = copy_context()
                    opened.set_result(None)
                    try:
                        await self._watch_lease()
                    finally:
                        self.is_closed = True
                        await self._cut_off()
        except (UnsealError, BatchInferError, OSError) as error:
            self._fail_opening(opened, str(error))
        except Exception as error:  # noqa: BLE001 - shown by its name only: rule 3
            self._fail_opening(opened, _describe_error(error))
        finally:
            self.is_closed = True
            self._something_ended.set()

    def _fail_opening(self, opened: asyncio.Future[None], reason: str) -> None:
        if not opened.done():
            opened.set_exception(WorkerRefusal(f"it cannot open the run: {reason.rstrip('.')}"))

    async def _watch_lease(self) -> None:
        while (left := self._heard_at + self._lease_seconds - self._loop.time()) > 0:
            try:
                await asyncio.wait_for(self._closing.wait(), left)
            except TimeoutError:
                continue
            return

    async def _cut_off(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CUT_OFF_SECONDS)

    # Attempts -------------------------------------------------------------------------------------

    def start(self, sequence: int, requests: bytes, dropped: Sequence[int]) -> None:
        """See `RemoteWorker`."""
        if sequence <= self._started_sequence:
            return
        self._started_sequence = sequence
        batch: list[AttemptRequest] = pickle.loads(requests)  # noqa: S301 - the coordinator's
        for attempt_id, item, number, is_unconfirmed in batch:
            if is_unconfirmed and isinstance(self._backend, ResumableBackend):
                self._backend.mark_unconfirmed(item.position, number)
            task = self._loop.create_task(self._attempt(attempt_id, item, number))
            self._tasks[attempt_id] = task
        for attempt_id in dropped:
            self._large.pop(attempt_id, None)
            if (task_to_end := self._tasks.pop(attempt_id, None)) is not None:
                task_to_end.cancel()

    async def _attempt(self, attempt_id: int, item: Item, number: int) -> None:
        outcome: AttemptEnd
        try:
            outcome = await self._backend.attempt(item, number)
        except FatalError as error:
            outcome = FatalError(error.code, error.message)
        except Exception as error:  # noqa: BLE001 - shown by its name only: rule 3
            outcome = FatalError(
                "worker_error",
                f"an attempt at {item.key} failed in a way that nobody foresaw: "
                f"{_describe_error(error)}. Please report this.",
            )
        finally:
            self._tasks.pop(attempt_id, None)
        data = pickle.dumps(outcome, protocol=pickle.HIGHEST_PROTOCOL)
        is_large = len(data) > INLINE_OUTCOME_BYTES
        self._ended.append((attempt_id, data, outcome if is_large else None))
        self._something_ended.set()

    # Outcomes -------------------------------------------------------------------------------------

    async def collect(self, sequence: int, max_seconds: float) -> bytes:
        """See `RemoteWorker`."""
        self._waiting_collects += 1
        self._something_ended.set()  # lets an earlier call end, whose answer nobody waits for
        async with self._collect_lock:
            self._waiting_collects -= 1
            if sequence == self._collected[0]:
                return self._collected[1]
            if not self._ended:
                self._something_ended.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._something_ended.wait(), max_seconds)
                if self._waiting_collects:
                    return pickle.dumps([])
            self._collected = (sequence, self._take_ended())
            return self._collected[1]

    def _take_ended(self) -> bytes:
        results: list[AttemptResult] = []
        size = 0
        while self._ended and size < MAX_COLLECTED_BYTES:
            attempt_id, data, held = self._ended.popleft()
            if held is None:
                results.append((attempt_id, data))
                size += len(data)
            else:
                self._large[attempt_id] = (data, getattr(held, "lease", None))
                results.append((attempt_id, LargeOutcome(len(data), _measure_memory(held, data))))
        return pickle.dumps(results, protocol=pickle.HIGHEST_PROTOCOL)

    def fetch(self, attempt_id: int, offset: int, size: int) -> bytes:
        """See `RemoteWorker`."""
        if attempt_id not in self._large:
            raise WorkerGone("the outcome is not here any more")
        data, _ = self._large[attempt_id]
        return data[offset : offset + size]


def _measure_memory(outcome: object, data: bytes) -> int:
    """Bytes that an outcome takes up, about: objects are larger than their pickle."""
    is_parsed = isinstance(outcome, Reply) and outcome.data is None
    return len(data) * (4 if is_parsed else 1)


def _describe_error(error: BaseException) -> str:
    """The kind of an error and where it was raised; not its text, which may quote anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" in {trace.tb_frame.f_code.co_qualname}"
    return f"{type(error).__name__}{where}, line {0 if trace is None else trace.tb_lineno}"
