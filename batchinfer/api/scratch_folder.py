"""`scratch`: a job that works on a copy of its run on a local disk, and copies it back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from batchinfer.api.control.control_client import SOCKET_NAME
from batchinfer.api.job import ResolvedJob, check_job, load_stored_run, resolve_job
from batchinfer.engine import Engine
from batchinfer.errors import BatchInferError, RunLocked, StoreError
from batchinfer.ports import Notice, Observer
from batchinfer.store.database import has_run
from batchinfer.store.lock import RunLock
from batchinfer.store.working_copy import WorkingCopy, refuse_network_file_system

MIN_COPY_INTERVAL: Final = 60.0
"""Seconds from one copying back to the next, at least."""
MAX_COPY_SHARE: Final = 0.05
"""How much of the time is spent on copying back, at most: a large run is copied less often."""


@asynccontextmanager
async def open_scratch(
    resolved: ResolvedJob, lock: RunLock, observer: Observer
) -> AsyncIterator[tuple[ResolvedJob, Scratch | None]]:
    """The job as it is to be carried out: in its scratch folder, if it has one.

    What is done in the block is copied back when it ends, however it ends. Raises ConfigError for a
    run directory that needs a scratch folder or one that cannot be used, StoreError.
    """
    if resolved.settings.scratch is None:
        yield resolved, None
        return
    copy = WorkingCopy(resolved.run, Path(resolved.settings.scratch), lock.is_held)
    if (message := await anyio.to_thread.run_sync(copy.prepare)) is not None:
        observer.notify(Notice("scratch_kept", message))
    _link_control_socket(resolved.run, copy.directory)
    scratch = Scratch(copy, observer)
    try:
        yield _resolve_in(copy.directory, resolved), scratch
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await scratch.close(error)
        raise
    with anyio.CancelScope(shield=True):
        await scratch.close()


class Scratch:
    """Copies a run back from its scratch folder."""

    def __init__(self, copy: WorkingCopy, observer: Observer) -> None:
        self._copy, self._observer = copy, observer

    async def publish(self) -> None:
        """Copy back now. Raises StoreError."""
        await anyio.to_thread.run_sync(self._copy.publish)

    async def publish_new(self) -> None:
        """Copy a run that was just made, so that its directory holds one. Raises StoreError."""
        if not has_run(self._copy.run):
            await self.publish()

    async def publish_regularly(self, engine: Engine) -> None:
        """Copy back now and then, for ever. What goes wrong is said, and tried again.

        Ends the run when another machine has taken it over: `close` then says so.
        """
        interval = MIN_COPY_INTERVAL
        while True:
            await anyio.sleep(interval)
            start = time.monotonic()
            try:
                await self.publish()
            except RunLocked:
                engine.cancel()
                return
            except StoreError as error:
                self._observer.notify(
                    Notice("not_copied_back", f"The run is not copied back yet: {error}")
                )
            interval = max(MIN_COPY_INTERVAL, (time.monotonic() - start) / MAX_COPY_SHARE)

    async def close(self, cause: BaseException | None = None) -> None:
        """Copy back at the end, and remove the copy. Raises StoreError, with where the copy is.

        After another `cause` that is raised anyway, it is only said.
        """
        try:
            await self.publish()
        except BatchInferError as error:
            if cause is not None:
                self._observer.notify(Notice("not_copied_back", self._describe(error)))
                return
            raise type(error)(self._describe(error)) from error
        await anyio.to_thread.run_sync(self._copy.remove)
        with suppress(OSError):
            (self._copy.run / SOCKET_NAME).unlink()

    def _describe(self, error: BatchInferError) -> str:
        if isinstance(error, RunLocked):
            return error.message
        return (
            f"The run could not be copied back to {self._copy.run}: {error.message} Everything is "
            f"in {self._copy.directory}: resume on this machine with the same scratch folder."
        )


def uses_scratch(resolved: ResolvedJob) -> bool:
    """Whether the job works in a scratch folder. Raises ConfigError when it lacks one it needs."""
    if resolved.settings.scratch is None:
        refuse_network_file_system(resolved.run)
        return False
    return True


def _link_control_socket(run: Path, directory: Path) -> None:
    """Many network file systems hold no sockets, but links to them."""
    with suppress(OSError):  # then `ctl` finds none
        (run / SOCKET_NAME).unlink(missing_ok=True)
        (run / SOCKET_NAME).symlink_to(directory.resolve() / SOCKET_NAME)


def _resolve_in(directory: Path, resolved: ResolvedJob) -> ResolvedJob:
    """The job with what the working copy says of the run, which may be newer than what was read."""
    stored = load_stored_run(directory) if has_run(directory) else None
    resolved = replace(resolve_job(resolved.job, stored), working_directory=directory)
    check_job(resolved)
    return resolved
