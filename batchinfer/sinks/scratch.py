"""What an export must keep aside while it is written: beside its target, never in memory.

So a full /tmp stops no export, and a full disk is the disk of the target, and called that.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from batchinfer.sinks.whole import explained_space

_DATABASE: Final = ".batchinfer-scratch.part"
_TUNING: Final = (
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; BEGIN;"
)


class Spool:
    """Bytes that are written now, and copied to where they belong later. A context manager's."""

    def __init__(self, file: BinaryIO, folder: Path | None) -> None:
        self._file = file
        self._folder = folder

    def write(self, data: bytes) -> None:
        """Raises OSError; ConfigError that names the folder when the target is a stream."""
        with self._told():
            self._file.write(data)

    def copy_to(self, file: BinaryIO) -> None:
        """Write all of it to `file`."""
        with self._told():
            self._file.flush()
            self._file.seek(0)
        shutil.copyfileobj(self._file, file)

    @contextmanager
    def _told(self) -> Iterator[None]:
        if self._folder is not None:
            yield
            return
        with explained_space(Path(tempfile.gettempdir())):
            yield


@contextmanager
def open_spool(folder: Path | None) -> Iterator[Spool]:
    """A spool in `folder`, or where the system keeps temporary files; gone in the end."""
    with ExitStack() as stack:
        with explained_space(folder or Path(tempfile.gettempdir())):
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        yield Spool(file, folder)


@contextmanager
def open_scratch(folder: Path | None, script: str) -> Iterator[sqlite3.Connection]:
    """A database in `folder` that `script` sets up; without one in memory. Gone in the end."""
    path = None if folder is None else folder / _DATABASE
    try:
        with closing(sqlite3.connect(path or "", isolation_level=None)) as database:
            database.executescript(_TUNING + script)
            yield database
    finally:
        if path is not None:
            path.unlink(missing_ok=True)
