"""Manifests: a file that lists the items; checked whole before its first item is used.

A file that a line names and that is not there is no mistake of the manifest: the item comes with
unknown size and fails by itself. Paths are relative to the manifest's folder.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import BinaryIO, NoReturn, TypeAlias

from batchinfer.domain import Item
from batchinfer.errors import SourceError
from batchinfer.sources import objects, table
from batchinfer.sources.duplicates import SUSPECTS, Keys, duplicates
from batchinfer.sources.entry import Entry, Mistakes, Report
from batchinfer.sources.files import look
from batchinfer.sources.lines import opened

Format: TypeAlias = Callable[[BinaryIO, str, Report], Iterator[Entry]]

_FORMATS: dict[str, Format] = {
    ".csv": table.entries,
    ".jsonl": objects.entries,
    ".ndjson": objects.entries,
}


def manifest_format(name: str) -> Format | None:
    """What reads a file of this name, if it is a manifest's."""
    return _FORMATS.get(os.path.splitext(name.removesuffix(".gz"))[1])  # noqa: PTH122 - a string


@dataclass(frozen=True, slots=True)
class Manifest:
    """One manifest."""

    name: str
    """For people."""
    path: str
    base: str
    """Absolute; what relative paths are relative to."""
    file_param: str
    format: Format

    def __iter__(self) -> Iterator[Item]:
        """Items, each file looked at as it comes. Raises SourceError at the first broken line."""
        join = os.path.join
        for entry in self.entries(self._stop):
            files = [look(param, join(self.base, path)) for param, path in entry.files]
            yield Item(entry.key, tuple(files), entry.params)

    def entries(self, report: Report) -> Iterator[Entry]:
        """Lines that are right; `report` is told of the others."""
        try:
            with opened(self.path) as stream:
                yield from self.format(stream, self.file_param, report)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{self.name}: cannot be read to its end: {error}") from error

    def _stop(self, line: int, message: str) -> NoReturn:
        raise SourceError(f"{self.name}:{line}: {message}. (Was the manifest changed meanwhile?)")


def check_manifests(manifests: Sequence[Manifest]) -> None:
    """Read all of them whole; one SourceError lists every mistake and every repeated key."""
    mistakes = Mistakes()
    passes = count()

    def read() -> Keys:
        first = next(passes) == 0
        for number, manifest in enumerate(manifests):
            before, line = mistakes.count, 0
            report = partial(_note, mistakes, manifest.name) if first else _ignore
            for line, key, _, _ in manifest.entries(report):
                yield key, (number, line)
            if first and not line and mistakes.count == before:
                mistakes.add(manifest.name, "there is no item in it")

    repeated = 0
    for key, (one, line), (other, again) in duplicates(read, sum(map(_size, manifests))):
        repeated += 1
        mistakes.add(
            f"{manifests[other].name}:{again}",
            f"the key {key!r} is already used at {manifests[one].name}:{line}",
        )
    mistakes.raise_if_any(all_told=repeated < SUSPECTS)


def _note(mistakes: Mistakes, name: str, line: int, message: str) -> None:
    mistakes.add(f"{name}:{line}", message)


def _ignore(_line: int, _message: str) -> None:
    """It was told in the first pass."""


def _size(manifest: Manifest) -> int:
    """More lines than it is likely to have: 8 bytes each, and packed perhaps to an eighth."""
    try:
        return os.path.getsize(manifest.path)  # noqa: PTH202 - a string
    except OSError:
        return 0
