"""What an archive holds, in a temporary database: names, places and sizes, in the archive's order.

The database is a file of SQLite without a name, which is gone with the process. Of it at most
`_CACHE_KIB` are in memory, however many files an archive has.
"""

from __future__ import annotations

import posixpath
import sqlite3
import weakref
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

_CACHE_KIB: Final = 2_048
_SCHEMA: Final = """
CREATE TABLE members (
    ordinal INTEGER PRIMARY KEY, name BLOB UNIQUE, skipped_as TEXT, offset INTEGER, size INTEGER,
    packed_size INTEGER, crc INTEGER, method INTEGER, problem TEXT
)
"""
_COLUMNS: Final = "ordinal, name, skipped_as, offset, size, packed_size, crc, method, problem"


_Row: TypeAlias = tuple[int, bytes | None, str | None, int, int, int, int | None, int, str | None]


class ArchiveMember(NamedTuple):
    """One file in an archive, or what is there and is none."""

    name: str
    """Its path below the archive, `/`-separated; bytes that are no text are surrogate escapes."""
    offset: int = 0
    """Where it is in the archive (a zip: its header; a tar: its bytes, unpacked)."""
    size: int = 0
    """Bytes."""
    packed_size: int = 0
    """Bytes that it takes in the archive."""
    crc: int | None = None
    """Its CRC-32, where the archive has it."""
    method: int = 0
    """How it is compressed, as zip numbers it."""
    problem: str | None = None
    """Why it cannot be read; None: nothing is known against it."""
    skipped_as: str | None = None
    """As what it is counted, if it is no file to be sent."""
    ordinal: int = 0
    """Its place among all, from 1; given by the index."""


class MemberIndex:
    """The members that were found so far. For one thread at a time."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        weakref.finalize(self, self._connection.close)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._connection.execute(_SCHEMA)
        self.count = 0
        """Members so far."""

    def add(self, members: Sequence[ArchiveMember]) -> None:
        """Add members, in order. A name that is there already is numbered, as file managers do."""
        self._connection.execute("BEGIN")
        for member in members:
            self.count += 1
            name = member.name
            number = 1
            while not self._try_insert(member, name):
                number += 1
                stem, extension = posixpath.splitext(member.name)
                name = f"{stem} ({number}){extension}"
        self._connection.execute("COMMIT")

    def _try_insert(self, member: ArchiveMember, name: str) -> bool:
        row = (
            self.count,
            None if member.skipped_as else _encode_name(name),
            member.skipped_as,
            *member[1:7],
        )
        statement = f"INSERT OR IGNORE INTO members ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608 - a constant
        return self._connection.execute(statement, row).rowcount == 1

    def find(self, name: str) -> ArchiveMember | None:
        """The member of a name; None: none so far."""
        query = f"SELECT {_COLUMNS} FROM members WHERE name = ?"  # noqa: S608 - a constant
        row = self._connection.execute(query, (_encode_name(name),)).fetchone()
        return None if row is None else _make_member(row)

    def read_after(self, ordinal: int, limit: int) -> Sequence[ArchiveMember]:
        """At most `limit` members behind that one."""
        query = f"SELECT {_COLUMNS} FROM members WHERE ordinal > ? ORDER BY ordinal LIMIT ?"  # noqa: S608
        return [*map(_make_member, self._connection.execute(query, (ordinal, limit)))]


def _encode_name(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _make_member(row: _Row) -> ArchiveMember:
    ordinal, name, skipped_as, offset, size, packed_size, crc, method, problem = row
    text = "" if name is None else name.decode("utf-8", "surrogateescape")
    return ArchiveMember(text, offset, size, packed_size, crc, method, problem, skipped_as, ordinal)
