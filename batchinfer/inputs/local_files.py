"""Inputs that are files of this machine, or of what is mounted on it."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO, Final

from batchinfer.inputs.uri_scheme import InputStat

READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # a pipe that nobody writes to would block for ever
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


_NO_ACCESS_TIME: Final[int] = getattr(os, "O_NOATIME", 0)


class NotRegularFileError(OSError):
    """What a path names is a folder, a device, a pipe or a socket."""


def open_for_reading(path: str) -> int:
    """Open a file; of this user's own ones the time of the access is not noted. Raises OSError.

    To note it takes a write to the disk for each file.
    """
    if _NO_ACCESS_TIME:
        try:
            return os.open(path, READ_FLAGS | _NO_ACCESS_TIME)
        except FileNotFoundError:
            raise
        except OSError:  # another user's, or a file system that does not know it
            pass
    return os.open(path, READ_FLAGS)


class LocalFiles:
    """Opens plain paths. What is below a folder is listed by `batchinfer.sources`."""

    def stat(self, path: str) -> InputStat:
        """Look at a file, links followed. Raises OSError, and ValueError for a NUL in the path."""
        status = os.stat(path)  # noqa: PTH116 - once per item: no Path is built for it
        return InputStat(status.st_size, status.st_mtime_ns, None, stat.S_ISREG(status.st_mode))

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading from its beginning. Raises as `stat`; NotRegularFileError."""
        handle = open_for_reading(path)
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return os.fdopen(handle, "rb")
        os.close(handle)
        raise NotRegularFileError(errno.EINVAL, "it is not a regular file")


class OpenLocalFile:
    """An open file; reads without buffers in between, for each file costs."""

    __slots__ = ("_handle", "is_regular", "mtime_ns", "size")

    fingerprint: Final = None

    def __init__(self, path: str) -> None:
        self._handle = open_for_reading(path)
        status = os.fstat(self._handle)
        self.size = status.st_size
        self.mtime_ns = status.st_mtime_ns
        self.is_regular = stat.S_ISREG(status.st_mode)

    def read(self, size: int) -> bytes:
        """Read on: `size` bytes, fewer only at its end."""
        data = os.read(self._handle, size)
        while len(data) < size and (more := os.read(self._handle, size - len(data))):
            data += more
        return data

    def has_changed(self) -> bool:
        """Whether its size or time is another now than when it was opened."""
        now = os.fstat(self._handle)
        return now.st_size != self.size or now.st_mtime_ns != self.mtime_ns

    def duplicate(self) -> int:
        """Another descriptor of the open file, for whoever asks."""
        return os.dup(self._handle)

    def close(self) -> None:
        """Close it."""
        os.close(self._handle)
