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

Place: TypeAlias = tuple[int, int]
"""Number of the manifest, number of the line."""
Keys: TypeAlias = Iterable[tuple[str, Place]]

LARGEST = 1 << 23
"""Words of the table at most: 32 MiB."""
SMALLEST = 1 << 14
SUSPECTS = 50_000
"""So many are followed up at a time, to keep memory flat also when every key occurs twice."""


_MASKS = tuple(1 << (n & 7) | 1 << 8 + (n >> 3 & 7) | 1 << 16 + (n >> 6) for n in range(1024))


def duplicates(
    read: Callable[[], Keys], expected: int, suspects_at_most: int = SUSPECTS
) -> Iterator[tuple[str, Place, Place]]:
    """Every key that occurs again, with its first place and the later one.

    `read` starts a pass over all keys; each must bring the same. `expected` is how many there may
    be; it decides how big the table is. When there are more suspects than are followed up at a
    time, the real ones among the first of them are told, and the search ends there.
    """
    table = array("I", bytes(4 * min(max(1 << expected.bit_length(), SMALLEST), LARGEST)))
    last = len(table) - 1
    masks = _MASKS
    suspects: set[int] = set()
    for key, _ in read():
        bits = hash(key)
        one, two = bits & last, bits >> 23 & last
        mask_one, mask_two = masks[bits >> 44 & 1023], masks[bits >> 54 & 1023]
        word_one, word_two = table[one], table[two]
        if word_one & mask_one != mask_one or word_two & mask_two != mask_two:
            table[one] = word_one | mask_one
            table[two] |= mask_two
            continue
        suspects.add(bits)
        if len(suspects) >= suspects_at_most:
            real = list(islice(_exact(read(), suspects), suspects_at_most))
            if real:
                yield from real
                return
            suspects.clear()
    if suspects:
        yield from _exact(read(), suspects)


def _exact(keys: Keys, suspects: set[int]) -> Iterator[tuple[str, Place, Place]]:
    first: dict[str, Place] = {}
    for key, place in keys:
        if hash(key) in suspects:
            known = first.setdefault(key, place)
            if known != place:
                yield key, known, place
