"""How much of what was written the other side has yet to accept."""

from __future__ import annotations

import asyncio
import struct
import sys


def count_unacknowledged_bytes(transport: asyncio.BaseTransport) -> int:
    """Bytes that the other side has yet to accept from the kernel; 0 where it does not say."""
    if sys.platform == "win32":
        return 0
    import fcntl  # noqa: PLC0415 - not there
    import termios  # noqa: PLC0415 - not there

    socket = transport.get_extra_info("socket")
    try:
        answer = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4))
    except (AttributeError, OSError, ValueError):  # no Linux; no socket, or closed
        return 0
    (count,) = struct.unpack("i", answer)
    return int(count)
