"""Predictions that are bytes: files in `outputs/` beside the database.

Rules: a file is durable before the transaction that names it; it appears under its name whole or
not at all. A kill between the two leaves a file that no result names: harmless, and overwritten
when its attempt is tried again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from batchinfer.atomic_files import replace_file, sync_folder

OUTPUTS_DIR: Final = "outputs"

_OUTPUT_EXTENSIONS: Final = {
    "application/gzip": "gz",
    "application/json": "json",
    "application/pdf": "pdf",
    "application/x-hdf5": "h5",
    "application/x-netcdf": "nc",
    "application/x-tar": "tar",
    "application/zip": "zip",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/tiff": "tif",
    "image/webp": "webp",
    "text/csv": "csv",
    "text/html": "html",
    "text/plain": "txt",
    "video/mp4": "mp4",
}
"""Our own table: that of the `mimetypes` module differs from machine to machine."""


def make_output_name(position: int, attempt: int, media_type: str) -> str:
    """Path of an output, relative to the run directory, `/`-separated."""
    base_type = media_type.partition(";")[0].strip().lower()
    return str(
        PurePosixPath(
            OUTPUTS_DIR, f"{position}-{attempt}.{_OUTPUT_EXTENSIONS.get(base_type, 'bin')}"
        )
    )


def write_outputs(directory: Path, outputs: Iterable[tuple[str, bytes]]) -> None:
    """Write files, given by name and content, durably."""
    has_outputs = False
    for name, data in outputs:
        _write_file(directory / name, data)
        has_outputs = True
    if has_outputs:
        sync_folder(directory / OUTPUTS_DIR)
        sync_folder(directory)


def _write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with replace_file(path, durable=True) as file:
        file.write(data)
