"""A file or a folder is there whole, or not at all: written beside its place, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from batchinfer.errors import ConfigError
from batchinfer.marks import PART_PREFIX, PART_SUFFIX, Mark, set_mark
from batchinfer.sinks.cells import printable


@contextmanager
def whole_file(target: Path, mark: Mark = Mark.EXPORT) -> Iterator[BinaryIO]:
    """A file beside `target` that takes its place if all goes well, and vanishes if not.

    It bears `mark`, so that it is never taken for an input. Raises ConfigError when it cannot be
    written.
    """
    place = target.resolve()  # a link stays a link
    if place.exists() and not place.is_file():
        with _told(target), place.open("wb") as stream:  # /dev/stdout, a named pipe
            yield stream
        return
    part = _beside(place)
    with _told(target):
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            set_mark(part, mark)
            if place.exists():
                shutil.copymode(place, part)
            part.replace(place)
            _sync_folder(place.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its place if all goes well, and vanishes if not.

    Raises ConfigError when there is something in `target` already, or it cannot be written.
    """
    place = target.resolve()
    with _told(target):
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise ConfigError(
                f"{printable(str(target))} is there already, and nothing was written. Name a new"
                " folder, or delete this one."
            )
        part = _beside(place)
        try:
            part.mkdir(parents=True)
            yield part
            if place.exists():
                place.rmdir()
            part.rename(place)
            _sync_folder(place.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _beside(place: Path) -> Path:
    return place.with_name(f"{PART_PREFIX}{secrets.token_hex(4)}{PART_SUFFIX}")


@contextmanager
def _told(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not target.parent.exists():
            folder = printable(str(target.parent))
            raise ConfigError(f"The folder {folder} does not exist: create it first.") from error
        raise ConfigError(
            f"{printable(str(target))} cannot be written: {error.strerror}. An older file of this"
            " name is unchanged."
        ) from error


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
