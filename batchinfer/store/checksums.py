"""CRC-32 of what must never change again: finds every flipped bit of a row or a file.

A row's checksum is over its cells as text, one after the other, each ended by U+001F; no value is
`None`. Which cells those are stands below, and in docs/run-format.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zlib import crc32

_CHUNK: Final = 2**20


@dataclass(frozen=True, slots=True)
class Damage:
    """What does not match its checksum."""

    what: str
    """As "the item 'a.jpg'" or "outputs/3-1.png"."""
    why: str


def checksum(*cells: Any) -> int:
    """Of a row with these cells."""
    return crc32("\x1f".join(map(str, cells)).encode("utf-8", "surrogatepass"))


def checksum_of_text(text: str) -> int:
    """Of a text."""
    return crc32(text.encode("utf-8", "surrogatepass"))


def checksum_of_file(path: Path) -> int:
    """Of a file. Raises OSError."""
    found = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found = crc32(chunk, found)
    return found
