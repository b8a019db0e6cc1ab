"""Reads a file that is the one its source saw, with as few system calls as prove that.

The size and the time of a file are compared after its bytes were read. When they are those that the
source saw, nobody wrote to it from then until the last byte was read; so no look before the reading
is needed. Whatever is not exactly so gives None: the careful reading (`opener.open_input`) then
says what is the matter.

`CachedFileReader` does the same without waiting for anything (Linux), so that an event loop can do
it: a file of some kB takes less time than a hop into a thread. It reads only

* what is in memory: `openat2(RESOLVE_CACHED)` gives up where looking up the path needs a disk, and
  `preadv2(RWF_NOWAIT)` where a page of the file does;
* on file systems that open a file without asking anybody (`_PLAIN_FILE_SYSTEMS`): none of a network
  or of another process, whose server may be away. A thread looks which one a folder is on. No link
  is followed, for it may lead to another;
* without noting the access (`O_NOATIME`), which may wait for the journal of the disk: so only files
  of this user.

What else may make a read slow (a virus scanner that is asked first) is noticed by the time that it
takes. After reads that were slow, or needed a disk, the next ones are left to the threads: 1, 2, 4,
and so on to `MAX_SKIPPED_READS`, until one is quick again.
"""

from __future__ import annotations

import mmap
import os
import stat
import sys
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from batchinfer.domain import InputFile
from batchinfer.inputs.local_files import READ_FLAGS, open_for_reading

MAX_CACHED_READ_BYTES: Final = 1 << 17
"""Bytes of the files that an event loop reads at a time, at the most: some 0.1 ms with all that is
made of them."""
SLOW_READ_SECONDS: Final = 0.01
"""Seconds from which on a file was not read from memory, or not only."""
MAX_SKIPPED_READS: Final = 256
"""Reads that are left to the threads after slow ones, at the most."""

_MAX_KNOWN_FOLDERS: Final = 1_024
_PLAIN_FILE_SYSTEMS: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "f2fs"})
_MACHINES: Final = frozenset({"x86_64", "aarch64", "ppc64le", "riscv64", "s390x"})
"""Processors where the number of the system call is known."""
_SYS_OPENAT2: Final = 437
_RESOLVE_NO_SYMLINKS, _RESOLVE_CACHED = 0x04, 0x20
_WORKING_DIRECTORY: Final = -100
"""AT_FDCWD; of no matter for absolute paths."""

_OpenFile: TypeAlias = Callable[[str], int]
_ReadStart: TypeAlias = Callable[[int, int], bytes]
"""Reads so many bytes from the beginning of an open file; fewer when there are not so many."""


def read_unchanged(file: InputFile) -> bytes | None:
    """The bytes of a local file; None when anything is not as its source saw it. Blocks."""
    if sys.platform == "win32" or not _is_known(file):
        return None
    return _read_unchanged(file, open_for_reading, _read_start)


class CachedFileReader:
    """Reads local files that are in memory, and never waits. Its folders are learnt in threads."""

    def __init__(self) -> None:
        self._open = _make_open_cached()
        self._is_plain_by_folder: dict[str, bool] = {}
        self._reads_to_skip = 0
        self._next_skip = 1
        # At the beginning of a page: a copy from page to page is slow at some other offsets.
        self._buffer = memoryview(mmap.mmap(-1, MAX_CACHED_READ_BYTES))

    def read(self, file: InputFile) -> bytes | None:
        """Its bytes; None when it is not in memory, or anything is not as its source saw it."""
        if self._open is None or not self._is_plain_by_folder.get(_get_folder(file.path)):
            return None
        if not _is_known(file) or (file.size or 0) > MAX_CACHED_READ_BYTES:
            return None
        if self._reads_to_skip:
            self._reads_to_skip -= 1
            return None
        started_at = time.perf_counter()
        data = _read_unchanged(file, self._open, self._read_cached)
        if data is None or time.perf_counter() - started_at > SLOW_READ_SECONDS:
            self._reads_to_skip = self._next_skip
            self._next_skip = min(2 * self._next_skip, MAX_SKIPPED_READS)
        else:
            self._next_skip = 1
        return data

    def learn_folder(self, path: str) -> None:
        """Look at the folder of a file, so that its files can be read from now on. Blocks."""
        folder = _get_folder(path)
        if self._open is None or not folder or folder in self._is_plain_by_folder:
            return
        if len(self._is_plain_by_folder) >= _MAX_KNOWN_FOLDERS:
            self._is_plain_by_folder = {}
        self._is_plain_by_folder[folder] = _find_file_system(folder) in _PLAIN_FILE_SYSTEMS

    def _read_cached(self, handle: int, size: int) -> bytes:
        part = self._buffer[:size]
        return bytes(part[: os.preadv(handle, (part,), 0, os.RWF_NOWAIT)])


def _get_folder(path: str) -> str:
    """The folder of a plain absolute path; empty for all other paths."""
    return path[: path.rfind("/")] if path.startswith("/") else ""


def _is_known(file: InputFile) -> bool:
    """Whether its source saw a file of this machine that is not empty, and when it was changed."""
    return bool(file.size) and file.mtime_ns is not None and file.path.startswith("/")


def _read_unchanged(file: InputFile, open_file: _OpenFile, read_start: _ReadStart) -> bytes | None:
    try:
        handle = open_file(file.path)
        try:
            data = read_start(handle, file.size or 0)
            now = os.fstat(handle)
        finally:
            os.close(handle)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    if (now.st_mtime_ns, now.st_size, len(data)) != (file.mtime_ns, file.size, file.size):
        return None
    return data if stat.S_ISREG(now.st_mode) else None


def _read_start(handle: int, size: int) -> bytes:
    return os.pread(handle, size, 0)  # which takes nothing out of a pipe


def _make_open_cached() -> _OpenFile | None:
    """A function that opens a file if that waits for nothing; None where there is none."""
    if sys.platform != "linux" or os.uname().machine not in _MACHINES:
        return None
    import ctypes  # noqa: PLC0415 - needed here only

    class OpenHow(ctypes.Structure):
        """`struct open_how`."""

        _fields_ = tuple((name, ctypes.c_uint64) for name in ("flags", "mode", "resolve"))

    try:
        call = ctypes.CDLL(None).syscall
    except (AttributeError, OSError):
        return None
    call.restype = ctypes.c_long
    # Arguments that are ctypes' own already cost a third of what `argtypes` would.
    how = OpenHow(READ_FLAGS | os.O_NOATIME, 0, _RESOLVE_CACHED | _RESOLVE_NO_SYMLINKS)
    number, folder = ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(_WORKING_DIRECTORY)
    how_pointer, how_size = ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))

    def open_cached(path: str) -> int:
        encoded = os.fsencode(path)
        if b"\0" in encoded:
            raise ValueError("embedded null byte")
        handle: int = call(number, folder, encoded, how_pointer, how_size)
        if handle < 0:
            raise OSError
        return handle

    return open_cached


def _find_file_system(folder: str) -> str | None:
    """The type of the file system that a folder is on; None: not known."""
    try:
        device = os.stat(folder).st_dev  # noqa: PTH116 - a name may be of any bytes
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:  # noqa: PTH123
            lines = mounts.readlines()
    except (OSError, ValueError):
        return None
    number = f"{os.major(device)}:{os.minor(device)}"
    types = {
        line.rpartition(" - ")[2].split(" ", 1)[0] for line in lines if line.split(" ")[2] == number
    }
    return types.pop() if len(types) == 1 else None
