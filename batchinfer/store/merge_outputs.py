"""Files in `outputs/`, carried from one run directory into another.

Rules as in `output_files`. A file is linked where the disk can, else copied: it takes no further
space, and no run ever writes into a file that is there.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Final
from zlib import crc32

from batchinfer.atomic_files import replace_file
from batchinfer.store.checksums import checksum_file
from batchinfer.store.output_files import OUTPUTS_DIR

_COPY_CHUNK_BYTES: Final = 2**20
_MISMATCH_REASON: Final = "its bytes are not those that were recorded"


def locate_output(directory: Path, name: str) -> Path:
    """Where the file is that a prediction names. Raises ValueError for one outside `outputs/`."""
    path = PurePosixPath(name)
    if path.parent != PurePosixPath(OUTPUTS_DIR) or path.name in {"", ".."}:
        raise ValueError("it is no name of an output")
    return directory / path


def transfer_output(source: Path, target: Path, checksum: int | None) -> None:
    """Bring a file to `target`, in a folder that is there; what was there is replaced.

    `checksum`: that it must have; None: not known. Raises ValueError when it has another one,
    OSError.
    """
    partial = target.with_name(f".{target.name}.part")
    partial.unlink(missing_ok=True)  # of a process that was killed
    try:
        os.link(source, partial)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one without links
        _copy_file(source, target, checksum)
        return
    try:
        if checksum is not None and checksum_file(partial) != checksum:
            raise ValueError(_MISMATCH_REASON)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)  # `replace` leaves it when both are one file already


def _copy_file(source: Path, target: Path, checksum: int | None) -> None:
    copied_checksum = 0
    with source.open("rb") as content, replace_file(target, durable=True) as file:
        while chunk := content.read(_COPY_CHUNK_BYTES):
            copied_checksum = crc32(chunk, copied_checksum)
            file.write(chunk)
        if checksum not in {None, copied_checksum}:
            raise ValueError(_MISMATCH_REASON)
