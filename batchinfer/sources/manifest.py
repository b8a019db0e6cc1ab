"""Manifests: a file that lists the items; checked whole before its first item is used.

Paths are relative to the manifest's folder. A file that is missing is a mistake of the manifest as
any other; in a run that has begun it is none: the item comes with unknown size and fails by itself.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice
from typing import BinaryIO, Final, NoReturn, TypeAlias

from batchinfer.domain import Item
from batchinfer.errors import SourceError
from batchinfer.sources import filelist, objects, table
from batchinfer.sources.duplicates import SUSPECTS, Keys, duplicates
from batchinfer.sources.entry import Entry, Mistakes, Report
from batchinfer.sources.lines import opened
from batchinfer.sources.naming import fault, look_named
from batchinfer.sources.own import Own

Format: TypeAlias = Callable[[BinaryIO, str, Report], Iterator[Entry]]

LIST: Final[Format] = filelist.entries
"""What reads a list of paths, whatever it is called."""
_FORMATS: Final[dict[str, Format]] = {
    ".csv": table.entries,
    ".tsv": table.entries,
    ".jsonl": objects.entries,
    ".ndjson": objects.entries,
}
_THREADS: Final = 16
"""Files that are looked at at once: a file server answers each only after a while."""
_TOGETHER: Final = 64
"""Files that a thread looks at in one go."""


def manifest_format(name: str) -> Format | None:
    """What reads a file of this name, if it is a manifest's. Case does not count."""
    return _FORMATS.get(os.path.splitext(name.lower().removesuffix(".gz"))[1])  # noqa: PTH122


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
        for entry in self.entries(self._stop):
            files = [look_named(param, self.base, path) for param, path in entry.files]
            yield Item(entry.key, tuple(files), entry.params)

    def entries(self, report: Report) -> Iterator[Entry]:
        """Lines that are right; `report` is told of the others."""
        try:
            with opened(self.path) as stream:
                yield from self.format(stream, self.file_param, report)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{self.name}: cannot be read to its end: {error}") from error
        except UnicodeError as error:  # lines of UTF-8 tell it of themselves
            raise SourceError(
                f"{self.name}: begins as UTF-16 and is none; save it as UTF-8"
            ) from error

    def _stop(self, line: int, message: str) -> NoReturn:
        raise SourceError(f"{self.name}:{line}: {message}. (Was the manifest changed meanwhile?)")


def check_manifests(
    manifests: Sequence[Manifest], own: Own | None = None, *, may_be_missing: bool = False
) -> None:
    """Read all of them whole and look at every file; one SourceError lists every mistake.

    `may_be_missing`: files that are not there are no mistakes.
    """
    mistakes = Mistakes()
    passes = count()
    own = own or Own()

    def read() -> Keys:
        first = next(passes) == 0
        for number, manifest in enumerate(manifests):
            before, line = mistakes.count, 0
            if first:
                judge = partial(_faults, manifest.base, own, may_be_missing)
                report = partial(_note, mistakes, manifest.name)
                entries = _looked_at(manifest.entries, judge, report)
            else:
                entries = manifest.entries(_ignore)
            for line, key, _, _ in entries:
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


Judge: TypeAlias = Callable[[Sequence[Entry]], Sequence[tuple[int, str]]]


def _looked_at(
    read: Callable[[Report], Iterator[Entry]], judge: Judge, report: Report
) -> Iterator[Entry]:
    """The entries; `report` is also told of files that cannot be inputs. Holds some thousand."""
    told: list[tuple[int, str]] = []

    def tell() -> None:
        for line, message in sorted(told, key=lambda each: each[0]):
            report(line, message)
        told.clear()

    def note(line: int, message: str) -> None:
        told.append((line, message))
        if len(told) > _THREADS * _TOGETHER:
            tell()

    entries = read(note)
    with ThreadPoolExecutor(_THREADS, "batchinfer-look") as pool:
        while some := list(islice(entries, _THREADS * _TOGETHER)):
            parts = [some[at : at + _TOGETHER] for at in range(0, len(some), _TOGETHER)]
            told += chain.from_iterable(pool.map(judge, parts))
            tell()
            yield from some
        tell()


def _faults(
    base: str,
    own: Own,
    may_be_missing: bool,
    entries: Sequence[Entry],
) -> Sequence[tuple[int, str]]:
    return [
        (entry.line, told)
        for entry in entries
        for _, path in entry.files
        if (told := fault(base, path, own, may_be_missing=may_be_missing))
    ]


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
