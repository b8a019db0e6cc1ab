"""Names of files for keys: safe on every file system, and no two alike.

A key is text of others: it may climb (`../`), begin at the root, hold a NUL, be a device of Windows
or longer than a name can be. What a file system, a shell or a program takes amiss becomes `_`; a
name that would meet another one's file or folder (also on disks that know no upper case) ends in a
part of the key's hash. Earlier keys have the right of way, so that an export's names are the same
each time. What was taken is remembered on disk: memory does not know how many there are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from hashlib import sha256
from itertools import accumulate, count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from batchinfer.exports.safe_text import escape_formula
from batchinfer.exports.scratch import open_scratch_database
from batchinfer.text_format import escape_undecodable

MAX_FILENAME_BYTES: Final = 180
"""Bytes of a name; file systems take 255, and we append."""
_MAX_RELATIVE_PATH_BYTES: Final = 700
"""Bytes of a whole path; more is laid flat."""

_TAKEN_NAMES_SCHEMA: Final = (
    "CREATE TABLE taken (name TEXT PRIMARY KEY, folder INTEGER NOT NULL) WITHOUT ROWID;"
)
_UNSAFE_CHARS_PATTERN: Final = re.compile(
    r'[\x00-\x1f\x7f-\x9f<>:"|?*\\\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]'
)
"""Controls, what Windows forbids, marks that turn the direction of writing."""
_FORMULA_START_CHAR_PATTERN: Final = re.compile("[=+\\-@\uff1d\uff0b\uff0d\uff20]")
"""What a formula begins with (`cells`), and, with a dash, an option of a program."""
_WINDOWS_DEVICE_PATTERN: Final = re.compile(
    r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\..*)?", re.IGNORECASE
)


class FilenameAllocator:
    """Gives each key a place of its own below a folder. A context manager."""

    def __init__(self, folder: Path | None = None, *, reserved: Sequence[str] = ()) -> None:
        """No part of a place is one of `reserved`, or differs from it in case only.

        `folder`: where what was taken is remembered; None: in memory.
        """
        self._reserved = frozenset(map(_fold_name, reserved))
        self._resources = ExitStack()
        self._database = self._resources.enter_context(
            open_scratch_database(folder, _TAKEN_NAMES_SCHEMA)
        )
        for name in reserved:
            self._database.execute("INSERT INTO taken VALUES (?, 0)", (_fold_name(name),))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()

    def allocate(self, key: str, extensions: Sequence[str] = ("",)) -> str:
        """A relative path, `/`-separated, to which each of `endings` can be appended."""
        for candidate in self._iter_candidates(key):
            names = [_fold_name(candidate + extension) for extension in extensions]
            folders = list(map(_fold_name, _iter_parents(candidate)))
            if not self._is_taken(names, folders):
                self._database.executemany("INSERT INTO taken VALUES (?, 0)", [(n,) for n in names])
                self._database.executemany(
                    "INSERT OR IGNORE INTO taken VALUES (?, 1)", [(f,) for f in folders]
                )
                return candidate
        raise AssertionError  # pragma: no cover - there are more places than keys

    def _iter_candidates(self, key: str) -> Iterator[str]:
        """The place that the key asks for, then ones that are its own."""
        parts = [
            self._make_safe_name(part)
            for part in escape_undecodable(key).split("/")
            if part not in {"", "."}
        ]
        folders, name = "".join(f"{part}/" for part in parts[:-1]), (parts or ["_"])[-1]
        hash_suffix = "~" + sha256(key.encode(errors="surrogatepass")).hexdigest()[:8]
        if len((folders + name).encode()) <= _MAX_RELATIVE_PATH_BYTES:
            yield folders + name
            yield folders + name + hash_suffix
        flat = self._make_safe_name("_".join(parts)) + hash_suffix
        yield flat
        yield from (f"{flat}-{number}" for number in count(2))

    def _make_safe_name(self, part: str) -> str:
        name = _truncate_name(_UNSAFE_CHARS_PATTERN.sub("_", part)).lstrip(" ").rstrip(". ") or "_"
        if escape_formula(f"{name}_") != f"{name}_":  # an index that is a CSV names what is there
            name = _FORMULA_START_CHAR_PATTERN.sub("_", name)
        if name.startswith("."):  # hidden, or a tool's own, as .git
            name = "_" + name[1:]
        if _WINDOWS_DEVICE_PATTERN.fullmatch(name) or _fold_name(name) in self._reserved:
            name = "_" + name
        return name

    def _is_taken(self, names: Sequence[str], folders: Sequence[str]) -> bool:
        with closing(self._database.cursor()) as cursor:
            query = "SELECT 1 FROM taken WHERE name IN ({})"
            if cursor.execute(query.format(_make_placeholders(names)), names).fetchone():
                return True
            query += " AND NOT folder"
            return (
                cursor.execute(query.format(_make_placeholders(folders)), folders).fetchone()
                is not None
            )


def ensure_parent(folder: Path, relative_path: str) -> Path:
    """The path of `place` in `folder`; the folders on the way are made."""
    path = folder / relative_path
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _iter_parents(relative_path: str) -> Iterator[str]:
    return accumulate(relative_path.split("/")[:-1], lambda above, name: f"{above}/{name}")


def _fold_name(name: str) -> str:
    """The same for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _truncate_name(name: str) -> str:
    """At most `LONGEST` bytes, the ending kept: beginnings are more often alike."""
    data = name.encode()
    return (
        name
        if len(data) <= MAX_FILENAME_BYTES
        else data[-MAX_FILENAME_BYTES:].decode(errors="ignore")
    )


def _make_placeholders(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
