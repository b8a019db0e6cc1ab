"""Masks: which pixels belong to a thing, run-length encoded as COCO does it. Total and pure.

`{"size": [height, width], "counts": ...}`; `counts` is a list of lengths, or COCO's compressed text
(pycocotools), each number in pieces of five bits, from the third on as the difference to the one
before the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from batchinfer.domain import Json
from batchinfer.meaning.values import is_list
from batchinfer.meaning.words import Mask

_FIRST: Final = 48
"""The sign of the piece 0."""
_MORE: Final = 0x20
_SIGN: Final = 0x10
_PIECE: Final = 0x1F
_LARGEST: Final = 2**31
"""Pixels that a mask may cover."""
_MOST_PIECES: Final = 8


def mask(value: Json) -> Mask | None:
    """The mask that a dict holds; None: it is none, or its runs do not make up the picture."""
    if not isinstance(value, Mapping):
        return None
    match value.get("size"):
        case [int(height), int(width)] if height > 0 and width > 0 and height * width < _LARGEST:
            pass
        case _:
            return None
    counts = value.get("counts")
    if isinstance(counts, str):
        runs = _decoded(counts)
        kept: str | tuple[int, ...] = counts
    elif is_list(counts) and all(type(run) is int for run in counts):
        runs = kept = tuple(run for run in counts if isinstance(run, int))
    else:
        return None
    if runs is None or any(run < 0 for run in runs) or sum(runs) != height * width:
        return None
    return Mask(height, width, kept, sum(runs[1::2]))


def extent(found: Mask) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of a mask's pixels; None: it has none."""
    left, top, right, bottom = found.width, found.height, 0, 0
    place = 0
    runs = _decoded(found.counts) if isinstance(found.counts, str) else found.counts
    for at, run in enumerate(runs or ()):
        if at % 2 and run:
            first, last = place, place + run - 1
            left, right = min(left, first // found.height), max(right, last // found.height + 1)
            if first // found.height == last // found.height:
                top, bottom = min(top, first % found.height), max(bottom, last % found.height + 1)
            else:  # over the foot of a column and the head of the next
                top, bottom = 0, found.height
        place += run
    return (left, top, right, bottom) if left < right else None


def _decoded(text: str) -> tuple[int, ...] | None:
    runs: list[int] = []
    for number in _numbers(text):
        if number is None:
            return None
        runs.append(number + runs[-2] if len(runs) > 2 else number)  # noqa: PLR2004 - see above
    return tuple(runs)


def _numbers(text: str) -> Iterator[int | None]:
    value = pieces = 0
    for sign in text:
        piece = ord(sign) - _FIRST
        if not 0 <= piece < 2 * _MORE or pieces >= _MOST_PIECES:
            yield None
            return
        value |= (piece & _PIECE) << 5 * pieces
        pieces += 1
        if not piece & _MORE:
            if piece & _SIGN:
                value |= -1 << 5 * pieces
            yield value
            value = pieces = 0
    if pieces:
        yield None
