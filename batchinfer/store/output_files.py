"""Predictions that are bytes, or several files: files in `outputs/` beside the database.

Rules: a file is durable before the transaction that names it; it appears under its name whole or
not at all. A kill between the two leaves a file that no result names: harmless, and overwritten
when its attempt is tried again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from batchinfer.atomic_files import replace_file, sync_folder
from batchinfer.domain import ZIP_MEDIA_TYPE, Reply
from batchinfer.store.output_archive import make_archive

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


def make_archive_name(position: int, attempt: int) -> str:
    """The same of the archive with all files of a reply that has several."""
    return make_output_name(position, attempt, ZIP_MEDIA_TYPE)


def is_stored_as_file(reply: Reply) -> bool:
    """Whether the prediction itself is a file, or the archive with all files."""
    return reply.data is not None or (bool(reply.files) and reply.media_type == ZIP_MEDIA_TYPE)


def make_output(position: int, attempt: int, reply: Reply) -> tuple[str, bytes] | None:
    """Name and content of the file that a reply needs: a prediction that is bytes, or an archive.

    None: it needs none.
    """
    if reply.data is not None:
        return make_output_name(position, attempt, reply.media_type), reply.data
    if reply.files:
        return make_archive_name(position, attempt), make_archive(reply.files)
    return None


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
