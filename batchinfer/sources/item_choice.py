"""Which of all items are sent, and in which order: a sample, the newest first, at random.

Rules:

1. A choice is made once, of all that the source gives then, and written down in the run directory
   (`ordered_items`): a resumed run reads that, so that it goes on with the same items in the same
   order, whatever has become of the source.
2. Chance is a hash of the seed and the key. So the same source and seed give the same sample and
   the same order, on every machine and in whatever order the source is listed.
3. A sample is the items of the lowest hashes: each has the same chance, and no more than the
   sample is held in memory. Any other order is sorted on the disk.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from batchinfer.domain import Item
from batchinfer.sources.input_files import to_nfc

_CHOICE_HASH_BYTES: Final = 7
"""Bytes of a hash that tell the place: as many as a signed 64-bit number holds."""
_UNKNOWN_TIME: Final = 1 << 62
"""Rank of an item whose time is not known, behind all others."""


class Order(StrEnum):
    """In which order items are sent."""

    PATH = "path"
    """As the source gives them: a folder by path, a manifest line by line."""
    NEWEST = "newest"
    """By the time of the (first) file, the latest first; unknown times last."""
    RANDOM = "random"
    """By chance."""


@dataclass(frozen=True, slots=True)
class ItemChoice:
    """Which items are sent, and in which order. The default sends all, as they come."""

    sample: int | None = None
    """How many; None: all."""
    seed: int = 0
    order: Order = Order.PATH

    @property
    def is_needed(self) -> bool:
        """Whether anything is chosen: if not, items are sent while the source is read."""
        return self.sample is not None or self.order is not Order.PATH

    def describe(self) -> str:
        """It in words: "a sample of 100 (seed 3), newest first"."""
        parts = [] if self.sample is None else [f"a sample of {self.sample:,}"]
        if self.order is Order.NEWEST:
            parts.append("the newest first")
        elif self.order is Order.RANDOM:
            parts.append("in random order")
        uses_seed = self.sample is not None or self.order is Order.RANDOM
        return ", ".join(parts or ["all, as they come"]) + f" (seed {self.seed})" * uses_seed

    def take(self, items: Iterable[Item]) -> Iterator[tuple[int, Item]]:
        """The chosen ones as the source gives them, each with its rank in the order.

        Of a sample nothing comes before all has been read.
        """
        if self.sample is None:
            for place, item in enumerate(items):
                yield self._rank(place, item), item
            return
        for place, item in _draw_sample(items, self.sample, self.seed):
            yield self._rank(place, item), item

    def _rank(self, place: int, item: Item) -> int:
        match self.order:
            case Order.PATH:
                return place
            case Order.RANDOM:
                return hash_key(f"order {self.seed}", item.key)
            case Order.NEWEST:
                mtime_ns = item.files[0].mtime_ns if item.files else None
                return _UNKNOWN_TIME if mtime_ns is None else -mtime_ns


def hash_key(salt: str, key: str) -> int:
    """A number that a key is given by chance, the same each time, below 2 ** 56.

    The first 7 bytes of the sha256 of salt, NUL and key (UTF-8, normal form NFC), big-endian.
    """
    data = f"{salt}\0{to_nfc(key)}".encode(errors="surrogatepass")
    return int.from_bytes(sha256(data, usedforsecurity=False).digest()[:_CHOICE_HASH_BYTES])


def _draw_sample(items: Iterable[Item], size: int, seed: int) -> list[tuple[int, Item]]:
    """The items of the lowest hashes, with their places, in the order of the source."""
    salt = f"sample {seed}"
    drawn: list[tuple[int, str, int, Item]] = []
    for place, item in enumerate(items):
        # The heap's first is what goes next: so the hash is negative. Equal hashes: by place.
        entry = (-hash_key(salt, item.key), item.key, -place, item)
        if len(drawn) < size:
            heapq.heappush(drawn, entry)
        elif entry[:3] > drawn[0][:3]:
            heapq.heapreplace(drawn, entry)
    return sorted([(-place, item) for _, _, place, item in drawn], key=lambda each: each[0])
