"""Checks the files that a manifest names, many of a folder at a time.

Most are looked up in a listing of their folder. It says of each what `stat` would: that it is there
and is a regular file. It costs a third of that for a file, and on a file server one question for
many. Only the plain case is decided so; whatever else a file is (not listed, a link, perhaps
batchinfer's own), `find_fault` looks at it: by itself, or where that takes long in threads.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Final

from batchinfer.artifacts import may_be_artifact
from batchinfer.inputs.source_access import carry_context
from batchinfer.sources.input_files import find_fault
from batchinfer.sources.own_files import OwnFiles

STAT_THREADS: Final = 16
"""Files whose status is asked for at a time: a file server answers each only after a while."""
_FILES_PER_TASK: Final = 64
"""Files in one task of a thread."""
_SLOW_SECONDS: Final = 0.000_2
"""From so many seconds for a file on, threads save more than they cost."""
_MIN_FILES: Final = 16
"""Files of one folder, among those asked for at a time, that are worth a listing."""
_ENTRIES_PER_FILE: Final = 3
"""Entries that may be listed for each file that is asked for: most of a folder may be of no use."""
_MAX_KEPT_PATHS: Final = 50_000
"""Paths that are remembered at most, and listed of one folder: memory stays flat."""


class FileChecker:
    """Finds what is wrong with files; `may_be_missing`: not being there is not.

    Remembers the listings of the folders that it was asked about last.
    """

    def __init__(
        self,
        base_folder: str,
        own_files: OwnFiles,
        pool: ThreadPoolExecutor,
        *,
        may_be_missing: bool = False,
        max_paths: int = _MAX_KEPT_PATHS,
        slow_seconds: float = _SLOW_SECONDS,
    ) -> None:
        self._base_folder = base_folder
        self._own_files = own_files
        self._pool = pool
        self._may_be_missing = may_be_missing
        self._slow_seconds = slow_seconds
        self._own_inodes = frozenset(inode for _, inode in own_files.identities)
        self._listed_folders: set[str] = set()
        self._plain_paths: set[str] = set()
        """Of files in them that can be sent."""
        self._max_paths = self._entry_budget = max_paths

    def find_faults(self, paths: Sequence[str], lines: Sequence[int]) -> list[tuple[int, str]]:
        """Why files cannot be inputs, each with the line that names it. Blocks, as disks do."""
        if not (unlisted := self._find_unlisted(paths)):
            return []
        named = [each for each in zip(lines, paths, strict=True) if each[1] in unlisted]
        faults: list[tuple[int, str]] = []
        chunks = [named[at : at + _FILES_PER_TASK] for at in range(0, len(named), _FILES_PER_TASK)]
        for index, chunk in enumerate(chunks, 1):
            began = time.monotonic()
            faults += self._find_each_fault(chunk)
            if time.monotonic() - began > self._slow_seconds * len(chunk):
                rest = self._pool.map(carry_context(self._find_each_fault), chunks[index:])
                faults += chain.from_iterable(rest)
                break
        return faults

    def _find_each_fault(self, named: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
        return [
            (line, fault)
            for line, path in named
            if (
                fault := find_fault(
                    self._base_folder, path, self._own_files, may_be_missing=self._may_be_missing
                )
            )
        ]

    def _find_unlisted(self, paths: Sequence[str]) -> Collection[str]:
        """The paths of which no listing says that they can be sent."""
        self._entry_budget += _ENTRIES_PER_FILE * len(paths)
        if self._plain_paths.issuperset(paths):
            return ()
        unlisted = [path for path in paths if path not in self._plain_paths]
        folders = Counter([path.rpartition("/")[0] for path in unlisted])
        for folder, count in folders.items():
            is_worth_it = count >= _MIN_FILES and self._entry_budget > 0
            if is_worth_it and folder not in self._listed_folders:
                self._list_folder(folder)
        if self._plain_paths.issuperset(unlisted):
            return ()
        return set(unlisted).difference(self._plain_paths)

    def _list_folder(self, folder: str) -> None:
        """Remember the plain files of a folder, if its listing is not too long."""
        max_entries = min(self._entry_budget, self._max_paths)
        try:
            paths, count = self._read_plain_paths(folder, max_entries)
        except (OSError, ValueError):  # said of each file
            paths, count = [], 0
        self._entry_budget -= count
        if len(self._plain_paths) + len(self._listed_folders) + len(paths) > self._max_paths:
            self._plain_paths.clear()
            self._listed_folders.clear()
        self._plain_paths.update(paths)
        self._listed_folders.add(folder)

    def _read_plain_paths(self, folder: str, max_entries: int) -> tuple[list[str], int]:
        """The paths as a manifest has them, and how many entries were read. Raises OSError."""
        if ":" in folder:  # perhaps a URI
            return [], 0
        real_folder = os.path.join(self._base_folder, folder or ".")  # noqa: PTH118
        with os.scandir(real_folder) as listing:
            entries = list(islice(listing, max_entries + 1))
        if len(entries) > max_entries:
            return [], len(entries)
        names = self._find_plain_names(entries)
        # What is true of the folder of one file is true of all.
        if names and self._own_files.describe_file(f"{real_folder}/{names[0]}", None):
            return [], len(entries)
        prefix = f"{folder}/" if folder else ""
        return [prefix + name for name in names], len(entries)

    def _find_plain_names(self, entries: Sequence[os.DirEntry[str]]) -> Sequence[str]:
        """The names of regular files that are not ours. A million times: no call for each name."""
        files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
        if not self._own_inodes.isdisjoint(map(_get_inode, files)):
            files = [entry for entry in files if entry.inode() not in self._own_inodes]
        names = [entry.name for entry in files]
        text = "/".join(names)
        if ":" in text:
            names = [name for name in names if ":" not in name]
        if "batchinfer." in text:
            return [name for name in names if not may_be_artifact(name)]
        extensions = [name.rpartition(".")[2] for name in names]
        suspicious = set(filter(may_be_artifact, set(extensions)))
        if not suspicious:
            return names
        return [
            name
            for name, extension in zip(names, extensions, strict=True)
            if extension not in suspicious
        ]


_get_inode = os.DirEntry.inode
