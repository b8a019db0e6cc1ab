"""The source of a run: everything that was named, opened by what it is and read in that order."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

from batchinfer.domain import Item
from batchinfer.errors import SourceError
from batchinfer.inputs import find_uri_scheme
from batchinfer.ports import Notice
from batchinfer.sources import glob_patterns, path_list, skip_counts
from batchinfer.sources.archive_specs import make_key_prefixes, resolve_archives
from batchinfer.sources.folder_source import FolderSource
from batchinfer.sources.formatted_sources import FormatOpener, find_dataset_format
from batchinfer.sources.input_files import (
    KEY_SEPARATOR,
    SingleFileSource,
    explain_url,
    find_on_disk,
    normalize_path,
)
from batchinfer.sources.list_detection import (
    AS_FILE_PREFIX,
    FILES_FROM_PREFIX,
    explain_likely_list,
    split_prefix,
)
from batchinfer.sources.manifest import ManifestSource, check_manifests
from batchinfer.sources.manifest_lines import ManifestReader
from batchinfer.sources.own_files import OwnFiles, describe_refusal
from batchinfer.sources.selection import Selection, find_literal_names
from batchinfer.sources.shard import Shard
from batchinfer.sources.skip_counts import SkipCounts
from batchinfer.sources.source_formats import FORMAT_PREFIXES, detect_format, split_sheet
from batchinfer.sources.stdin_manifest import open_stdin_manifest
from batchinfer.sources.system_files import classify_system_file
from batchinfer.sources.uri_source import UriSource
from batchinfer.sources.video_frames import check_video_extra, split_videos
from batchinfer.text_format import escape_undecodable
from batchinfer.videos.frame_rule import FrameRule

_SingleSource: TypeAlias = FolderSource | UriSource | SingleFileSource | ManifestSource


@dataclass(frozen=True, slots=True)
class CombinedSource:
    """One or more sources, read one after the other; a `ports.Source`."""

    specs: tuple[str, ...]
    """The specs, absolute ("-" stays): opened again from any folder they give the same items."""
    parts: tuple[_SingleSource, ...] = field(repr=False)
    own_files: OwnFiles = field(default_factory=OwnFiles, repr=False)
    skipped_files: SkipCounts = field(default_factory=SkipCounts, repr=False)
    """Named files that are not sent."""
    selection_as_typed: tuple[str, ...] = ()
    """The selection among files, as typed."""
    shard: Shard | None = None
    """The part of all items that is read; None: all."""
    frames: FrameRule | None = None
    """Which frames are items in the place of each video; None: the videos themselves."""
    other_shards: SkipCounts = field(default_factory=SkipCounts, repr=False)
    """What the latest iteration left to other shards; `taken` counts lines of manifests, too."""

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the latest iteration had to leave out (at most 20 per folder spec, then a count),
        and when it has come to its end, what was taken and skipped.
        """  # noqa: D205 - one thought
        noticing = (part for part in self.parts if not isinstance(part, SingleFileSource))
        collected = [notice for part in noticing for notice in part.notices]
        taken, counts = self.taken_and_skipped
        if counts and all(part.is_exhausted for part in self._listings):
            collected.append(Notice("skipped", skip_counts.describe_skipped(taken, counts)))
        return tuple(collected)

    @property
    def taken_and_skipped(self) -> tuple[int, Mapping[str, int]]:
        """Files that the latest iteration took from folders and by patterns, or that were named;
        and how many it skipped, by kind.
        """  # noqa: D205 - one thought
        of_other_shards = SkipCounts(
            -sum(self.other_shards.by_kind.values()), self.other_shards.by_kind
        )
        taken, counts = skip_counts.sum_skip_counts(
            [self.skipped_files, *(part.skipped for part in self._listings), of_other_shards]
        )
        return taken + sum(isinstance(part, SingleFileSource) for part in self.parts), counts

    @property
    def has_folders(self) -> bool:
        """Whether what there is to take is known only when all has been read."""
        return bool(self._listings)

    @property
    def _listings(self) -> Sequence[FolderSource | UriSource]:
        return [part for part in self.parts if isinstance(part, FolderSource | UriSource)]

    def check(self, *, may_be_missing: bool = False) -> None:
        """Find every mistake that can be found before anything is sent.

        Manifests are read whole, their keys compared across all of them, every file checked; of a
        folder only its top is opened. `may_be_missing`: for a run that has begun, whose files may
        have been moved away since. Raises SourceError that lists the mistakes, each with its file
        and line.
        """
        refusals = []
        for part in self.parts:
            if isinstance(part, FolderSource | UriSource):
                part.check()
            elif isinstance(part, SingleFileSource) and (
                description := self.own_files.describe_file(part.path, part.try_stat())
            ):
                refusals.append(f"{describe_refusal(escape_undecodable(part.path), description)}.")
        if refusals:
            raise SourceError("\n".join(refusals))
        manifests = [part for part in self.parts if isinstance(part, ManifestSource)]
        check_manifests(manifests, self.own_files, may_be_missing=may_be_missing)

    def __iter__(self) -> Iterator[Item]:
        """Items in the order of the specs. Raises SourceError when a source breaks on the way."""
        self.other_shards.clear()
        for part in self.parts:
            items = iter(part) if self.frames is None else split_videos(iter(part), self.frames)
            is_counted = not isinstance(part, ManifestSource)  # of a manifest no file is counted
            yield from (
                items
                if self.shard is None
                else self._iter_shard(items, self.shard, is_counted=is_counted)
            )

    def _iter_shard(
        self, items: Iterator[Item], shard: Shard, *, is_counted: bool
    ) -> Iterator[Item]:
        for item in items:
            if shard.holds(item.key):
                yield item
                continue
            self.other_shards.taken += 1
            if is_counted:
                self.other_shards.add(skip_counts.OTHER_SHARDS_KIND)


def open_source(
    specs: Sequence[str],
    *,
    file_param: str = "files",
    selection: Selection | None = None,
    own_files: OwnFiles | None = None,
    spool: Path | None = None,
    stdin: BinaryIO | None = None,
    is_existing_run: bool = False,
    known_specs: Collection[str] = (),
) -> CombinedSource:
    """Make a source of `specs` (the module's table says what a spec may be).

    Args:
        specs: at least one.
        file_param: the model parameter that receives an item's (first) file.
        selection: chooses among the files of folders; what it excludes, and files of other kinds
            than it asks for, are also left out of patterns and of files that were named.
        own_files: what is not sent, for it is batchinfer's own.
        spool: where a manifest from standard input is kept; needed for "-".
        stdin: read to its end at once into `spool`, for "-". None when the run is resumed: then
            `spool` is read again, with paths relative to the folder of back then.
        is_existing_run: the specs are those of a run: nothing is asked about them.
        known_specs: specs of the run, which mean what they meant then.

    Raises:
        SourceError: a spec leads nowhere, or a pattern cannot be understood.
    """
    if not specs:
        raise SourceError("No source given: name a folder, files, a manifest, or - for stdin.")
    if sum(spec.removeprefix(FILES_FROM_PREFIX) == "-" for spec in specs) > 1:
        raise SourceError("Standard input (-) can be read only once: give - a single time.")
    if not is_existing_run and len(specs) == 1 and (question := explain_likely_list(specs[0])):
        raise SourceError(question)
    if selection is not None and selection.frames is not None:
        check_video_extra()
    if not is_existing_run:
        specs = resolve_archives(specs, known_specs)
    opener = _SpecOpener(
        file_param,
        selection or Selection(),
        own_files or OwnFiles(),
        spool,
        stdin,
        is_existing_run,
        make_key_prefixes(specs),
    )
    skipped_files, opened = SkipCounts(), []
    for spec in specs:
        if len(specs) > 1 and (kind := opener.find_skip_kind(spec)):
            skipped_files.add(kind)
        else:
            opened.append(opener.open(spec))
    opened_specs = tuple(spec for spec, _ in opened)
    parts = tuple(part for _, part in opened)
    return CombinedSource(
        opened_specs,
        parts,
        opener.own_files,
        skipped_files,
        opener.selection.as_typed,
        opener.selection.shard,
        opener.selection.frames,
    )


@dataclass(frozen=True, slots=True)
class _SpecOpener:
    """What all specs have in common."""

    file_param: str
    selection: Selection
    own_files: OwnFiles
    spool: Path | None
    stdin: BinaryIO | None
    is_existing_run: bool
    """A spec says what it is: nothing is recognized by what is there now."""
    key_prefixes: Mapping[str, str]
    """What keys begin with, of specs whose names alone do not say it."""

    def find_skip_kind(self, spec: str) -> str | None:
        """As what one of several named files is skipped: a shell names all that is there."""
        name = os.path.basename(spec)  # noqa: PTH119 - paths are plain strings in this package
        if not os.path.isfile(spec) or detect_format(spec):  # noqa: PTH113
            return None
        if (kind := classify_system_file(name)) and not name.startswith(
            "."
        ):  # which no shell names by itself
            return kind
        return (
            None
            if self.selection.allows(escape_undecodable(normalize_path(spec)))
            else skip_counts.classify_by_extension(name)
        )

    def open(self, spec: str) -> tuple[str, _SingleSource]:
        """The spec made absolute, and what reads it."""
        if spec == "-":
            return spec, open_stdin_manifest(self.spool, self.stdin, self.file_param)
        if scheme := find_uri_scheme(uri := spec.removeprefix(AS_FILE_PREFIX)):
            prefix = self.key_prefixes.get(spec, "")
            return spec, UriSource(uri, scheme, self.file_param, self.selection, prefix)
        if not os.path.lexists(spec):
            if (list_path := spec.removeprefix(FILES_FROM_PREFIX)) != spec:
                return self._open_list(list_path)
            if (file_path := spec.removeprefix(AS_FILE_PREFIX)) != spec:
                absolute_spec, single = self._open_single_file(_require_path(file_path))
                return AS_FILE_PREFIX + absolute_spec, single
        prefix, path = split_prefix(spec)
        if prefix in FORMAT_PREFIXES:
            return self._formats.open(prefix.removesuffix(":"), path)
        return self._open_path(spec)

    @property
    def _formats(self) -> FormatOpener:
        return FormatOpener(self.file_param, self.own_files, _require_path)

    def _open_path(self, spec: str) -> tuple[str, _SingleSource]:
        spec = find_on_disk(spec)
        absolute_path = os.path.abspath(spec)  # noqa: PTH100 - not resolve(): links are kept as typed
        if os.path.isdir(spec):  # noqa: PTH112
            if not self.is_existing_run and (source_format := find_dataset_format(absolute_path)):
                return self._formats.open(source_format, spec)
            return absolute_path, FolderSource(
                absolute_path, self.file_param, self.selection, self.own_files
            )
        if os.path.lexists(split_sheet(spec)[0]):
            # Of a run, a path with the mark of a key was a file when it began.
            is_file = self.is_existing_run and KEY_SEPARATOR in spec
            if not is_file and (source_format := detect_format(spec)):
                return self._formats.open_detected(source_format, spec)
            return self._open_single_file(spec)
        if glob_patterns.has_magic(spec):
            return absolute_path, self._open_pattern(absolute_path)
        return _require_path(spec), self._open_single_file(spec)[
            1
        ]  # which raises: nothing is there

    def _open_list(self, list_path: str) -> tuple[str, _SingleSource]:
        if list_path == "-":
            return FILES_FROM_PREFIX + list_path, open_stdin_manifest(
                self.spool, self.stdin, self.file_param, path_list.PATH_LIST_READER
            )
        part = self._make_manifest(_require_path(list_path), path_list.PATH_LIST_READER)
        return FILES_FROM_PREFIX + part.path, part

    def _make_manifest(self, spec: str, reader: ManifestReader) -> ManifestSource:
        absolute_path = os.path.abspath(spec)  # noqa: PTH100
        return ManifestSource(
            escape_undecodable(spec),
            absolute_path,
            os.path.dirname(absolute_path),  # noqa: PTH120
            self.file_param,
            reader,
        )

    def _open_pattern(self, absolute_pattern: str) -> FolderSource:
        base, pattern = glob_patterns.split_pattern(absolute_pattern)
        names = self.selection.literal_names | find_literal_names([pattern])
        return FolderSource(
            base,
            self.file_param,
            replace(self.selection, literal_names=names),
            self.own_files,
            glob_patterns.compile_pattern(pattern),
            glob_patterns.max_depth(pattern),
        )

    def _open_single_file(self, spec: str) -> tuple[str, SingleFileSource]:
        try:
            is_regular = stat.S_ISREG(os.stat(spec).st_mode)  # noqa: PTH116
        except OSError:
            is_regular = True  # a broken link: one failed item, as in a folder
        if not is_regular:
            raise SourceError(
                f"{escape_undecodable(spec)} is not a regular file. A manifest from a pipe is "
                "given as -, on standard input."
            )
        single = SingleFileSource.from_spec(spec, self.file_param)
        return single.spec, single


def _require_path(spec: str) -> str:
    """The path as the disk spells it. Raises SourceError when nothing is there."""
    path = find_on_disk(spec)
    if os.path.lexists(path):
        return path
    if advice := explain_url(spec):
        raise SourceError(f"{advice}.")
    raise SourceError(
        f"{escape_undecodable(spec)}: no such file or folder. Check the spelling; a relative path "
        f"begins at {escape_undecodable(os.getcwd())}."  # noqa: PTH109 - printable() takes a string
    )
