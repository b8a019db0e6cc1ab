"""The lock of a run across machines: a file beside `run.lock` that its holder renews.

Why: a lock of the operating system holds on one machine, but on many network file systems not on
two (sshfs, BeeGFS, Lustre's `localflock`, NFS with `nolock`). What does hold on all of them: only
one of two machines can create a file that is not there.

Rules: the lease is the file `run.lock.N` with the highest N. To take it is to create the next one
and to delete the others; who holds it renews a number in it every `RENEWAL_SECONDS`, and in the end
writes into it that it is free. The numbers only grow, so that an old list of the folder can never
lead to a second lease. One that is not renewed for
`TIMEOUT_SECONDS`, measured by the clock of who looks, is the lease of a dead process and may be
followed by the next; that of a process of this very machine that is gone, at once. A holder that
was suspended for longer finds its file gone (`is_held`), and must write nothing more.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from batchinfer.domain import Json
from batchinfer.errors import RunLocked, StoreError

RENEWAL_SECONDS: Final = 10.0
TIMEOUT_SECONDS: Final = 60.0
"""More than a client of a network file system keeps what it has read (sshfs: 20 s)."""
_POLL_SECONDS: Final = 1.0
_FILE_BYTES: Final = 511


class RunLease:
    """Holds a run directory across machines, from `acquire` to `release`."""

    def __init__(
        self,
        directory: Path,
        lock_name: str,
        *,
        renewal_seconds: float = RENEWAL_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """`lock_name`: what the name of the lease's own file begins with."""
        self._directory, self._lock_name = directory, lock_name
        self._renewal_seconds, self._timeout_seconds = renewal_seconds, timeout_seconds
        self._path: Path | None = None
        self._identity = {"nonce": secrets.token_hex(8), **_describe_process()}
        self._ended = threading.Event()

    def acquire(self) -> None:
        """Take the lease; waits up to `TIMEOUT_SECONDS` to see whether its holder is alive.

        Raises RunLocked when it is, or when `abandon` was called meanwhile, StoreError.
        """
        while self._path is None:
            number, holder = self._find_latest()
            if holder is not None and not _is_free(holder):
                self._wait_for_silence(number, holder)
            self._path = self._create(number + 1)
        if self._ended.is_set():
            self.release()
            raise RunLocked(f"Waiting for the run in {self._directory} was given up.")
        self._remove_others(self._path)
        threading.Thread(target=self._renew_until_ended, daemon=True).start()

    def abandon(self) -> None:
        """Let an `acquire` that waits in another thread give up."""
        self._ended.set()

    def is_held(self) -> bool:
        """Whether the lease is still that of this process. Raises OSError if it cannot be read."""
        try:
            holder = None if self._path is None else _read(self._path)
        except FileNotFoundError:
            return False
        return holder is not None and holder.get("nonce") == self._identity["nonce"]

    def release(self) -> None:
        """Give the lease back."""
        self._ended.set()
        with suppress(OSError):
            if self._path is not None and self.is_held():
                self._write(self._path, {**self._identity, "free": True})
        self._path = None

    def _find_latest(self) -> tuple[int, dict[str, Json] | None]:
        """The number of the lease and what its file says; None when there is none (any more)."""
        try:
            number = max(self._list_numbers(), default=0)
            try:
                return number, _read(self._make_path(number))
            except FileNotFoundError:  # `_create` finds out whether it was followed by another
                return number, None
        except OSError as error:
            raise self._unusable(error) from error

    def _wait_for_silence(self, number: int, first: dict[str, Json]) -> None:
        silent_since = time.monotonic()
        while time.monotonic() < silent_since + self._timeout_seconds:
            if self._ended.wait(min(_POLL_SECONDS, self._timeout_seconds / 10)):
                raise RunLocked(f"Waiting for the run in {self._directory} was given up.")
            latest_number, latest = self._find_latest()
            if latest is None or _is_free(latest):
                return
            if (latest_number, latest) != (number, first):
                raise RunLocked(
                    f"Another process is working on the run in {self._directory} (process "
                    f"{latest.get('pid')} on {latest.get('host')}). Wait for it or stop it; "
                    "meanwhile `batchinfer export` works."
                )

    def _create(self, number: int) -> Path | None:
        """The file of the lease; None when another process was faster."""
        path = self._make_path(number)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._encode({**self._identity, "renewed": _format_count(0)}))
                file.flush()
                os.fsync(file.fileno())
            # The list that `number` is from may have been an old one.
            if max(self._list_numbers(), default=0) > number:
                path.unlink()
                return None
        except FileExistsError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        return path

    def _remove_others(self, own: Path) -> None:
        for number in self._list_numbers():
            if (path := self._make_path(number)) != own:
                with suppress(OSError):
                    path.unlink()

    def _renew_until_ended(self) -> None:
        count = 0
        while not self._ended.wait(self._renewal_seconds):
            count += 1
            # The server may be away for a while. Whether the lease is lost by then, `is_held` says.
            with suppress(OSError):
                path = self._path
                if path is None or not self.is_held():
                    return
                self._write(path, {**self._identity, "renewed": _format_count(count)})

    def _write(self, path: Path, content: dict[str, Json]) -> None:
        with path.open("r+b", buffering=0) as file:
            file.write(self._encode(content))
            os.fsync(file.fileno())

    @staticmethod
    def _encode(content: dict[str, Json]) -> bytes:
        """Always of the same length: a client that remembers the old one reads it whole."""
        return json.dumps(content).encode().ljust(_FILE_BYTES) + b"\n"

    def _list_numbers(self) -> list[int]:
        prefix = f"{self._lock_name}."
        names = [name.removeprefix(prefix) for name in os.listdir(self._directory)]  # noqa: PTH208
        return [int(name) for name in names if name.isascii() and name.isdecimal()]

    def _make_path(self, number: int) -> Path:
        return self._directory / f"{self._lock_name}.{number}"

    def _unusable(self, error: OSError) -> StoreError:
        return StoreError(
            f"{self._directory} cannot be locked: {error}. Check the directory and your "
            "permissions."
        )


def _read(path: Path) -> dict[str, Json]:
    """What the file of a lease says; {} of one that is only being written. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        try:
            found = json.loads(file.read() or b"{}")
        except ValueError:
            return {}
    return found if isinstance(found, dict) else {}


def _format_count(count: int) -> str:
    return f"{count:012d}"


def _describe_process() -> dict[str, Json]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "machine": _identify_machine(),
        "process": _identify_process(os.getpid()),
    }


def _is_free(holder: dict[str, Json]) -> bool:
    """Whether the lease was given back, or its holder was a process of this machine that is no
    more. False: that is unknown.
    """  # noqa: D205 - one thought
    if holder.get("free") is True:
        return True
    pid, machine = holder.get("pid"), _identify_machine()
    if machine is None or holder.get("machine") != machine or not isinstance(pid, int):
        return False
    return _identify_process(pid) != holder.get("process")


def _identify_machine() -> str | None:
    """This boot of this machine, and the namespace in which its process numbers count."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _identify_process(pid: int) -> str | None:
    """When the process began: its number may be given to another one later."""
    try:
        # The second field is a name in parentheses, which may hold blanks.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
