"""Masks: which pixels belong to a detection, run-length encoded as in COCO. Total and pure.

`{"size": [height, width], "counts": ...}`; `counts` is a list of lengths, or COCO's compressed text
(pycocotools), each number in pieces of five bits, from the third on as the difference to the one
before the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from batchinfer.domain import Json
from batchinfer.predictions.coerce import is_list
from batchinfer.predictions.prediction_types import Mask

_RLE_ZERO_CODE: Final = 48
"""The sign of the piece 0."""
_RLE_CONTINUATION_BIT: Final = 0x20
_RLE_SIGN_BIT: Final = 0x10
_RLE_VALUE_BITS: Final = 0x1F
_MAX_MASK_PIXELS: Final = 2**31
"""Pixels that a mask may cover."""
_MAX_RLE_CHUNKS: Final = 8


def parse_mask(value: Json) -> Mask | None:
    """The mask that a dict holds; None: it is none, or its runs do not add up to the image."""
    if not isinstance(value, Mapping):
        return None
    match value.get("size"):
        case [int(height), int(width)] if (
            height > 0 and width > 0 and height * width < _MAX_MASK_PIXELS
        ):
            pass
        case _:
            return None
    counts = value.get("counts")
    if isinstance(counts, str):
        runs = _decode_counts(counts)
        kept: str | tuple[int, ...] = counts
    elif is_list(counts) and all(type(run) is int for run in counts):
        runs = kept = tuple(run for run in counts if isinstance(run, int))
    else:
        return None
    if runs is None or any(run < 0 for run in runs) or sum(runs) != height * width:
        return None
    return Mask(height, width, kept, sum(runs[1::2]))


def mask_bounds(found: Mask) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of a mask's pixels; None: it has none."""
    left, top, right, bottom = found.width, found.height, 0, 0
    offset = 0
    for at, run in enumerate(_get_runs(found)):
        if at % 2 and run:
            first, last = offset, offset + run - 1
            left, right = min(left, first // found.height), max(right, last // found.height + 1)
            if first // found.height == last // found.height:
                top, bottom = min(top, first % found.height), max(bottom, last % found.height + 1)
            else:  # over the foot of a column and the head of the next
                top, bottom = 0, found.height
        offset += run
    return (left, top, right, bottom) if left < right else None


def mask_overlap(one: Mask, other: Mask) -> float | None:
    """Pixels of both by pixels of either (IoU); None: they cover pictures of different sizes."""
    if (one.height, one.width) != (other.height, other.width):
        return None
    shared = sum(
        max(0, min(one_end, other_end) - max(one_start, other_start))
        for (one_start, one_end), (other_start, other_end) in _iter_meeting_runs(one, other)
    )
    either = one.area + other.area - shared
    return shared / either if either else 1.0


_Span: TypeAlias = tuple[int, int]


def _iter_meeting_runs(one: Mask, other: Mask) -> Iterator[tuple[_Span, _Span]]:
    """Pairs of runs of ones that may share pixels, each as from where to where."""
    spans, other_spans = list(_iter_spans(one)), list(_iter_spans(other))
    at = other_at = 0
    while at < len(spans) and other_at < len(other_spans):
        yield spans[at], other_spans[other_at]
        if spans[at][1] <= other_spans[other_at][1]:
            at += 1
        else:
            other_at += 1


def _iter_spans(mask: Mask) -> Iterator[_Span]:
    offset = 0
    for at, run in enumerate(_get_runs(mask)):
        if at % 2 and run:
            yield offset, offset + run
        offset += run


def _get_runs(mask: Mask) -> tuple[int, ...]:
    runs = _decode_counts(mask.counts) if isinstance(mask.counts, str) else mask.counts
    return runs or ()


def _decode_counts(text: str) -> tuple[int, ...] | None:
    runs: list[int] = []
    for number in _decode_numbers(text):
        if number is None:
            return None
        runs.append(number + runs[-2] if len(runs) > 2 else number)  # noqa: PLR2004 - see above
    return tuple(runs)


def _decode_numbers(text: str) -> Iterator[int | None]:
    value = pieces = 0
    for sign in text:
        piece = ord(sign) - _RLE_ZERO_CODE
        if not 0 <= piece < 2 * _RLE_CONTINUATION_BIT or pieces >= _MAX_RLE_CHUNKS:
            yield None
            return
        value |= (piece & _RLE_VALUE_BITS) << 5 * pieces
        pieces += 1
        if not piece & _RLE_CONTINUATION_BIT:
            if piece & _RLE_SIGN_BIT:
                value |= -1 << 5 * pieces
            yield value
            value = pieces = 0
    if pieces:
        yield None
