"""What this machine and this process can bear: open files, threads, memory.

Rule: running out of any of them says nothing about an item. `shortage` tells such an error from all
others; flow control then makes fewer calls at once (`flow.own_limit`), and the item is tried again
without counting an attempt.
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import Final

from batchinfer.domain import Failure, Kind

ENOUGH: Final = 65_536
"""Open files beyond which the limit is not raised: no run needs more."""
RESERVE: Final = 32
"""Files that are open beside calls: the database, the event loop, the terminal, logs."""
PER_CALL: Final = 2
"""Files that a call has open at the most: its connection, and the file that is sent."""


def raise_open_files() -> None:
    """Raise this process's limit of open files as far as it may be raised without privileges."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not there on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS calls the hard limit infinite and refuses more than kern.maxfilesperproc, or OPEN_MAX.
    for wanted in (ENOUGH, 24_576, 10_240, 4_096, 1_024):
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or most <= soft:
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (ValueError, OSError):
            continue
        return


def open_files() -> int | None:
    """How many files this process may have open; None where there is no limit."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - not there on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def calls_at_once() -> int | None:
    """How many calls the limit of open files allows at once, at least 1; None: it allows any."""
    most = open_files()
    return None if most is None else max(1, (most - RESERVE) // PER_CALL)


def shortage(error: BaseException | None) -> Failure | None:
    """What this machine lacks, if that is what the error says; else None."""
    match error:
        case MemoryError() | socket.gaierror(errno=socket.EAI_MEMORY):
            return _no_memory()
        case RuntimeError() if "start new thread" in str(error):  # CPython has no type for it
            return _no_threads()
        case OSError() if (inner := getattr(error, "os_error", None)) is not None:  # aiohttp's
            return shortage(inner)
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return _no_files()
        # The resolver counts its errors in its own way; on macOS they look like others.
        case OSError(errno=errno.ENOMEM | errno.ENOBUFS) if not _is_of_resolver(error):
            return _no_memory()
        case _:
            return None


def _is_of_resolver(error: OSError) -> bool:
    return isinstance(error, socket.gaierror)


def _no_files() -> Failure:
    most = open_files()
    allowed = f"this process may have {most:,} open" if most else "the system's limit"
    return Failure(
        "too_many_open_files",
        f"too many open files ({allowed}): fewer calls are made at once. To allow more, run "
        "`ulimit -n 4096` first, or ask the administrator",
        Kind.UNAVAILABLE,
        sent=False,
    )


def _no_threads() -> Failure:
    return Failure(
        "too_many_threads",
        "this machine starts no more threads: fewer calls are made at once. Check the limit of "
        "processes (`ulimit -u`, or the container's)",
        Kind.UNAVAILABLE,
        sent=False,
    )


def _no_memory() -> Failure:
    return Failure(
        "out_of_memory",
        "this machine has no memory left: fewer calls are made at once. Lower --memory or -n, or "
        "end other programs",
        Kind.UNAVAILABLE,
        sent=False,
    )
