"""Which findings of two predictions are the same thing: matched by where they are. Pure.

Rules:

1. Two findings overlap by the share of what both cover (IoU): of their masks, else their boxes,
   else their times.
2. Those that overlap most are matched first, and only from a least overlap on; findings of the same
   label before all others, so that a dog in front of a cat is not taken for it.
3. Findings without a place are matched by their label, the surest first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from batchinfer.predictions import Box, Detection
from batchinfer.predictions.masks import mask_overlap

DEFAULT_MIN_OVERLAP: Final = 0.5
"""Overlap from which on two findings may be the same thing."""
MAX_MATCHED_FINDINGS: Final = 2_000
"""Findings of one prediction that are matched, the surest; all others are left alone."""

GetSize: TypeAlias = Callable[[], tuple[int, int] | None]
"""Width and height of the picture, in pixels; None: not known."""


@dataclass(frozen=True, slots=True)
class FindingMatch:
    """A finding of each prediction, by their places in it."""

    first: int
    second: int
    overlap: float | None
    """IoU, 0 to 1; None: they have no place, and were matched by their label."""


@dataclass(frozen=True, slots=True)
class FindingMatches:
    """How the findings of two predictions go together."""

    matches: Sequence[FindingMatch]
    only_first: Sequence[int]
    only_second: Sequence[int]


def match_findings(
    first: Sequence[Detection],
    second: Sequence[Detection],
    get_size: GetSize,
    min_overlap: float = DEFAULT_MIN_OVERLAP,
) -> FindingMatches:
    """Match the findings of two predictions of one input by the rules above.

    `get_size` is asked where one counts in pixels and the other in fractions of the picture.
    """
    chosen, other_chosen = _choose(first), _choose(second)
    boxes, other_boxes = _to_one_unit(first, second, get_size)
    overlapping = [
        (overlap, at, other_at)
        for at, other_at in _iter_near(boxes, other_boxes, chosen, other_chosen)
        if (overlap := _overlap(first, second, boxes, other_boxes, at, other_at)) is not None
        and overlap >= min_overlap
    ]
    overlapping.sort(
        key=lambda each: (
            first[each[1]].label != second[each[2]].label,
            -each[0],
            each[1],
            each[2],
        )
    )
    free, other_free = set(range(len(first))), set(range(len(second)))
    matches: list[FindingMatch] = []
    for overlap, at, other_at in overlapping:
        if at in free and other_at in other_free:
            free.remove(at)
            other_free.remove(other_at)
            matches.append(FindingMatch(at, other_at, overlap))
    unplaced = [at for at in sorted(free) if not _has_place(first[at], boxes[at])]
    other_unplaced = [
        at for at in sorted(other_free) if not _has_place(second[at], other_boxes[at])
    ]
    for at, other_at in _pair_by_label(first, second, unplaced, other_unplaced):
        free.remove(at)
        other_free.remove(other_at)
        matches.append(FindingMatch(at, other_at, None))
    return FindingMatches(matches, sorted(free), sorted(other_free))


def box_overlap(one: Box, other: Box) -> float:
    """What both boxes cover by what either covers; both in the same unit."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width < 0 or height < 0:
        return 0.0
    shared = width * height
    either = one.width * one.height + other.width * other.height - shared
    return shared / either if either > 0 else float(one == other)


def _choose(findings: Sequence[Detection]) -> Sequence[int]:
    places = range(len(findings))
    if len(findings) <= MAX_MATCHED_FINDINGS:
        return places
    return sorted(places, key=lambda at: -_score_of(findings[at]))[:MAX_MATCHED_FINDINGS]


def _score_of(finding: Detection) -> float:
    return 0.0 if finding.score is None else finding.score


def _to_one_unit(
    first: Sequence[Detection], second: Sequence[Detection], get_size: GetSize
) -> tuple[Sequence[Box | None], Sequence[Box | None]]:
    """Their boxes in the same unit; all None where that takes a size that is not known."""
    boxes, other_boxes = [each.box for each in first], [each.box for each in second]
    units = {box.relative for box in (*boxes, *other_boxes) if box is not None}
    if len(units) <= 1:
        return boxes, other_boxes
    size = get_size()
    if size is None:
        return [None] * len(first), [None] * len(second)
    return (
        [None if box is None else box.to_fractions(*size) for box in boxes],
        [None if box is None else box.to_fractions(*size) for box in other_boxes],
    )


def _iter_near(
    boxes: Sequence[Box | None],
    other_boxes: Sequence[Box | None],
    chosen: Sequence[int],
    other_chosen: Sequence[int],
) -> Iterator[tuple[int, int]]:
    """Pairs that may overlap: from left to right, so that not each is compared with each."""
    placed = sorted((box.left, at) for at in chosen if (box := boxes[at]) is not None)
    others = sorted((box.left, at) for at in other_chosen if (box := other_boxes[at]) is not None)
    start, widest = 0, max((box.width for box in other_boxes if box is not None), default=0.0)
    for left, at in placed:
        box = boxes[at]
        while start < len(others) and others[start][0] + widest < left:
            start += 1
        for other_left, other_at in others[start:]:
            if box is None or other_left > box.right:
                break
            yield at, other_at
    for at in chosen:
        if boxes[at] is None:
            yield from (
                (at, other_at) for other_at in other_chosen if other_boxes[other_at] is None
            )


def _overlap(  # noqa: PLR0917 - two of each
    first: Sequence[Detection],
    second: Sequence[Detection],
    boxes: Sequence[Box | None],
    other_boxes: Sequence[Box | None],
    at: int,
    other_at: int,
) -> float | None:
    one, other = first[at], second[other_at]
    if one.mask is not None and other.mask is not None:
        overlap = mask_overlap(one.mask, other.mask)
        if overlap is not None:
            return overlap
    box, other_box = boxes[at], other_boxes[other_at]
    if box is not None and other_box is not None:
        return box_overlap(box, other_box)
    return _time_overlap(one, other)


def _time_overlap(one: Detection, other: Detection) -> float | None:
    if one.start is None or one.end is None or other.start is None or other.end is None:
        return None
    shared = min(one.end, other.end) - max(one.start, other.start)
    either = max(one.end, other.end) - min(one.start, other.start)
    return max(0.0, shared) / either if either > 0 else 1.0


def _pair_by_label(
    first: Sequence[Detection],
    second: Sequence[Detection],
    unplaced: Sequence[int],
    other_unplaced: Sequence[int],
) -> Iterator[tuple[int, int]]:
    by_label: dict[str | None, deque[int]] = {}
    for at in sorted(other_unplaced, key=lambda at: -_score_of(second[at])):
        by_label.setdefault(second[at].label, deque()).append(at)
    for at in sorted(unplaced, key=lambda at: -_score_of(first[at])):
        if others := by_label.get(first[at].label):
            yield at, others.popleft()


def _has_place(finding: Detection, box: Box | None) -> bool:
    """Whether it can be matched by where it is; `box`: in the unit of all."""
    is_timed = finding.start is not None and finding.end is not None
    return box is not None or finding.mask is not None or is_timed
