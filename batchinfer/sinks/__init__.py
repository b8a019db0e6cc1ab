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

from batchinfer.errors import ConfigError
from batchinfer.marks import mark_folder
from batchinfer.sinks.book import FILE_NAMES, Book, FileNames, Options
from batchinfer.sinks.cells import printable
from batchinfer.sinks.whole import scratch_folder, whole_file, whole_folder

__all__ = [
    "FILE_NAMES",
    "FORMATS",
    "Book",
    "FileNames",
    "Format",
    "Options",
    "export",
    "format_of",
]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a run."""

    writer: str
    """`module:function` in this room, called with a Book and a binary file, or the path of a new
    folder; returns how many rows (or items, annotations: its own `unit`) it wrote."""
    unit: str
    """What it counts, in the singular."""
    extensions: tuple[str, ...] = ()
    folder: bool = False
    means: bool = True
    """Whether it says what predictions mean, and not only what they are."""

    @property
    def write(self) -> Callable[[Book, Any], int]:
        """The function itself."""
        module, _, name = self.writer.partition(":")
        found: Callable[[Book, Any], int] = getattr(import_module(f"{__name__}.{module}"), name)
        return found


def export(book: Book, target: Path | BinaryIO, format: str) -> int:
    """Write a run to `target`; how many of the format's units.

    A path appears, or is replaced, only when all is written; on any error what was there before
    stays. A path that ends in `.gz` is packed. A stream (standard output) is written to straight,
    and neither flushed to a disk nor closed.

    Raises ConfigError for an unknown format, for one whose library is missing, or when the target
    cannot be written.
    """
    if format not in FORMATS:
        raise ConfigError(f"Unknown export format {format!r}: choose {' or '.join(FORMATS)}.")
    count = _write(book, target, format)
    if FORMATS[format].means and book.reading is not None:
        for sentence in book.reading.notices():
            book.notice(sentence)
    return count


def _write(book: Book, target: Path | BinaryIO, format: str) -> int:
    chosen = FORMATS[format]
    if chosen.folder:
        return _to_folder(book, target, format)
    if not isinstance(target, Path):
        return chosen.write(book, target)
    with whole_file(target) as file:
        book = replace(book, scratch=scratch_folder(target))
        if target.suffix != ".gz":
            return chosen.write(book, file)
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            return chosen.write(book, cast("BinaryIO", packed))


def _to_folder(book: Book, target: Path | BinaryIO, format: str) -> int:
    if not isinstance(target, Path):
        raise ConfigError(f"The format {format} is a folder: name one with -o.")
    with whole_folder(target) as folder:
        count = FORMATS[format].write(book, folder)
        if format != "ro-crate":  # which lists all that is in it, and says what made it
            mark_folder(folder, format, book.info.id)
        return count


def format_of(path: Path | str) -> str:
    """The format that a file name asks for by its extension, `.gz` aside; else ConfigError."""
    ending = Path(str(path).removesuffix(".gz")).suffix.lower()
    for name, each in FORMATS.items():
        if ending in each.extensions:
            return name
    known = ", ".join(ending for each in FORMATS.values() for ending in each.extensions)
    raise ConfigError(
        f"{printable(str(path))}: no export format goes by this extension. Name the file"
        f" {known} (or one of these and .gz), or give the format."
    )


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "jsonl": Format("rows:write_jsonl", "row", (".jsonl", ".ndjson"), means=False),
        "csv": Format("rows:write_csv", "row", (".csv",), means=False),
        "csv-flat": Format("flat:write_csv", "row"),
        "parquet": Format("arrow:write_parquet", "row", (".parquet",)),
        "arrow": Format("arrow:write_arrow", "row", (".arrow", ".feather")),
        "coco": Format("coco:write", "annotation"),
        "yolo": Format("yolo:write", "image", folder=True),
        "label-studio": Format("label_studio:write", "task", folder=True),
        "fiftyone": Format("fiftyone:write", "sample", folder=True),
        "geojson": Format("geojson:write", "feature", (".geojson",)),
        "files": Format("files:write", "item", folder=True, means=False),
        "openai-batch": Format("openai_batch:write", "row", means=False),
        "ro-crate": Format("crate:write", "item", folder=True, means=False),
    }
)
"""Every format by its name."""
