"""What an export must keep aside while it is written: on the disk of the target, not in memory.

So a full /tmp stops no export, and a full disk is reported as that of the target.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from batchinfer.exports.atomic import explain_scratch_errors

_SCRATCH_DATABASE_FILE: Final = ".batchinfer-scratch.part"
_SCRATCH_PRAGMAS: Final = (
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; BEGIN;"
)


class ScratchFile:
    """A temporary file whose bytes are copied to another one later."""

    def __init__(self, file: BinaryIO, folder: Path | None) -> None:
        self._file = file
        self._folder = folder

    def write(self, data: bytes) -> None:
        """Raises OSError; ConfigError that names the folder when the target is a stream."""
        with self._explain_errors():
            self._file.write(data)

    def copy_to(self, file: BinaryIO) -> None:
        """Write all of it to `file`."""
        with self._explain_errors():
            self._file.flush()
            self._file.seek(0)
        shutil.copyfileobj(self._file, file)

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        if self._folder is not None:
            yield
            return
        with explain_scratch_errors(Path(tempfile.gettempdir())):
            yield


@contextmanager
def open_scratch_file(folder: Path | None) -> Iterator[ScratchFile]:
    """A temporary file in `folder`, or where the system keeps such files; removed at the end."""
    with ExitStack() as stack:
        with explain_scratch_errors(folder or Path(tempfile.gettempdir())):
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        yield ScratchFile(file, folder)


@contextmanager
def open_scratch_database(folder: Path | None, script: str) -> Iterator[sqlite3.Connection]:
    """A database in `folder` (None: in memory) that `script` sets up; removed at the end."""
    path = None if folder is None else folder / _SCRATCH_DATABASE_FILE
    try:
        with closing(sqlite3.connect(path or "", isolation_level=None)) as database:
            database.executescript(_SCRATCH_PRAGMAS + script)
            yield database
    finally:
        if path is not None:
            path.unlink(missing_ok=True)
