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

from batchinfer.sinks.cells import harmless, printable
from batchinfer.sinks.scratch import open_scratch

LONGEST: Final = 180
"""Bytes of a name; file systems take 255, and we append."""
_DEEPEST: Final = 700
"""Bytes of a whole path; more is laid flat."""

_TAKEN: Final = "CREATE TABLE taken (name TEXT PRIMARY KEY, folder INTEGER NOT NULL) WITHOUT ROWID;"
_UNSAFE: Final = re.compile(
    r'[\x00-\x1f\x7f-\x9f<>:"|?*\\\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]'
)
"""Controls, what Windows forbids, marks that turn the direction of writing."""
_MARK: Final = re.compile("[=+\\-@\uff1d\uff0b\uff0d\uff20]")
"""What a formula begins with (`cells`), and, with a dash, an option of a program."""
_DEVICE: Final = re.compile(
    r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\..*)?", re.IGNORECASE
)


class Names:
    """Gives each key a place of its own below a folder. A context manager."""

    def __init__(self, folder: Path | None = None, *, reserved: Sequence[str] = ()) -> None:
        """No part of a place is one of `reserved`, or differs from it in case only.

        `folder`: where what was taken is remembered; None: in memory.
        """
        self._reserved = frozenset(map(_folded, reserved))
        self._open = ExitStack()
        self._taken = self._open.enter_context(open_scratch(folder, _TAKEN))
        for name in reserved:
            self._taken.execute("INSERT INTO taken VALUES (?, 0)", (_folded(name),))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def place(self, key: str, endings: Sequence[str] = ("",)) -> str:
        """A relative path, `/`-separated, to which each of `endings` can be appended."""
        for place in self._places(key):
            names = [_folded(place + ending) for ending in endings]
            folders = list(map(_folded, _parents(place)))
            if not self._is_taken(names, folders):
                self._taken.executemany("INSERT INTO taken VALUES (?, 0)", [(n,) for n in names])
                self._taken.executemany(
                    "INSERT OR IGNORE INTO taken VALUES (?, 1)", [(f,) for f in folders]
                )
                return place
        raise AssertionError  # pragma: no cover - there are more places than keys

    def _places(self, key: str) -> Iterator[str]:
        """The place that the key asks for, then ones that are its own."""
        parts = [self._safe(part) for part in printable(key).split("/") if part not in {"", "."}]
        folders, name = "".join(f"{part}/" for part in parts[:-1]), (parts or ["_"])[-1]
        mark = "~" + sha256(key.encode(errors="surrogatepass")).hexdigest()[:8]
        if len((folders + name).encode()) <= _DEEPEST:
            yield folders + name
            yield folders + name + mark
        flat = self._safe("_".join(parts)) + mark
        yield flat
        yield from (f"{flat}-{number}" for number in count(2))

    def _safe(self, part: str) -> str:
        name = _cut(_UNSAFE.sub("_", part)).lstrip(" ").rstrip(". ") or "_"
        if harmless(f"{name}_") != f"{name}_":  # an index that is a CSV names what is there
            name = _MARK.sub("_", name)
        if name.startswith("."):  # hidden, or a tool's own, as .git
            name = "_" + name[1:]
        if _DEVICE.fullmatch(name) or _folded(name) in self._reserved:
            name = "_" + name
        return name

    def _is_taken(self, names: Sequence[str], folders: Sequence[str]) -> bool:
        with closing(self._taken.cursor()) as cursor:
            asked = "SELECT 1 FROM taken WHERE name IN ({})"
            if cursor.execute(asked.format(_marks(names)), names).fetchone():
                return True
            asked += " AND NOT folder"
            return cursor.execute(asked.format(_marks(folders)), folders).fetchone() is not None


def below(folder: Path, place: str) -> Path:
    """The path of `place` in `folder`; the folders on the way are made."""
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _parents(place: str) -> Iterator[str]:
    return accumulate(place.split("/")[:-1], lambda above, name: f"{above}/{name}")


def _folded(name: str) -> str:
    """The same for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _cut(name: str) -> str:
    """At most `LONGEST` bytes, the ending kept: beginnings are more often alike."""
    data = name.encode()
    return name if len(data) <= LONGEST else data[-LONGEST:].decode(errors="ignore")


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
