"""Finds equal keys among any number of them, in memory that does not grow with the number.

First a pass that can only err on the safe side: each key sets three bits in each of two words of a
table (a Bloom filter); one whose bits are all set already is a suspect. Then a second pass, looking
only at suspects, makes it exact and knows both places; without suspects there is none. With the
largest table a million different keys make 0.05 suspects, ten million some hundreds.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeAlias

ManifestPosition: TypeAlias = tuple[int, int]
"""Number of the manifest, number of the line."""
KeyPositions: TypeAlias = Iterable[tuple[str, ManifestPosition]]

MAX_TABLE_WORDS = 1 << 23
"""Words of the table at most: 32 MiB."""
MIN_TABLE_WORDS = 1 << 14
MAX_SUSPECTS = 50_000
"""So many are followed up at a time, to keep memory flat also when every key occurs twice."""


_BLOOM_MASKS = tuple(1 << (n & 7) | 1 << 8 + (n >> 3 & 7) | 1 << 16 + (n >> 6) for n in range(1024))


def find_duplicate_keys(
    iter_keys: Callable[[], KeyPositions], expected_keys: int, max_suspects: int = MAX_SUSPECTS
) -> Iterator[tuple[str, ManifestPosition, ManifestPosition]]:
    """Every key that occurs again, with its first place and the later one.

    `iter_keys` starts a pass over all keys; each pass must give the same. `expected_keys` is how
    many there may be; it decides how big the table is. When there are more than `max_suspects`
    suspects, the search ends with the real ones among the first of them.
    """
    table = array(
        "I", bytes(4 * min(max(1 << expected_keys.bit_length(), MIN_TABLE_WORDS), MAX_TABLE_WORDS))
    )
    index_mask = len(table) - 1
    masks = _BLOOM_MASKS
    suspects: set[int] = set()
    for key, _ in iter_keys():
        key_hash = hash(key)
        one, two = key_hash & index_mask, key_hash >> 23 & index_mask
        mask_one, mask_two = masks[key_hash >> 44 & 1023], masks[key_hash >> 54 & 1023]
        word_one, word_two = table[one], table[two]
        if word_one & mask_one != mask_one or word_two & mask_two != mask_two:
            table[one] = word_one | mask_one
            table[two] |= mask_two
            continue
        suspects.add(key_hash)
        if len(suspects) >= max_suspects:
            confirmed = list(islice(_confirm_suspects(iter_keys(), suspects), max_suspects))
            if confirmed:
                yield from confirmed
                return
            suspects.clear()
    if suspects:
        yield from _confirm_suspects(iter_keys(), suspects)


def _confirm_suspects(
    keys: KeyPositions, suspects: set[int]
) -> Iterator[tuple[str, ManifestPosition, ManifestPosition]]:
    first_positions: dict[str, ManifestPosition] = {}
    for key, position in keys:
        if hash(key) in suspects:
            first_position = first_positions.setdefault(key, position)
            if first_position != position:
                yield key, first_position, position
