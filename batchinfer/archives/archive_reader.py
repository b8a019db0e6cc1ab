"""One open archive of any kind: what it holds, and the bytes of it."""

from __future__ import annotations

import errno
import io
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import BinaryIO, Final, cast

from batchinfer.archives.bomb_limits import explain_member_bomb
from batchinfer.archives.forward_reader import ForwardReader
from batchinfer.archives.member_index import ArchiveMember, MemberIndex
from batchinfer.archives.tar_members import iter_tar_members
from batchinfer.archives.unpacked_stream import UnpackedStream, find_compression
from batchinfer.archives.zip_directory import (
    PASSWORD_PROBLEM,
    is_zip,
    iter_zip_members,
    make_damage_error,
)
from batchinfer.archives.zip_member_stream import open_zip_member
from batchinfer.inputs import InputStat, InputTooLargeError, read_head
from batchinfer.inputs.random_reader import (
    RandomReader,
    ReaderStream,
    SeekingReader,
    open_random_reader,
)

_ARCHIVE_HEAD_BYTES: Final = 512
_TAR_MAGIC: Final = b"ustar"
_TAR_MAGIC_OFFSET: Final = 257
_BATCH_MEMBERS: Final = 500
_BATCH_SECONDS: Final = 0.2
"""So much of an archive is looked through at a time, while others wait."""
_HEADER_BUFFER_BYTES: Final = 1 << 14


class ArchiveReader:
    """An archive that is open. Several threads may use it at once."""

    def __init__(self, path: str, seen: InputStat) -> None:
        """`seen`: what was seen of the archive's own file. Raises OSError when it is none."""
        self.seen = seen
        self._lock = threading.RLock()
        self._index = MemberIndex()
        self._error: OSError | None = None
        """What broke off the looking through."""
        self._is_complete = False
        self._random: RandomReader | None = None
        self._forward: ForwardReader | None = None
        self._is_zip = False
        self._members = self._open(path)

    def iter_members(self) -> Iterator[ArchiveMember]:
        """What it holds, in its order. Raises OSError where it is damaged."""
        last = 0
        while batch := self._read_batch(last):
            yield from batch
            last = batch[-1].ordinal

    def find(self, name: str) -> ArchiveMember | None:
        """The file of that name; None: there is none. Raises OSError when it is damaged."""
        with self._lock:
            while (member := self._index.find(name)) is None and self._look_on():
                pass
            return member

    def check(self) -> None:
        """Raises OSError when it cannot be listed, or holds only what cannot be read.

        Only its beginning is looked at.
        """
        members = self._read_batch(0)
        self._raise_known_error()
        files = [member for member in members if not member.skipped_as]
        if files and all(member.problem == PASSWORD_PROBLEM for member in files):
            raise PermissionError(errno.EACCES, PASSWORD_PROBLEM)

    def stat(self, member: ArchiveMember) -> InputStat:
        """What is known of a file in it. What tells contents apart is its checksum; in a tar, which
        has none, its place and the archive's own time and fingerprint.
        """  # noqa: D205 - one thought
        if member.crc is not None:
            return InputStat(member.size, fingerprint=f"crc32:{member.crc:08x}")
        if self.seen.fingerprint is None:
            return InputStat(member.size, self.seen.mtime_ns)
        return InputStat(member.size, fingerprint=f"{self.seen.fingerprint}@{member.offset}")

    def open(self, member: ArchiveMember) -> BinaryIO:
        """Open a file in it. Raises OSError, also while it is read."""
        if member.problem is not None:
            raise _make_problem_error(member)
        if self._forward is not None:
            return self._forward.read_range(member.offset, member.size)
        assert self._random is not None  # noqa: S101 - one of them is there
        if self._is_zip:
            return open_zip_member(self._random, member)
        return cast("BinaryIO", ReaderStream(self._random, member.offset, member.size))

    def explain_wait(self) -> str | None:
        """Why its files have to be waited for; None: they have not."""
        return None if self._forward is None else self._forward.explain_wait()

    def _open(self, path: str) -> Iterator[ArchiveMember]:
        """Find out what it is. What it holds, yet to be read."""
        head = read_head(path, _ARCHIVE_HEAD_BYTES)
        is_tar = head[_TAR_MAGIC_OFFSET:].startswith(_TAR_MAGIC)
        if not head:
            raise make_damage_error("it is empty")
        if find_compression(head):
            return self._open_forward(path)
        reader = open_random_reader(path, may_copy=not is_tar)
        if reader is None:
            return self._open_forward(path)
        self._random = reader
        if not is_tar and (head.startswith(b"PK") or is_zip(reader)):
            self._is_zip = True
            return iter_zip_members(_open_another(path, reader))
        if not is_tar and not path.lower().endswith(".tar"):  # old ones have no magic number
            raise make_damage_error("it is no archive that is read here (a zip or a tar)")
        members = ReaderStream(_open_another(path, reader))
        stream = io.BufferedReader(members, _HEADER_BUFFER_BYTES)
        return iter_tar_members(stream)

    def _open_forward(self, path: str) -> Iterator[ArchiveMember]:
        self._forward = ForwardReader(path)
        return iter_tar_members(UnpackedStream(path))

    def _read_batch(self, after: int) -> Sequence[ArchiveMember]:
        with self._lock:
            if self._index.count <= after:
                self._look_on()
            return self._index.read_after(after, _BATCH_MEMBERS)

    def _look_on(self) -> bool:
        """Look through some more of it; whether there was more. Raises OSError each time."""
        self._raise_known_error()
        if self._is_complete:
            return False
        found: list[ArchiveMember] = []
        end = time.monotonic() + _BATCH_SECONDS
        try:
            for member in islice(self._members, _BATCH_MEMBERS):
                found.append(member)
                if time.monotonic() > end:
                    break
            else:
                self._is_complete = len(found) < _BATCH_MEMBERS
        except OSError as error:
            self._error = error.with_traceback(None)
        self._index.add(found)
        if not found:
            self._raise_known_error()
        return bool(found)

    def _raise_known_error(self) -> None:
        """Raise what broke off the looking through; each time a new one, without its history."""
        if self._error is not None:
            raise OSError(*self._error.args)


def _open_another(path: str, reader: RandomReader) -> RandomReader:
    """A reader to look through the archive, while files are read by the first one.

    What is on this machine may be read at two places by one reader.
    """
    return (isinstance(reader, SeekingReader) and open_random_reader(path)) or reader


def _make_problem_error(member: ArchiveMember) -> OSError:
    problem = member.problem or ""
    if problem == PASSWORD_PROBLEM:
        return PermissionError(errno.EACCES, problem)
    if explain_member_bomb(member.size, member.packed_size):
        return InputTooLargeError(errno.EFBIG, problem)
    return OSError(errno.ENOTSUP, problem)
