"""The files of a folder, as a stream: the first one at once, memory flat for millions.

Order: a folder is read in chunks of at most `CHUNK` entries. Of a chunk first the files, sorted by
name, then its sub-folders, sorted by name, each to its end. So a folder of up to `CHUNK` entries is
wholly sorted, a bigger one chunk by chunk in the file system's own order, which for a folder that
has not changed is always the same.

Links are followed, to files and to folders; a link back to a folder that it lies in is not entered
again. Hidden files and folders (a leading dot) are skipped.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from batchinfer.domain import InputFile, Item
from batchinfer.errors import SourceError
from batchinfer.ports import Notice
from batchinfer.sources.files import key_of, printable

CHUNK = 20_000
"""Entries that are read, and held, at a time: some 5 MB, some 20 ms."""
NOTICES = 20
"""So many are kept in full; of the rest only the number."""


@dataclass(slots=True)
class _Open:
    """A folder on the way from the top to where the walk stands."""

    below: str
    """Path below the top with a slash at its end; empty for the top itself."""
    identity: tuple[int, int]
    """Device and inode: what tells a loop."""
    entries: Iterator[os.DirEntry[str]]
    close: Callable[[], None]
    folders: list[os.DirEntry[str]] = field(default_factory=list)
    """Sub-folders of the current chunk still to be entered, last one first."""


@dataclass(slots=True)
class Folder:
    """The files below `path`: those that `pattern` chooses, in at most `depth` folders below."""

    path: str
    """Absolute."""
    file_param: str
    pattern: re.Pattern[str] | None = None
    depth: int | None = None
    _kept: list[Notice] = field(default_factory=list)
    _more: int = 0

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the latest iteration left out, and why."""
        if not self._more:
            return tuple(self._kept)
        more = f"{self._more:,} more below {printable(self.path)} were left out likewise."
        return (*self._kept, Notice("left_out", more))

    def check(self) -> None:
        """Raises SourceError when the folder itself cannot be read."""
        self._open(self.path, "").close()

    def __iter__(self) -> Iterator[Item]:
        """Items as they are found. Raises SourceError when the folder itself cannot be read."""
        self._kept.clear()
        self._more = 0
        way = [self._open(self.path, "")]
        try:
            while way:
                here = way[-1]
                if here.folders:
                    self._enter(here.folders.pop(), way)
                elif chunk := self._chunk(here):
                    yield from self._items(chunk, here)
                    if self.depth is not None and len(way) > self.depth:
                        here.folders.clear()
                else:
                    way.pop()
        finally:
            for left in way:
                left.close()

    def _open(self, path: str, below: str) -> _Open:
        try:
            seen = os.stat(path)  # noqa: PTH116 - paths are plain strings in this room
            entries = os.scandir(path)
        except OSError as error:
            raise SourceError(
                f"{printable(path)}: this folder cannot be read ({error.strerror})."
            ) from error
        return _Open(below, (seen.st_dev, seen.st_ino), entries, entries.close)

    def _enter(self, folder: os.DirEntry[str], way: list[_Open]) -> None:
        try:
            opened = self._open(folder.path, f"{way[-1].below}{folder.name}/")
        except SourceError as error:
            self._notice("folder_unreadable", f"{error} Its files are not in this run.")
            return
        if any(opened.identity == above.identity for above in way):
            opened.close()
            link = printable(folder.path)
            self._notice("folder_loop", f"{link} leads back to a folder above it: not followed.")
            return
        way.append(opened)

    def _chunk(self, here: _Open) -> list[os.DirEntry[str]]:
        chunk: list[os.DirEntry[str]] = []
        try:
            chunk.extend(islice(here.entries, CHUNK))
        except OSError as error:
            where = printable(f"{self.path}/{here.below}")
            message = f"{where}: this folder cannot be read to its end ({error.strerror})."
            self._notice("folder_unreadable", message)
        chunk.sort(key=_name)
        return chunk

    def _items(self, chunk: list[os.DirEntry[str]], here: _Open) -> Iterator[Item]:
        folders = []
        for entry in chunk:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                folders.append(entry)
                continue
            below = here.below + entry.name
            if self.pattern is None or self.pattern.fullmatch(below):
                file = self._file(entry)
                if file is not None:
                    yield Item(key_of(below), (file,))
        here.folders = folders[::-1]

    def _file(self, entry: os.DirEntry[str]) -> InputFile | None:
        try:
            seen = entry.stat()
        except OSError:  # a broken link, say: told as a failed item, not lost
            return InputFile(self.file_param, entry.path)
        if stat.S_ISREG(seen.st_mode):
            return InputFile(self.file_param, entry.path, seen.st_size, seen.st_mtime_ns)
        self._notice("not_a_file", f"{printable(entry.path)} is a device, pipe or socket: skipped.")
        return None

    def _notice(self, code: str, message: str) -> None:
        if len(self._kept) < NOTICES:
            self._kept.append(Notice(code, message))
        else:
            self._more += 1


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say
        return False


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name
