"""Finds equal keys among any number of them, in memory that does not grow with the number.

First a pass that can only err on the safe side (`_SeenHashes`); a key that may have been seen
before is a suspect. Then a second pass, looking only at suspects, makes it exact and knows both
places; without suspects there is none. A million different keys make no suspect, ten million some
hundreds.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

ManifestPosition: TypeAlias = tuple[int, int]
"""Number of the manifest, number of the line."""
MAX_TABLE_WORDS: Final = 1 << 22
"""Words of each of two tables at most: together 32 MiB."""
MIN_TABLE_WORDS: Final = 1 << 14
MAX_SUSPECTS: Final = 50_000
"""About so many are followed up at a time, to keep memory flat also when every key occurs twice."""


class KeyBatch(NamedTuple):
    """Some keys of a manifest."""

    manifest: int
    """Its number."""
    lines: Sequence[int]
    keys: Sequence[str]


def find_duplicate_keys(
    iter_keys: Callable[[], Iterable[KeyBatch]],
    expected_keys: int,
    max_suspects: int = MAX_SUSPECTS,
) -> Iterator[tuple[str, ManifestPosition, ManifestPosition]]:
    """Every key that occurs again, with its first place and the later one.

    `iter_keys` starts a pass over all keys; each pass must give the same. `expected_keys` is how
    many there may be; it decides how big the tables are. When there are more than `max_suspects`
    suspects, the search ends with the real ones among the first of them.
    """
    seen = _SeenHashes(min(max(1 << expected_keys.bit_length(), MIN_TABLE_WORDS), MAX_TABLE_WORDS))
    suspects: set[int] = set()
    for batch in iter_keys():
        suspects.update(seen.add(batch.keys))
        if len(suspects) >= max_suspects:
            confirmed = list(islice(_confirm_suspects(iter_keys(), suspects), max_suspects))
            if confirmed:
                yield from confirmed
                return
            suspects.clear()
    if suspects:
        yield from _confirm_suspects(iter_keys(), suspects)


def _confirm_suspects(
    batches: Iterable[KeyBatch], suspects: set[int]
) -> Iterator[tuple[str, ManifestPosition, ManifestPosition]]:
    first_positions: dict[str, ManifestPosition] = {}
    for manifest, lines, keys in batches:
        if suspects.isdisjoint(map(hash, keys)):
            continue
        for line, key in zip(lines, keys, strict=True):
            if hash(key) in suspects:
                position = manifest, line
                first_position = first_positions.setdefault(key, position)
                if first_position != position:
                    yield key, first_position, position


class _SeenHashes:
    """Which hashes have been seen; of some that have not, it says so, too.

    A hash chooses a word of a table, which keeps 31 other bits of the first hash that chose it. One
    that finds the word taken by another sets three bits in each of two words of a second table (a
    Bloom filter): far fewer, as long as there are more words than keys.
    """

    def __init__(self, words: int) -> None:
        """`words`: of each table; a power of two."""
        self._tags = array("i", [0]) * words
        self._bloom_words = array("I", [0]) * words
        self._index_mask = words - 1

    def add(self, keys: Iterable[str]) -> list[int]:
        """Add the hashes of these keys; those that may have been seen before."""
        tags, index_mask = self._tags, self._index_mask
        suspects = []
        for key_hash in map(hash, keys):
            index, tag = key_hash & index_mask, key_hash >> 33 or 1
            if not (found := tags[index]):
                tags[index] = tag
            elif found == tag or self._add_to_bloom(key_hash):
                suspects.append(key_hash)
        return suspects

    def _add_to_bloom(self, key_hash: int) -> bool:
        """Whether the hash may have been added before."""
        words, index_mask = self._bloom_words, self._index_mask
        one, two = key_hash >> 20 & index_mask, key_hash >> 42 & index_mask
        mask_one, mask_two = _BLOOM_MASKS[key_hash & 1023], _BLOOM_MASKS[key_hash >> 10 & 1023]
        if words[one] & mask_one == mask_one and words[two] & mask_two == mask_two:
            return True
        words[one] |= mask_one
        words[two] |= mask_two
        return False


_BLOOM_MASKS: Final = tuple(
    [1 << (n & 7) | 1 << 8 + (n >> 3 & 7) | 1 << 16 + (n >> 6) for n in range(1024)]
)
