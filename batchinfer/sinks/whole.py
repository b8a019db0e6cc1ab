"""A file or a folder is there whole, or not at all: written beside its place, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from batchinfer.errors import ConfigError
from batchinfer.marks import Mark, set_mark
from batchinfer.sinks.cells import printable
from batchinfer.sinks.unfinished import new_file, new_folder, remove_abandoned

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT))


@contextmanager
def whole_file(target: Path, mark: Mark = Mark.EXPORT) -> Iterator[BinaryIO]:
    """A file beside `target` that takes its place if all goes well, and vanishes if not.

    It bears `mark`, so that it is never taken for an input. Raises ConfigError when it cannot be
    written.
    """
    with _told(target):
        if _is_there(target) and not target.is_file():
            with target.open("wb") as stream:  # /dev/stdout, a named pipe
                yield stream
            return
        place = target.resolve()  # a link stays a link
        is_there = _is_there(place)
        remove_abandoned(place.parent)
        with new_file(place) as part:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            set_mark(part, mark)
            if is_there:
                shutil.copymode(place, part)
            part.replace(place)
            _sync_folder(place.parent)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its place if all goes well, and vanishes if not.

    Raises ConfigError when there is something in `target` already, or it cannot be written.
    """
    with _told(target):
        place = target.resolve()
        is_there = _is_there(place)
        if is_there and (not place.is_dir() or any(place.iterdir())):
            raise ConfigError(
                f"{printable(str(target))} is there already, and nothing was written. Name a new"
                " folder, or delete this one."
            )
        if place.parent.is_dir():
            remove_abandoned(place.parent)
        with new_folder(place) as part:
            yield part
            if is_there:
                place.rmdir()
            part.rename(place)
            _sync_folder(place.parent)


def scratch_folder(target: Path) -> Path | None:
    """Where there is room for what cannot be written to `target` yet; None: a device or pipe."""
    return None if target.exists() and not target.is_file() else target.resolve().parent


@contextmanager
def explained_space(folder: Path) -> Iterator[None]:
    """What goes wrong with temporary files in `folder`, told as that."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"Temporary files in {printable(str(folder))} cannot be written: {error.strerror}. Free"
            " some space there, or let TMPDIR name another folder."
        ) from error


def _is_there(place: Path) -> bool:
    """Raises OSError also for a name that is too long: before all is written, not after."""
    try:
        place.stat()
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _told(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(_explained(error, target)) from error
    except sqlite3.Error as error:  # of what is kept aside there (`scratch`)
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        number = errno.ENOSPC if code == sqlite3.SQLITE_FULL else errno.EIO
        raise ConfigError(_explained(OSError(number, os.strerror(number)), target)) from error


def _explained(error: OSError, target: Path) -> str:
    above, reason = target.absolute().parent, error.strerror or str(error)
    said = f"{printable(str(target))} cannot be written: {reason}"
    if error.errno in _FULL:
        said += (
            f" in {printable(str(above))}. Free some space there, or write to another disk with -o"
        )
    elif error.errno == errno.ENOENT and not above.is_dir():
        return f"The folder {printable(str(target.parent))} does not exist: create it first."
    elif error.errno == errno.EISDIR:
        said += ". Name a file in it"
    elif error.filename is not None and not _is_within(Path(os.fsdecode(error.filename)), above):
        # What is to be written is not to blame: a picture to be copied, say.
        said += f" ({printable(os.fsdecode(error.filename))})"
    return f"{said}. An older file of this name is unchanged."


def _is_within(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) or path.is_relative_to(folder.resolve())


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
