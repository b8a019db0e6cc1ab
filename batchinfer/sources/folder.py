"""The files of a folder, as a stream: the first one at once, memory flat for millions.

Order: a folder is read in chunks of at most `CHUNK` entries. Of a chunk first the files, sorted by
name, then its sub-folders, sorted by name, each to its end. So a folder of up to `CHUNK` entries is
wholly sorted, a bigger one chunk by chunk in the file system's own order, which for a folder that
has not changed is always the same.

Links are followed, to files and to folders; a link back to a folder that it lies in is not entered
again. Hidden files and folders, what systems leave behind (`litter`), and what batchinfer itself
wrote (`own`) are skipped, and counted (`skipped`).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from batchinfer.domain import InputFile, Item
from batchinfer.errors import SourceError, SourceUnavailable
from batchinfer.ports import Notice
from batchinfer.sources.files import composed, key_of, printable
from batchinfer.sources.litter import litter, litter_folder
from batchinfer.sources.own import Own, identity, refusal
from batchinfer.sources.selection import Selection
from batchinfer.sources.skipped import OWN, Skipped, ending

_OF_THE_FOLDER = frozenset(
    (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
)
"""Errors that are a matter of one folder, while the source itself is there: all others are trouble
of its disk, its server, or this process."""
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
    """The files below `path`, in at most `depth` folders, that `pattern` and `selection` choose."""

    path: str
    """Absolute."""
    file_param: str
    selection: Selection = field(default_factory=Selection)
    own: Own = field(default_factory=Own)
    pattern: re.Pattern[str] | None = None
    """Of a source that is itself a pattern: what it takes counts as included."""
    depth: int | None = None
    skipped: Skipped = field(default_factory=Skipped)
    """What the latest iteration took and skipped."""
    is_read: bool = False
    """Whether the latest iteration came to its end."""
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
        """Raises SourceError when the folder itself cannot be read, or is batchinfer's own."""
        self._open(self.path, "").close()
        if what := self.own.folder(self.path):
            raise SourceError(f"{refusal(printable(self.path), what)}.")

    def __iter__(self) -> Iterator[Item]:
        """Items as they are found. Raises SourceError when the folder itself cannot be read."""
        self._kept.clear()
        self._more = 0
        self.skipped.clear()
        self.is_read = False
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
            self.is_read = True
        finally:
            for left in way:
                left.close()

    def _open(self, path: str, below: str) -> _Open:
        try:
            seen = os.stat(path)  # noqa: PTH116 - paths are plain strings in this room
            entries = os.scandir(path)
        except OSError as error:
            raise self._unreadable(error, path, "this folder cannot be read") from error
        return _Open(below, (seen.st_dev, seen.st_ino), entries, entries.close)

    def _enter(self, folder: os.DirEntry[str], way: list[_Open]) -> None:
        below = f"{way[-1].below}{folder.name}"
        if identity(folder.path) in self.own.identities:
            return  # this run's own directory: nobody would take it for a source
        if kind := self._kind_of_folder(folder, printable(below)):
            self.skipped.add(kind)
            return
        try:
            opened = self._open(folder.path, f"{below}/")
        except SourceUnavailable:
            raise
        except SourceError as error:
            self._notice("folder_unreadable", f"{error} Its files are not in this run.")
            return
        if any(opened.identity == above.identity for above in way):
            opened.close()
            link = printable(folder.path)
            self._notice("folder_loop", f"{link} leads back to a folder above it: not followed.")
            return
        way.append(opened)

    def _unreadable(self, error: OSError, path: str, what: str) -> SourceError:
        """What an error means. Files of a disk in trouble are not left out: they may be there."""
        message = f"{printable(path)}: {what} ({error.strerror})."
        own_matter = error.errno in _OF_THE_FOLDER and os.path.isdir(self.path)  # noqa: PTH112
        return SourceError(message) if own_matter else SourceUnavailable(message)

    def _chunk(self, here: _Open) -> list[os.DirEntry[str]]:
        chunk: list[os.DirEntry[str]] = []
        try:
            chunk.extend(islice(here.entries, CHUNK))
        except OSError as error:
            what = "this folder cannot be read to its end"
            raise self._unreadable(error, f"{self.path}/{here.below}", what) from error
        chunk.sort(key=_name)
        return chunk

    def _items(self, chunk: list[os.DirEntry[str]], here: _Open) -> Iterator[Item]:
        folders = []
        for entry in chunk:
            if _is_folder(entry):
                folders.append(entry)
                continue
            key = key_of(here.below + entry.name)
            if self.pattern is not None and not self.pattern.fullmatch(composed(key)):
                continue
            if kind := self._kind_of_file(entry.name, key):
                self.skipped.add(kind)
            elif (file := self._file(entry)) is not None:
                self.skipped.taken += 1
                yield Item(key, (file,))
        here.folders = folders[::-1]

    def _kind_of_file(self, name: str, key: str) -> str | None:
        """As what a file is skipped; None: it is taken."""
        if (kind := litter(name)) and composed(name).casefold() not in self.selection.names:
            return kind
        takes = self.selection.takes if self.pattern is None else self.selection.allows
        return None if takes(key) else ending(name)

    def _kind_of_folder(self, entry: os.DirEntry[str], key: str) -> str | None:
        kind = litter_folder(entry.name)
        if kind and composed(entry.name).casefold() not in self.selection.names:
            return kind
        if self.own.folder(entry.path, linked=entry.is_symlink()):
            return OWN
        return None if self.selection.enters(key) else f"{printable(entry.name)}/"

    def _file(self, entry: os.DirEntry[str]) -> InputFile | None:
        try:
            seen = entry.stat()
        except OSError:  # a broken link, say: told as a failed item, not lost
            return InputFile(self.file_param, entry.path)
        if self.own.file(entry.path, seen, linked=entry.is_symlink()):
            self.skipped.add(OWN)
            return None
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
