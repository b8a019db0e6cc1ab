"""Files that are written completely or not at all, and files that only their owner may read.

These are files in folders of ours. Targets that a user names (exports, reports) are written by
`exports.atomic`, which also locks what is unfinished and explains errors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

_PRIVATE_MODE: Final = 0o600
_CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


@contextmanager
def replace_file(path: Path, *, private: bool = False, durable: bool = False) -> Iterator[BinaryIO]:
    """A file beside `path` that replaces it when the block ends, and is removed after an error.

    `private`: only its owner may read it. `durable`: its bytes are on the disk before it replaces
    `path`; `sync_folder` makes the name durable, too. Raises OSError.
    """
    partial = path.with_name(f".{path.name}.part")
    partial.unlink(missing_ok=True)  # of a process that was killed
    try:
        descriptor = os.open(partial, _CREATE_FLAGS, _PRIVATE_MODE if private else 0o666)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def create_private_file(path: Path, text: str) -> None:
    """Write a new file that only its owner may read, from its first byte on.

    Raises FileExistsError when there is one already, OSError.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Make renames within a folder durable, where the system can. Raises OSError."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
