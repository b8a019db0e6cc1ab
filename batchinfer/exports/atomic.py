"""Writing a target that the user names: beside it, under another name, then renamed.

A file or folder is complete or absent, and an older file stays until the new one is complete.
Errors say what the user can do.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from batchinfer.artifacts import ArtifactKind, tag_file
from batchinfer.atomic_files import sync_folder
from batchinfer.errors import ExportError
from batchinfer.exports.partial_files import (
    create_partial_file,
    create_partial_folder,
    remove_abandoned,
)
from batchinfer.machine_limits import DISK_FULL_ERRNOS
from batchinfer.text_format import escape_undecodable

_WRITE_BUFFER_BYTES: Final = 2**18
"""Bytes of an export that one system call writes."""


@contextmanager
def atomic_file(target: Path, kind: ArtifactKind = ArtifactKind.EXPORT) -> Iterator[BinaryIO]:
    """A file beside `target` that replaces it when the block ends, and is removed after an error.

    It is tagged with `kind`, so that it is never taken for an input. Raises ExportError when it
    cannot be written.
    """
    with _explain_errors(target):
        if _exists(target) and not target.is_file():
            with target.open("wb") as stream:  # /dev/stdout, a named pipe
                yield stream
            return
        destination = target.resolve()  # a link stays a link
        exists = _exists(destination)
        remove_abandoned(destination.parent)
        with create_partial_file(destination) as partial:
            with partial.open("wb", buffering=_WRITE_BUFFER_BYTES) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            tag_file(partial, kind)
            if exists:
                shutil.copymode(destination, partial)
            partial.replace(destination)
            with suppress(OSError):  # not every file system can
                sync_folder(destination.parent)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` that becomes it when the block ends, and is removed after an error.

    Raises ExportError when `target` is not empty, or cannot be written.
    """
    with _explain_errors(target):
        destination = target.resolve()
        exists = _exists(destination)
        if exists and (not destination.is_dir() or any(destination.iterdir())):
            raise ExportError(
                f"{escape_undecodable(str(target))} is there already, and nothing was written. "
                "Name a new folder, or delete this one."
            )
        if destination.parent.is_dir():
            remove_abandoned(destination.parent)
        with create_partial_folder(destination) as partial:
            yield partial
            if exists:
                destination.rmdir()
            partial.rename(destination)
            with suppress(OSError):  # not every file system can
                sync_folder(destination.parent)


def find_scratch_folder(target: Path) -> Path | None:
    """The folder for temporary files of an export to `target`; None: that is a device or pipe."""
    return None if target.exists() and not target.is_file() else target.resolve().parent


@contextmanager
def explain_scratch_errors(folder: Path) -> Iterator[None]:
    """Explain errors of temporary files in `folder`."""
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"Temporary files in {escape_undecodable(str(folder))} cannot be written: "
            f"{error.strerror}. Free some space there, or let TMPDIR name another folder."
        ) from error


def _exists(path: Path) -> bool:
    """Raises OSError also for a name that is too long: before all is written, not after."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _explain_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(_describe_error(error, target)) from error
    except sqlite3.Error as error:  # of what is kept aside there (`scratch`)
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        number = errno.ENOSPC if code == sqlite3.SQLITE_FULL else errno.EIO
        raise ExportError(_describe_error(OSError(number, os.strerror(number)), target)) from error


def _describe_error(error: OSError, target: Path) -> str:
    parent, reason = target.absolute().parent, error.strerror or str(error)
    message = f"{escape_undecodable(str(target))} cannot be written: {reason}"
    if error.errno in DISK_FULL_ERRNOS:
        message += (
            f" in {escape_undecodable(str(parent))}. Free some space there, or write to another "
            "disk with -o"
        )
    elif error.errno == errno.ENOENT and not parent.is_dir():
        return (
            f"The folder {escape_undecodable(str(target.parent))} does not exist: create it first."
        )
    elif error.errno == errno.EISDIR:
        message += ". Name a file in it"
    elif error.filename is not None and not _is_within(Path(os.fsdecode(error.filename)), parent):
        # What is to be written is not to blame: a picture to be copied, say.
        message += f" ({escape_undecodable(os.fsdecode(error.filename))})"
    return f"{message}. An older file of this name is unchanged."


def _is_within(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) or path.is_relative_to(folder.resolve())
