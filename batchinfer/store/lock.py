"""One process per run: a lock on the file `run.lock_bytes` of its directory.

Rules: the operating system holds the lock, so that it is free again whatever ends the process; what
the file says is for people only. The file stays: to delete it would open a gap between two
processes that both hold "the" file. Who only looks shares the lock for an instant: lookers are in
each other's way no more than in that of a process that begins.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from batchinfer.errors import RunLocked, StoreError
from batchinfer.store.network_file_systems import find_network_file_system
from batchinfer.store.run_lease import RunLease

LOCK_NAME: Final = "run.lock"

_WINDOWS_LOCK_OFFSET: Final = 1 << 30
"""Windows locks bytes, and a locked one cannot be read: this one lies behind all text."""
_RUN_LOCKED_ERRNOS: Final = {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK}


class RunLock:
    """Holds a run directory while the block lasts. Raises RunLocked when another one does.

    On a network file system, where the system's lock may hold on one machine only, there is a
    `RunLease`, too: to enter then takes up to a minute, if the last holder was killed elsewhere.
    """

    def __init__(self, directory: Path, *, across_machines: bool = False) -> None:
        """`across_machines`: take a lease, whatever the file system is."""
        self._path = directory / LOCK_NAME
        self._file: IO[str] | None = None
        self.lease: RunLease | None = None
        """What keeps other machines out; None on a local file system."""
        if across_machines or find_network_file_system(directory):
            self.lease = RunLease(directory, LOCK_NAME)

    def __enter__(self) -> Self:
        self._file = self._acquire()
        try:
            if self.lease is not None:
                self.lease.acquire()
        except BaseException:
            self._file.close()
            self._file = None
            raise
        self._write_holder(_describe_holder())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def is_held(self) -> bool:
        """Whether no other machine has taken over the run meanwhile. Raises OSError."""
        return self._file is not None and (self.lease is None or self.lease.is_held())

    def close(self) -> None:
        """Give the run back."""
        if self._file is not None:
            if self.lease is not None:
                self.lease.release()
            self._write_holder("")
            self._file.close()
            self._file = None

    def _write_holder(self, text: str) -> None:
        """Write who holds it. What counts is the lock: a full disk does not matter here."""
        if self._file is not None:
            with suppress(OSError):
                self._file.truncate(0)
                self._file.write(text)
                self._file.flush()

    def _acquire(self) -> IO[str]:
        while True:
            file = self._open_file()
            try:
                _lock_exclusive(file.fileno())
            except OSError as error:
                with file:
                    if not _is_only_shared(file.fileno()):
                        raise self._refusal_error(file, error) from None
            else:
                return file

    def _open_file(self) -> IO[str]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be written: {error}. Check the directory and your "
                "permissions."
            ) from error

    def _refusal_error(self, file: IO[str], error: OSError) -> StoreError:
        if error.errno not in _RUN_LOCKED_ERRNOS:
            return StoreError(
                f"{self._path} cannot be locked: {error}. Put the run directory on a local disk."
            )
        file.seek(0)
        holder = file.read().strip() or "unknown process"
        return RunLocked(
            f"Another process is working on the run in {self._path.parent} ({holder}). Wait for it "
            "or stop it; meanwhile `batchinfer status` and `batchinfer export` work."
        )


def is_run_locked(directory: Path) -> bool:
    """Whether a process is at work on the run in `directory`. Shares the lock for an instant."""
    try:
        with (directory / LOCK_NAME).open(encoding="utf-8") as file:
            _lock_shared(file.fileno())
    except OSError as error:
        return error.errno in _RUN_LOCKED_ERRNOS
    return False


def _is_only_shared(descriptor: int) -> bool:
    """Whether a lock that was refused just now is held by nobody, but perhaps shared."""
    try:
        _lock_shared(descriptor)
    except OSError:
        return False
    return True


def _describe_holder() -> str:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"process {os.getpid()} on {socket.gethostname()} since {since}\n"


def _get_platform_locks() -> tuple[Callable[[int], None], Callable[[int], None]]:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - only there

        def lock_bytes(descriptor: int) -> None:
            os.lseek(descriptor, _WINDOWS_LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

        return lock_bytes, lock_bytes  # it knows no sharing

    import fcntl  # noqa: PLC0415 - only there

    def lock_exclusive(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def lock_shared(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    return lock_exclusive, lock_shared


_lock_exclusive, _lock_shared = _get_platform_locks()
