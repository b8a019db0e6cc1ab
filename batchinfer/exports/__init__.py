"""Where results go: files and folders that people and tools can read.

Rules of the room: items come in the order given, memory is flat; a file or folder is there whole or
not at all; what comes from outside can neither break a format nor become a formula. One more format
is one more module in `FORMATS`. A format that needs a library brings it when it is used.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, cast

from batchinfer.artifacts import write_export_marker
from batchinfer.errors import ConfigError
from batchinfer.exports.atomic import atomic_file, atomic_folder, find_scratch_folder
from batchinfer.exports.export_source import (
    FILE_NAME_STYLES,
    ExportOptions,
    ExportSource,
    FileNameStyle,
)
from batchinfer.exports.safe_text import escape_undecodable

__all__ = [
    "EXPORT_FORMATS",
    "FILE_NAME_STYLES",
    "ExportFormat",
    "ExportOptions",
    "ExportSource",
    "FileNameStyle",
    "format_for_path",
    "write_export",
]


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One way to write a run."""

    write_path: str
    """`module:function` in this room, called with a Book and a binary file, or the path of a new
    folder; returns how many rows (or items, annotations: its own `unit`) it wrote."""
    unit: str
    """What it counts, in the singular."""
    extensions: tuple[str, ...] = ()
    is_folder: bool = False
    has_interpretation: bool = True
    """Whether it says what predictions mean, and not only what they are."""

    @property
    def write(self) -> Callable[[ExportSource, Any], int]:
        """The function itself."""
        module, _, name = self.write_path.partition(":")
        function: Callable[[ExportSource, Any], int] = getattr(
            import_module(f"{__name__}.{module}"), name
        )
        return function


def write_export(source: ExportSource, target: Path | BinaryIO, format: str) -> int:
    """Write a run to `target`; how many of the format's units.

    A path appears, or is replaced, only when all is written; on any error what was there before
    stays. A path that ends in `.gz` is packed. A stream (standard output) is written to straight,
    and neither flushed to a disk nor closed.

    Raises ConfigError for an unknown format, for one whose library is missing, or when the target
    cannot be written.
    """
    if format not in EXPORT_FORMATS:
        raise ConfigError(
            f"Unknown export format {format!r}: choose {' or '.join(EXPORT_FORMATS)}."
        )
    count = _write_to(source, target, format)
    if EXPORT_FORMATS[format].has_interpretation and source.conventions is not None:
        for sentence in source.conventions.describe_for_export():
            source.on_notice(sentence)
    return count


def _write_to(source: ExportSource, target: Path | BinaryIO, format: str) -> int:
    export_format = EXPORT_FORMATS[format]
    if export_format.is_folder:
        return _write_to_folder(source, target, format)
    if not isinstance(target, Path):
        return export_format.write(source, target)
    with atomic_file(target) as file:
        source = replace(source, scratch_folder=find_scratch_folder(target))
        if target.suffix != ".gz":
            return export_format.write(source, file)
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as compressed:
            return export_format.write(source, cast("BinaryIO", compressed))


def _write_to_folder(source: ExportSource, target: Path | BinaryIO, format: str) -> int:
    if not isinstance(target, Path):
        raise ConfigError(f"The format {format} is a folder: name one with -o.")
    with atomic_folder(target) as folder:
        count = EXPORT_FORMATS[format].write(source, folder)
        if format != "ro-crate":  # which lists all that is in it, and says what made it
            write_export_marker(folder, format, source.info.id)
        return count


def format_for_path(path: Path | str) -> str:
    """The format that a file name asks for by its extension, `.gz` aside; else ConfigError."""
    extension = Path(str(path).removesuffix(".gz")).suffix.lower()
    for name, export_format in EXPORT_FORMATS.items():
        if extension in export_format.extensions:
            return name
    extensions = ", ".join(ending for each in EXPORT_FORMATS.values() for ending in each.extensions)
    raise ConfigError(
        f"{escape_undecodable(str(path))}: {_describe_unknown_extension(extension)}: use .csv for "
        "Excel, or name a format with"
        f" --format. Extensions that name one: {extensions} (also with .gz)."
    )


def _describe_unknown_extension(extension: str) -> str:
    return (
        f"unknown extension {escape_undecodable(extension)}" if extension else "it has no extension"
    )


EXPORT_FORMATS: Mapping[str, ExportFormat] = MappingProxyType(
    {
        "jsonl": ExportFormat(
            "item_rows:write_jsonl", "row", (".jsonl", ".ndjson"), has_interpretation=False
        ),
        "csv": ExportFormat("item_rows:write_csv", "row", (".csv",), has_interpretation=False),
        "csv-flat": ExportFormat("flat_rows:write_csv", "row"),
        "parquet": ExportFormat("arrow:write_parquet", "row", (".parquet",)),
        "arrow": ExportFormat("arrow:write_arrow", "row", (".arrow", ".feather")),
        "coco": ExportFormat("coco:write", "annotation"),
        "yolo": ExportFormat("yolo:write", "image", is_folder=True),
        "label-studio": ExportFormat("label_studio:write", "task", is_folder=True),
        "fiftyone": ExportFormat("fiftyone:write", "sample", is_folder=True),
        "geojson": ExportFormat("geojson:write", "feature", (".geojson",)),
        "files": ExportFormat(
            "prediction_files:write", "item", is_folder=True, has_interpretation=False
        ),
        "openai-batch": ExportFormat("openai_batch:write", "row", has_interpretation=False),
        "ro-crate": ExportFormat(
            "ro_crate:write", "item", is_folder=True, has_interpretation=False
        ),
    }
)
"""Every format by its name."""
