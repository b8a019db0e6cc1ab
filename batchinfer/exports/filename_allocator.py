"""File names for keys: safe on every file system, and no two alike.

A key is text from outside: it may contain `../`, begin with `/`, contain NUL, be a device name of
Windows or be longer than a name can be. Characters that a file system, a shell or a program treats
specially become `_`. A name that collides with another file or folder (also on disks that ignore
case) gets a part of the key's hash. Earlier keys have precedence, so that an export has the same
names each time. The names in use are kept in a database on disk, not in memory.
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
"""Bytes of a name; file systems allow 255, and extensions are appended."""
_MAX_RELATIVE_PATH_BYTES: Final = 700
"""Bytes of a path; a longer one becomes a single name."""

_TAKEN_NAMES_SCHEMA: Final = (
    "CREATE TABLE taken (name TEXT PRIMARY KEY, folder INTEGER NOT NULL) WITHOUT ROWID;"
)
_UNSAFE_CHARS_PATTERN: Final = re.compile(
    r'[\x00-\x1f\x7f-\x9f<>:"|?*\\\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]'
)
"""Control characters, what Windows forbids, marks that change the direction of writing."""
_FORMULA_START_CHAR_PATTERN: Final = re.compile("[=+\\-@\uff1d\uff0b\uff0d\uff20]")
"""What a formula begins with (`safe_text`), and, with a dash, an option of a program."""
_WINDOWS_DEVICE_PATTERN: Final = re.compile(
    r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\..*)?", re.IGNORECASE
)


class FilenameAllocator:
    """Gives each key a path of its own below a folder. A context manager."""

    def __init__(self, folder: Path | None = None, *, reserved: Sequence[str] = ()) -> None:
        """No part of a path is one of `reserved`, or differs from it only in case.

        `folder`: of the database of names in use; None: in memory.
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
        """A relative path, `/`-separated, to which each of `extensions` can be appended."""
        for candidate in self._iter_candidates(key):
            names = [_fold_name(candidate + extension) for extension in extensions]
            folders = list(map(_fold_name, _iter_parents(candidate)))
            if not self._is_taken(names, folders):
                self._database.executemany("INSERT INTO taken VALUES (?, 0)", [(n,) for n in names])
                self._database.executemany(
                    "INSERT OR IGNORE INTO taken VALUES (?, 1)", [(f,) for f in folders]
                )
                return candidate
        raise AssertionError  # pragma: no cover - candidates never end

    def _iter_candidates(self, key: str) -> Iterator[str]:
        """The path that the key asks for, then paths with a part of its hash."""
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
    """The path in `folder`; its parent folders are created."""
    path = folder / relative_path
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _iter_parents(relative_path: str) -> Iterator[str]:
    return accumulate(relative_path.split("/")[:-1], lambda above, name: f"{above}/{name}")


def _fold_name(name: str) -> str:
    """A form that is equal for names that some file system treats as equal."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _truncate_name(name: str) -> str:
    """At most `MAX_FILENAME_BYTES` bytes, the end kept: beginnings are more often alike."""
    data = name.encode()
    return (
        name
        if len(data) <= MAX_FILENAME_BYTES
        else data[-MAX_FILENAME_BYTES:].decode(errors="ignore")
    )


def _make_placeholders(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
