"""Writing a run to a file, a folder or a stream: completely, or not at all."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from batchinfer.artifacts import write_export_marker
from batchinfer.errors import ExportError, option
from batchinfer.exports.atomic import atomic_file, atomic_folder, find_scratch_folder
from batchinfer.exports.export_format import (
    INTERPRETATION_OPTIONS,
    ExportFormat,
    FileExport,
    FolderExport,
    find_format,
)
from batchinfer.exports.export_source import ExportOptions, ExportSource


def write_export(
    source: ExportSource,
    target: Path | BinaryIO,
    format: str | ExportFormat,
    options: ExportOptions | None = None,
) -> int:
    """Write a run to `target`; how many of the format's units.

    A path is created or replaced only when everything is written; after an error it is what it was
    before. A file whose path ends in `.gz` is compressed. A stream (standard output) is written to
    directly, and neither flushed nor closed.

    Raises ConfigError for an unknown format, for one whose library is missing, or when the target
    cannot be written.
    """
    export_format = find_format(format) if isinstance(format, str) else format
    options = ExportOptions() if options is None else options
    if isinstance(export_format, FolderExport):
        count = _write_folder(source, target, export_format, options)
    else:
        count = _write_file(source, target, export_format, options)
    if export_format.options >= INTERPRETATION_OPTIONS and source.conventions is not None:
        for sentence in source.conventions.describe_for_export():
            source.on_notice(sentence)
    return count


def _write_file(
    source: ExportSource, target: Path | BinaryIO, format: FileExport, options: ExportOptions
) -> int:
    if not isinstance(target, Path):
        return format.write(source, target, options)
    with open_target(target) as file:
        source = replace(source, scratch_folder=find_scratch_folder(target))
        return format.write(source, file, options)


@contextmanager
def open_target(target: Path) -> Iterator[BinaryIO]:
    """As `atomic_file`; what is written is compressed if the path ends in `.gz`."""
    with atomic_file(target) as file:
        if target.suffix != ".gz":
            yield file
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as compressed:
            yield cast("BinaryIO", compressed)


def _write_folder(
    source: ExportSource, target: Path | BinaryIO, format: FolderExport, options: ExportOptions
) -> int:
    if not isinstance(target, Path):
        raise ExportError(f"The format {format.name} is a folder: name one with {option('to')}.")
    if target.suffix == ".gz":
        raise ExportError(f"{target}: the format {format.name} is a folder: name it without .gz.")
    with atomic_folder(target) as folder:
        count = format.write(source, folder, options)
        if not format.has_own_marker:
            write_export_marker(folder, format.name, source.info.id)
        return count
