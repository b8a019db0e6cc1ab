"""Manifests: a file that lists the items; checked whole before its first item is used.

Paths are relative to the manifest's folder. A missing file is a mistake in the manifest; but in a
run that has begun its item gets an unknown size and fails by itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Final, NoReturn, TypeVar

from batchinfer.domain import InputFile, Item
from batchinfer.errors import SourceError
from batchinfer.ports import Notice
from batchinfer.sources import csv_manifest, jsonl_manifest
from batchinfer.sources.duplicate_keys import MAX_SUSPECTS, KeyBatch, find_duplicate_keys
from batchinfer.sources.input_files import stat_named_file
from batchinfer.sources.manifest_lines import (
    BATCH_ENTRIES,
    EntryBatch,
    ManifestEntry,
    ManifestReader,
    MistakeCollector,
    ReportMistake,
    ignore_mistake,
)
from batchinfer.sources.named_files import STAT_THREADS, FileChecker
from batchinfer.sources.own_files import OwnFiles
from batchinfer.sources.stat_ahead import iter_with_files

_T = TypeVar("_T")

TEXT_READERS: Final[dict[str, ManifestReader]] = {
    "csv": csv_manifest.CSV_READER,
    "jsonl": jsonl_manifest.JSONL_READER,
}
"""What reads manifests that are texts, by their format."""


@dataclass(frozen=True, slots=True)
class ManifestSource:
    """One manifest."""

    name: str
    """For people."""
    path: str
    base_folder: str
    """Absolute; what relative paths are relative to."""
    file_param: str
    reader: ManifestReader
    notices: tuple[Notice, ...] = ()
    """What there is to say about how it is read."""

    def describe_place(self, line: int) -> str:
        """A line of it, for people."""
        return self.reader.describe_place(self.name, line)

    def __iter__(self) -> Iterator[Item]:
        """Items, with sizes and times of files. Raises SourceError at the first broken line."""
        entries = self.iter_entries(self._raise_changed)
        for entry, files in iter_with_files(entries, self._stat_files):
            yield Item(entry.key, files, entry.params)

    def _stat_files(self, entry: ManifestEntry) -> tuple[InputFile, ...]:
        return tuple(
            [stat_named_file(param, self.base_folder, path) for param, path in entry.files]
        )

    def iter_entries(self, report: ReportMistake) -> Iterator[ManifestEntry]:
        """Lines that are right; `report` is called for each of the others."""
        return self._iter_with(self.reader.read_entries, report)

    def iter_batches(self, report: ReportMistake) -> Iterator[EntryBatch]:
        """What is checked of them, many at a time."""
        return self._iter_with(self.reader.iter_batches, report)

    def _iter_with(
        self, read: Callable[[Any, str, ReportMistake], Iterator[_T]], report: ReportMistake
    ) -> Iterator[_T]:
        try:
            with self.reader.open_manifest(self.path) as stream:
                yield from read(stream, self.file_param, report)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{self.name}: cannot be read to its end: {error}") from error
        except UnicodeError as error:  # broken UTF-8 is reported line by line
            raise SourceError(
                f"{self.name}: begins as UTF-16 and is none; save it as UTF-8"
            ) from error

    def _raise_changed(self, line: int, message: str) -> NoReturn:
        raise SourceError(
            f"{self.describe_place(line)}: {message}. (Was the manifest changed meanwhile?)"
        )


def check_manifests(
    manifests: Sequence[ManifestSource],
    own_files: OwnFiles | None = None,
    *,
    may_be_missing: bool = False,
) -> None:
    """Read all of them whole and check every file; one SourceError lists every mistake.

    `may_be_missing`: files that are not there are no mistakes.
    """
    mistakes = MistakeCollector()
    passes = count()
    own_files = own_files or OwnFiles()

    def iter_keys() -> Iterator[KeyBatch]:
        first = next(passes) == 0
        for number, manifest in enumerate(manifests):
            before, is_empty = mistakes.count, True
            if first:
                batches = _iter_checked_batches(
                    manifest,
                    own_files,
                    partial(_add_mistake, mistakes, manifest),
                    may_be_missing=may_be_missing,
                )
            else:
                batches = manifest.iter_batches(ignore_mistake)
            for batch in batches:
                is_empty = is_empty and not batch.keys
                yield KeyBatch(number, batch.lines, batch.keys)
            if first and is_empty and mistakes.count == before:
                mistakes.add(manifest.name, "there is no item in it")

    duplicate_count = 0
    for key, (first_manifest, first_line), (second_manifest, second_line) in find_duplicate_keys(
        iter_keys, sum(each.reader.estimate_max_entries(each.path) for each in manifests)
    ):
        duplicate_count += 1
        mistakes.add(
            manifests[second_manifest].describe_place(second_line),
            f"the key {key!r} is already used at "
            f"{manifests[first_manifest].describe_place(first_line)}",
        )
    mistakes.raise_if_any(is_complete=duplicate_count < MAX_SUSPECTS)


def _iter_checked_batches(
    manifest: ManifestSource, own_files: OwnFiles, report: ReportMistake, *, may_be_missing: bool
) -> Iterator[EntryBatch]:
    """The entries, many at a time; `report` also gets files that cannot be inputs."""
    mistakes: list[tuple[int, str]] = []

    def flush_mistakes() -> None:
        for line, message in sorted(mistakes, key=lambda each: each[0]):
            report(line, message)
        mistakes.clear()

    def add_mistake(line: int, message: str) -> None:
        mistakes.append((line, message))
        if len(mistakes) > BATCH_ENTRIES:
            flush_mistakes()

    with ThreadPoolExecutor(STAT_THREADS, "batchinfer-stat") as pool:
        checker = FileChecker(manifest.base_folder, own_files, pool, may_be_missing=may_be_missing)
        for batch in manifest.iter_batches(add_mistake):
            mistakes += checker.find_faults(batch.paths, batch.path_lines)
            flush_mistakes()
            yield batch
        flush_mistakes()


def _add_mistake(
    mistakes: MistakeCollector, manifest: ManifestSource, line: int, message: str
) -> None:
    mistakes.add(manifest.describe_place(line), message)
