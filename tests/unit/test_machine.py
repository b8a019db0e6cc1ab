"""Which errors are this machine's own shortages."""

import errno
import os
import socket
import subprocess
import sys

import pytest

from batchinfer.domain import ServiceSignal, get_signal
from batchinfer.machine_limits import detect_shortage


class WrappedError(OSError):
    """As aiohttp wraps what the system said."""

    def __init__(self, os_error: OSError) -> None:
        super().__init__(errno.ECONNREFUSED, "wrapped")
        self.os_error = os_error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.EMFILE, "x"), "too_many_open_files"),
        (OSError(errno.ENFILE, "x"), "too_many_open_files"),
        (WrappedError(OSError(errno.EMFILE, "x")), "too_many_open_files"),
        (OSError(errno.ENOMEM, "x"), "out_of_memory"),
        (OSError(errno.ENOBUFS, "x"), "out_of_memory"),
        (socket.gaierror(socket.EAI_MEMORY, "x"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("can't start new thread"), "too_many_threads"),
    ],
)
def test_a_shortage_is_no_items_fault_and_is_waited_out(error: Exception, code: str):
    short = detect_shortage(error)
    assert short is not None
    assert (short.code, short.sent, get_signal(short)) == (
        code,
        False,
        ServiceSignal.LOCAL_SHORTAGE,
    )


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "x"),
        OSError(errno.EIO, "x"),
        ConnectionResetError(errno.ECONNRESET, "x"),
        WrappedError(OSError(errno.ECONNREFUSED, "x")),
        socket.gaierror(socket.EAI_NONAME, "x"),
        RuntimeError("no running event loop"),
        TimeoutError(),
        None,
    ],
)
def test_all_else_is_none(error: Exception | None):
    assert detect_shortage(error) is None


LIMITS = """
import resource
from batchinfer.machine_limits import (
    get_max_concurrent_calls, get_open_file_limit, raise_open_file_limit
)
resource.setrlimit(resource.RLIMIT_NOFILE, {limits})
raise_open_file_limit()
print(get_open_file_limit(), get_max_concurrent_calls())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
@pytest.mark.parametrize(
    ("limits", "told"),
    [((64, 64), "64 16"), ((64, 1000), "1000 484"), ((20, 20), "20 1"), ((33, 33), "33 1")],
)
def test_the_limit_is_raised_as_far_as_it_may_be(limits: tuple[int, int], told: str):
    done = subprocess.run(
        [sys.executable, "-c", LIMITS.format(limits=limits)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert done.stdout.strip() == told
