"""The files of a folder, as a stream: the first one at once, memory flat for millions.

Order: a folder is read in chunks of at most `MAX_CHUNK_ENTRIES`. Of a chunk first the files, sorted
by name, then its sub-folders, sorted by name, each to its end. So a folder of up to one chunk is
wholly sorted, a bigger one chunk by chunk in the file system's own order, which for a folder that
has not changed is always the same.

Links are followed, to files and to folders; a link back to a folder that it lies in is not entered
again. Hidden files and folders, what systems leave behind (`system_files`), and what batchinfer
itself wrote (`own_files`) are skipped and counted (`skipped`).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from batchinfer.domain import InputFile, Item
from batchinfer.errors import SourceError, SourceUnavailable
from batchinfer.ports import Notice
from batchinfer.sources.input_files import name_to_key, to_nfc
from batchinfer.sources.own_files import OwnFiles, describe_refusal, get_identity
from batchinfer.sources.selection import Selection
from batchinfer.sources.skip_counts import OWN_FILE_KIND, SkipCounts, classify_by_extension
from batchinfer.sources.system_files import classify_system_file, classify_system_folder
from batchinfer.text_format import escape_undecodable

_FOLDER_ERRNOS = frozenset(
    (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
)
"""Errors that are a matter of one folder, while the source itself is there: all others are trouble
of its disk, its server, or this process."""
MAX_CHUNK_ENTRIES = 20_000
"""Entries that are read, and held, at a time: some 5 MB, some 20 ms."""
MAX_NOTICES = 20
"""So many are kept in full; of the rest only the number."""


@dataclass(frozen=True, slots=True)
class _NamedEntry:
    """What a walk would have of a file or folder that is known by its name."""

    name: str
    path: str

    def is_dir(self) -> bool:
        """As `os.DirEntry.is_dir`."""
        return os.path.isdir(self.path)  # noqa: PTH112 - paths are plain strings here

    def is_symlink(self) -> bool:
        """As `os.DirEntry.is_symlink`."""
        return os.path.islink(self.path)  # noqa: PTH114

    def stat(self) -> os.stat_result:
        """As `os.DirEntry.stat`."""
        return os.stat(self.path)  # noqa: PTH116


_Entry: TypeAlias = "os.DirEntry[str] | _NamedEntry"


@dataclass(slots=True)
class _OpenFolder:
    """A folder on the way from the top to where the walk stands."""

    prefix: str
    """Path below the top with a slash at its end; empty for the top itself."""
    identity: tuple[int, int]
    """Device and inode: what tells a loop."""
    entries: Iterator[_Entry]
    close: Callable[[], None]
    pending_folders: list[_Entry] = field(default_factory=list)
    """Sub-folders of the current chunk still to be entered, last one first."""


@dataclass(slots=True)
class FolderSource:
    """The files below `path`, down to `max_depth`, that `pattern` and `selection` choose."""

    path: str
    """Absolute."""
    file_param: str
    selection: Selection = field(default_factory=Selection)
    own_files: OwnFiles = field(default_factory=OwnFiles)
    pattern: re.Pattern[str] | None = None
    """Of a source that is itself a pattern: what it takes counts as included."""
    max_depth: int | None = None
    skipped: SkipCounts = field(default_factory=SkipCounts)
    """What the latest iteration took and skipped."""
    is_exhausted: bool = False
    """Whether the latest iteration came to its end."""
    _kept_notices: list[Notice] = field(default_factory=list)
    _unlisted_notices: int = 0

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the latest iteration left out, and why."""
        if not self._unlisted_notices:
            return tuple(self._kept_notices)
        more = (
            f"{self._unlisted_notices:,} more below {escape_undecodable(self.path)} were left out "
            "likewise."
        )
        return (*self._kept_notices, Notice("left_out", more))

    def check(self) -> None:
        """Raises SourceError when the folder itself cannot be read, or is batchinfer's own."""
        self._open_folder(self.path, "").close()
        if description := self.own_files.describe_folder(self.path):
            raise SourceError(f"{describe_refusal(escape_undecodable(self.path), description)}.")

    def __iter__(self) -> Iterator[Item]:
        """Items as they are found. Raises SourceError when the folder itself cannot be read."""
        self._kept_notices.clear()
        self._unlisted_notices = 0
        self.skipped.clear()
        self.is_exhausted = False
        stack = [self._open_folder(self.path, "")]
        try:
            while stack:
                current = stack[-1]
                if current.pending_folders:
                    self._enter_folder(current.pending_folders.pop(), stack)
                elif chunk := self._read_chunk(current):
                    yield from self._iter_items(chunk, current)
                    if self.max_depth is not None and len(stack) > self.max_depth:
                        current.pending_folders.clear()
                else:
                    stack.pop()
            self.is_exhausted = True
        finally:
            for open_folder in stack:
                open_folder.close()

    def find_item(self, path: str) -> Item | None:
        """The item of the file at a path below the folder; None: it is not taken, or is no file.

        As the walk would find it; nothing is counted and no notice is given. Raises nothing.
        """
        relative_path = os.path.relpath(path, self.path)
        *folders, name = relative_path.split("/")
        if name in {"", ".", ".."} or ".." in folders:
            return None
        if self.max_depth is not None and len(folders) > self.max_depth:
            return None
        looked_at = FolderSource(
            self.path, self.file_param, self.selection, self.own_files, self.pattern
        )
        prefix = ""
        for folder in folders:
            entry = _NamedEntry(folder, f"{self.path}/{prefix}{folder}")
            if get_identity(entry.path) in self.own_files.identities:
                return None
            if looked_at._find_folder_skip_kind(entry, escape_undecodable(prefix + folder)):
                return None
            prefix = f"{prefix}{folder}/"
        entry = _NamedEntry(name, f"{self.path}/{prefix}{name}")
        if entry.is_dir():
            return None
        items = looked_at._iter_items([entry], _OpenFolder(prefix, (0, 0), iter(()), lambda: None))
        return next(items, None)

    def _open_folder(self, path: str, prefix: str) -> _OpenFolder:
        try:
            status = os.stat(path)  # noqa: PTH116 - paths are plain strings here
            entries = os.scandir(path)
        except OSError as error:
            raise self._make_read_error(error, path, "this folder cannot be read") from error
        return _OpenFolder(prefix, (status.st_dev, status.st_ino), entries, entries.close)

    def _enter_folder(self, folder: _Entry, stack: list[_OpenFolder]) -> None:
        relative_path = f"{stack[-1].prefix}{folder.name}"
        if get_identity(folder.path) in self.own_files.identities:
            return  # this run's own directory: nobody would take it for a source
        if kind := self._find_folder_skip_kind(folder, escape_undecodable(relative_path)):
            self.skipped.add(kind)
            return
        try:
            opened = self._open_folder(folder.path, f"{relative_path}/")
        except SourceUnavailable:
            raise
        except SourceError as error:
            self._add_notice("folder_unreadable", f"{error} Its files are not in this run.")
            return
        if any(opened.identity == ancestor.identity for ancestor in stack):
            opened.close()
            link = escape_undecodable(folder.path)
            self._add_notice(
                "folder_loop", f"{link} leads back to a folder above it: not followed."
            )
            return
        stack.append(opened)

    def _make_read_error(self, error: OSError, path: str, problem: str) -> SourceError:
        """What an error means. Files of a disk in trouble are not left out: they may be there."""
        message = f"{escape_undecodable(path)}: {problem} ({error.strerror})."
        is_folder_error = error.errno in _FOLDER_ERRNOS and os.path.isdir(self.path)  # noqa: PTH112
        return SourceError(message) if is_folder_error else SourceUnavailable(message)

    def _read_chunk(self, current: _OpenFolder) -> list[_Entry]:
        chunk: list[_Entry] = []
        try:
            chunk.extend(islice(current.entries, MAX_CHUNK_ENTRIES))
        except OSError as error:
            problem = "this folder cannot be read to its end"
            raise self._make_read_error(error, f"{self.path}/{current.prefix}", problem) from error
        chunk.sort(key=_get_name)
        return chunk

    def _iter_items(self, chunk: list[_Entry], current: _OpenFolder) -> Iterator[Item]:
        """The items of a chunk, which is empty then; its sub-folders are kept in `current`."""
        folders = []
        chunk.reverse()
        while chunk:
            # Forgotten one by one: an entry that was asked for its status keeps it, which takes
            # more memory than the entry itself.
            entry = chunk.pop()
            if _is_folder(entry):
                folders.append(entry)
                continue
            key = name_to_key(current.prefix + entry.name)
            if self.pattern is not None and not self.pattern.fullmatch(to_nfc(key)):
                continue
            if kind := self._find_file_skip_kind(entry.name, key):
                self.skipped.add(kind)
            elif (file := self._make_input_file(entry)) is not None:
                self.skipped.taken += 1
                yield Item(key, (file,))
        current.pending_folders = folders[::-1]

    def _find_file_skip_kind(self, name: str, key: str) -> str | None:
        """As what a file is skipped; None: it is taken."""
        if (kind := classify_system_file(name)) and to_nfc(
            name
        ).casefold() not in self.selection.literal_names:
            return kind
        is_taken = self.selection.includes if self.pattern is None else self.selection.allows
        return None if is_taken(key) else classify_by_extension(name)

    def _find_folder_skip_kind(self, entry: _Entry, key: str) -> str | None:
        kind = classify_system_folder(entry.name)
        if kind and to_nfc(entry.name).casefold() not in self.selection.literal_names:
            return kind
        if self.own_files.describe_folder(entry.path, may_be_linked=entry.is_symlink()):
            return OWN_FILE_KIND
        return None if self.selection.allows_folder(key) else f"{escape_undecodable(entry.name)}/"

    def _make_input_file(self, entry: _Entry) -> InputFile | None:
        try:
            status = entry.stat()
        except OSError:  # a broken link: its item fails later, and is not lost
            return InputFile(self.file_param, entry.path)
        if self.own_files.describe_file(entry.path, status, may_be_linked=entry.is_symlink()):
            self.skipped.add(OWN_FILE_KIND)
            return None
        if stat.S_ISREG(status.st_mode):
            return InputFile(self.file_param, entry.path, status.st_size, status.st_mtime_ns)
        self._add_notice(
            "not_a_file", f"{escape_undecodable(entry.path)} is a device, pipe or socket: skipped."
        )
        return None

    def _add_notice(self, code: str, message: str) -> None:
        if len(self._kept_notices) < MAX_NOTICES:
            self._kept_notices.append(Notice(code, message))
        else:
            self._unlisted_notices += 1


def _is_folder(entry: _Entry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say
        return False


def _get_name(entry: _Entry) -> str:
    return entry.name
