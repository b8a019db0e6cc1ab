"""Standard streams that are closed (`<&-`, cron, pythonw) become the null device.

Otherwise the next file or socket that is opened gets descriptor 0, 1 or 2: libuv aborts the process
over one, and what is printed would end up in the other.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import IO, Final

_STREAM_MODES: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_standard_streams() -> None:
    """Open the null device for each of descriptors 0, 1 and 2, and each of `sys.stdin`,
    `sys.stdout` and `sys.stderr`, that is closed. Child processes inherit the descriptors.
    """  # noqa: D205 - one thought
    for descriptor in range(3):
        if _is_closed(descriptor):
            _open_devnull(descriptor)
    for descriptor, (name, mode) in enumerate(_STREAM_MODES):
        if getattr(sys, name) is None:
            stream = _open_stream(descriptor, mode)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


def _open_devnull(descriptor: int) -> None:
    null_descriptor = os.open(os.devnull, os.O_RDWR)
    if null_descriptor != descriptor:
        os.dup2(null_descriptor, descriptor)
        os.close(null_descriptor)
    with suppress(OSError):
        os.set_inheritable(descriptor, True)


def _open_stream(descriptor: int, mode: str) -> IO[str]:
    # Never closed: the descriptor belongs to the process, not to this object.
    return open(descriptor, mode, encoding="utf-8", errors="backslashreplace", closefd=False)
