"""A shard: one of N parts of a source, chosen by the keys, so that N runs share the work.

Rules: an item's shard depends on nothing but its key and N. So it is the same on every machine,
with every version of Python, and whatever files are added to the source or removed from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from batchinfer.sources.input_files import to_nfc

_SHARD_PATTERN: Final = re.compile(r"\s*(\d{1,7})\s*/\s*(\d{1,7})\s*")
_HASH_BYTES: Final = 8
"""Bytes of a key's sha256 that tell its shard."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` of `count`, from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        """As it is written in a config."""
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The shard that "3/16" names. Raises ValueError."""
        match = _SHARD_PATTERN.fullmatch(text)
        number, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= count:
            raise ValueError('a shard I/N with 1 <= I <= N, as "3/16"')
        return cls(number, count)

    def holds(self, key: str) -> bool:
        """Whether the item of this key belongs to the shard."""
        return find_shard_number(key, self.count) == self.number


def find_shard_number(key: str, count: int) -> int:
    """Which of `count` shards the item of this key belongs to, from 1.

    The first 8 bytes of the sha256 of the key (UTF-8, normal form NFC), a big-endian number, modulo
    `count`, and 1 added.
    """
    data = to_nfc(key).encode(errors="surrogatepass")
    number = int.from_bytes(sha256(data, usedforsecurity=False).digest()[:_HASH_BYTES])
    return number % count + 1
