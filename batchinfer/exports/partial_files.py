"""Unfinished files and folders: under a name of their own, locked while their process lives.

The lock is the operating system's (`flock`), which ends with the process however that ends. What is
not locked was left by a killed process; the next export into the same folder removes it. Where
there are no such locks, and of versions that used none, only what is a day old is removed.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from batchinfer.artifacts import PARTIAL_PREFIX, PARTIAL_SUFFIX, is_partial_name

_PARTIAL_NAME_DIGITS: Final = 12
"""Digits in the name of what is locked; without a lock there are eight, as in older versions."""
_PARTIAL_NAME_LENGTH: Final = len(PARTIAL_PREFIX) + _PARTIAL_NAME_DIGITS + len(PARTIAL_SUFFIX)
_ABANDONED_AFTER_SECONDS: Final = 86_400.0
_PARTIAL_LOCKED_ERRNOS: Final = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


@contextmanager
def create_partial_file(target: Path) -> Iterator[Path]:
    """An empty file beside `target`, removed at the end unless it was renamed. Raises OSError."""
    while True:
        part = _make_partial_path(target)
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if _lock_and_verify(handle, part):
            break
        os.close(handle)
    if not _CAN_LOCK:  # Windows renames no open file
        os.close(handle)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)
        if _CAN_LOCK:
            os.close(handle)


@contextmanager
def create_partial_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, removed at the end unless it was renamed. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    while True:
        part = _make_partial_path(target)
        part.mkdir()
        handle = _open_folder(part)
        if handle is None or _lock_and_verify(handle, part):
            break
        os.close(handle)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes have left in `folder`, but nothing that is still being written.

    Never fails.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_partial_name(entry.name):
                with suppress(OSError):
                    _remove_if_abandoned(Path(entry.path))


def _remove_if_abandoned(part: Path) -> None:
    is_folder = part.is_dir() and not part.is_symlink()
    handle = _open_folder(part) if is_folder else os.open(part, os.O_RDWR | os.O_NOFOLLOW)
    if handle is None:
        return
    try:
        is_locked, has_lock_name = _try_lock(handle), len(part.name) == _PARTIAL_NAME_LENGTH
        if is_locked is not False and ((is_locked and has_lock_name) or _is_old(handle)):
            if is_folder:
                shutil.rmtree(part)
            else:
                part.unlink()
    finally:
        os.close(handle)


def _make_partial_path(target: Path) -> Path:
    digits = _PARTIAL_NAME_DIGITS if _CAN_LOCK else _PARTIAL_NAME_DIGITS - 4
    return target.with_name(f"{PARTIAL_PREFIX}{secrets.token_hex(digits // 2)}{PARTIAL_SUFFIX}")


def _open_folder(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens none
        return None


def _lock_and_verify(handle: int, path: Path) -> bool:
    """Lock it; False if another process that removes leftovers was faster."""
    if _try_lock(handle) is False:
        return False
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _is_old(handle: int) -> bool:
    return time.time() - os.fstat(handle).st_mtime > _ABANDONED_AFTER_SECONDS


if sys.platform == "win32":
    _CAN_LOCK = False

    def _try_lock(handle: int) -> bool | None:  # noqa: ARG001
        return None
else:
    import fcntl

    _CAN_LOCK = True

    def _try_lock(handle: int) -> bool | None:
        """Whether the lock is ours now; None where the file system has no locks."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return False if error.errno in _PARTIAL_LOCKED_ERRNOS else None
        return True
