"""Where the socket of a run is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SOCKET_NAME: Final = ".control"
"""In the run directory; hidden, so that a folder that holds it has no socket to tell of."""

_FD_DIRECTORY: Final = Path("/proc/self/fd")


@contextmanager
def short_socket_path(run: Path) -> Iterator[str]:
    """A path of the socket for `bind` and `connect`, which take about a hundred bytes at most.

    Where the system has it, by a descriptor of the run directory: then any path will do. Raises
    OSError when the directory cannot be opened.
    """
    if not _FD_DIRECTORY.is_dir():
        yield os.fspath(run / SOCKET_NAME)
        return
    descriptor = os.open(run, os.O_RDONLY)
    try:
        yield f"{_FD_DIRECTORY}/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)
