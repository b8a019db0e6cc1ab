"""What this machine and this process can bear: open files, threads, memory.

Running out of any of them says nothing about an item. `detect_shortage` recognizes such an error;
flow control then makes fewer calls at once (`flow.MachineCapacity`), and the item is tried again
without counting an attempt.
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batchinfer.domain import Failure

DISK_FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of a write for which there is no room."""
MAX_OPEN_FILES: Final = 65_536
"""Open files beyond which the limit is not raised: no run needs more."""
RESERVED_FILES: Final = 32
"""Files that are open beside calls: the database, the event loop, the terminal, logs."""
FILES_PER_CALL: Final = 2
"""Files that a call has open at the most: its connection, and the file that is sent."""


def raise_open_file_limit() -> None:
    """Raise this process's limit of open files as far as it may be raised without privileges."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not there on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS calls the hard limit infinite and refuses more than kern.maxfilesperproc, or OPEN_MAX.
    for target in (MAX_OPEN_FILES, 24_576, 10_240, 4_096, 1_024):
        new_limit = target if hard == resource.RLIM_INFINITY else min(target, hard)
        if soft == resource.RLIM_INFINITY or new_limit <= soft:
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (new_limit, hard))
        except (ValueError, OSError):
            continue
        return


def get_open_file_limit() -> int | None:
    """How many files this process may have open; None where there is no limit."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - not there on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def get_max_concurrent_calls() -> int | None:
    """How many calls the limit of open files allows at once, at least 1; None: it allows any."""
    limit = get_open_file_limit()
    return None if limit is None else max(1, (limit - RESERVED_FILES) // FILES_PER_CALL)


def detect_shortage(error: BaseException | None) -> Failure | None:
    """What this machine lacks, if that is what the error says; else None."""
    import socket  # noqa: PLC0415 - every command raises the limit of files, few meet a shortage

    match error:
        case MemoryError() | socket.gaierror(errno=socket.EAI_MEMORY):
            return _make_memory_failure()
        case RuntimeError() if "start new thread" in str(error):  # CPython has no type for it
            return _make_threads_failure()
        case OSError() if (inner := getattr(error, "os_error", None)) is not None:  # aiohttp's
            return detect_shortage(inner)
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return _make_open_files_failure()
        # The resolver counts its errors in its own way; on macOS they look like others.
        case OSError(errno=errno.ENOMEM | errno.ENOBUFS) if not _is_resolver_error(error):
            return _make_memory_failure()
        case _:
            return None


def _is_resolver_error(error: OSError) -> bool:
    import socket  # noqa: PLC0415 - as above

    return isinstance(error, socket.gaierror)


def _make_open_files_failure() -> Failure:
    limit = get_open_file_limit()
    allowed = f"this process may have {limit:,} open" if limit else "the system's limit"
    return _make_failure(
        "too_many_open_files",
        f"too many open files ({allowed}): fewer calls are made at once. To allow more, run "
        "`ulimit -n 4096` first, or ask the administrator",
    )


def _make_threads_failure() -> Failure:
    return _make_failure(
        "too_many_threads",
        "this machine starts no more threads: fewer calls are made at once. Check the limit of "
        "processes (`ulimit -u`, or the container's)",
    )


def _make_memory_failure() -> Failure:
    return _make_failure(
        "out_of_memory",
        "this machine has no memory left: fewer calls are made at once. Lower --memory or -n, or "
        "end other programs",
    )


def _make_failure(code: str, message: str) -> Failure:
    from batchinfer.domain import Failure, FailureKind, ServiceSignal  # noqa: PLC0415 - as above

    return Failure(code, message, FailureKind.UNAVAILABLE, signal=ServiceSignal.LOCAL_SHORTAGE)
