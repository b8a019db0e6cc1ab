"""How the results of one item differ between two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from batchinfer.comparison.finding_matches import (
    DEFAULT_MIN_OVERLAP,
    FindingMatches,
    match_findings,
)
from batchinfer.domain import ResultDetails, State
from batchinfer.exports.export_source import ExportSource
from batchinfer.exports.safe_text import encode_strict_json
from batchinfer.images import ImageInfo, read_image_info
from batchinfer.predictions import (
    Classification,
    Detections,
    FeatureCollection,
    Interpretation,
    PlainText,
    PredictionFile,
)
from batchinfer.store.checksums import checksum_file

DEFAULT_TOLERANCE: Final = 0.01
"""Scores that differ by no more are the same."""
MOVED_BELOW_OVERLAP: Final = 0.95
"""Boxes of the same thing that overlap less have moved."""


_FINISHED: Final = frozenset({State.SUCCEEDED, State.FAILED})


class ItemChange(StrEnum):
    """What became of an item from one run to the other; the worst first."""

    NEWLY_FAILED = "newly_failed"
    """It succeeded in the first run, and failed in the second."""
    LOST = "lost"
    """Only the first run has it."""
    CHANGED = "changed"
    """It succeeded in both, with another prediction."""
    FAILED_OTHERWISE = "failed_otherwise"
    """It failed in both, with another code."""
    NEWLY_SUCCEEDED = "newly_succeeded"
    """It failed in the first run, and succeeded in the second."""
    APPEARED = "appeared"
    """Only the second run has it."""
    UNFINISHED = "unfinished"
    """One run has no outcome of it yet."""
    UNREADABLE = "unreadable"
    """What one run recorded of it is damaged."""
    FAILED_IN_BOTH = "failed_in_both"
    """With the same code."""
    SAME = "same"
    """It succeeded in both, with the same prediction, within the tolerance."""


class Aspect(StrEnum):
    """In what two predictions differ."""

    KIND = "kind"
    """One is a detection, say, and the other one a text."""
    LABELS = "labels"
    SCORES = "scores"
    PLACES = "places"
    ONLY_A = "only_a"
    """Something was found in the first run only."""
    ONLY_B = "only_b"
    TEXT = "text"
    FILE = "file"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class ItemPair:
    """An item as both runs have it; None: it is not in that run, or damaged there."""

    key: str
    a: ResultDetails | None
    b: ResultDetails | None
    is_damaged: bool = False


@dataclass(frozen=True, slots=True)
class ComparisonRules:
    """From what on something counts as different."""

    min_overlap: float = DEFAULT_MIN_OVERLAP
    """IoU from which on two findings are the same thing."""
    tolerance: float = DEFAULT_TOLERANCE


@dataclass(slots=True)
class ItemDifference:
    """How an item differs."""

    pair: ItemPair
    change: ItemChange
    aspects: tuple[Aspect, ...] = ()
    amount: float = 0.0
    """How much a prediction has changed, 0 to 1: to order by."""
    is_input_changed: bool | None = None
    """Whether other bytes were sent; None: not known."""
    label_changes: Sequence[tuple[str, str]] = ()
    """Of the same thing: its label in the first run, and in the second."""
    score_shifts: Sequence[float] = ()
    """Score in the second run minus that in the first, of each thing that both have."""
    overlaps: Sequence[float] = ()
    """IoU of each thing that both have."""
    matches: FindingMatches | None = None
    """Of two predictions that are detections."""

    @property
    def largest_shift(self) -> float | None:
        """The score shift that is farthest from 0."""
        return max(self.score_shifts, key=abs, default=None)

    @property
    def mean_overlap(self) -> float | None:
        """Of what both have."""
        return sum(self.overlaps) / len(self.overlaps) if self.overlaps else None


def compare_pair(
    pair: ItemPair, first: ExportSource, second: ExportSource, rules: ComparisonRules
) -> ItemDifference:
    """How an item differs between two runs, which `first` and `second` read."""
    a, b = pair.a, pair.b
    if pair.is_damaged:
        return ItemDifference(pair, ItemChange.UNREADABLE)
    if a is None or b is None:
        return ItemDifference(pair, ItemChange.LOST if b is None else ItemChange.APPEARED)
    states = (a.result.state, b.result.state)
    difference = ItemDifference(
        pair, ItemChange.UNFINISHED, is_input_changed=_is_input_changed(a, b)
    )
    match states:
        case _ if not all(state in _FINISHED for state in states):
            pass
        case (State.SUCCEEDED, State.SUCCEEDED):
            _compare_predictions(difference, a, b, (first, second), rules)
        case (State.SUCCEEDED, State.FAILED):
            difference.change = ItemChange.NEWLY_FAILED
        case (State.FAILED, State.SUCCEEDED):
            difference.change = ItemChange.NEWLY_SUCCEEDED
        case _:
            is_same = a.result.code == b.result.code
            difference.change = (
                ItemChange.FAILED_IN_BOTH if is_same else ItemChange.FAILED_OTHERWISE
            )
    return difference


def _is_input_changed(a: ResultDetails, b: ResultDetails) -> bool | None:
    """Whether other bytes were sent; by their sizes where a run kept no sha256."""
    shared = a.sha256.keys() & b.sha256.keys()
    if shared:
        return any(a.sha256[param] != b.sha256[param] for param in shared)
    if a.sha256 and b.sha256:  # sent under other names
        return sorted(a.sha256.values()) != sorted(b.sha256.values())
    sizes = [tuple(file.size for file in each.files) for each in (a, b)]
    if sizes[0] != sizes[1] and None not in (*sizes[0], *sizes[1]):
        return True
    return None


def _compare_predictions(
    difference: ItemDifference,
    a: ResultDetails,
    b: ResultDetails,
    sources: tuple[ExportSource, ExportSource],
    rules: ComparisonRules,
) -> None:
    one, other = sources[0].interpret_result(a.result), sources[1].interpret_result(b.result)
    if isinstance(one, Detections) and isinstance(other, Detections):
        _compare_detections(difference, one, other, rules)
    elif (
        isinstance(one, Classification)
        and isinstance(other, Classification)
        and one.classes
        and other.classes
    ):
        _compare_classes(difference, one, other, rules)
    elif type(one) is not type(other):
        difference.aspects, difference.amount = (Aspect.KIND,), 1.0
    elif not _is_equal(one, other, a, b, sources):
        difference.aspects, difference.amount = (_aspect_of(one),), 1.0
    difference.change = ItemChange.CHANGED if difference.aspects else ItemChange.SAME


def _compare_detections(
    difference: ItemDifference, one: Detections, other: Detections, rules: ComparisonRules
) -> None:
    first, second = one.detections, other.detections
    pair = difference.pair
    found = match_findings(first, second, lambda: _find_image_size(pair), rules.min_overlap)
    difference.matches = found
    pairs = [(first[each.first], second[each.second]) for each in found.matches]
    difference.label_changes = [
        (x.label or "", y.label or "") for x, y in pairs if x.label != y.label
    ]
    difference.score_shifts = [
        y.score - x.score for x, y in pairs if x.score is not None and y.score is not None
    ]
    difference.overlaps = [each.overlap for each in found.matches if each.overlap is not None]
    aspects = {
        Aspect.ONLY_A: bool(found.only_first),
        Aspect.ONLY_B: bool(found.only_second),
        Aspect.LABELS: bool(difference.label_changes),
        Aspect.SCORES: _has_shifted(difference.score_shifts, rules),
        Aspect.PLACES: any(overlap < MOVED_BELOW_OVERLAP for overlap in difference.overlaps),
    }
    difference.aspects = tuple(aspect for aspect, is_there in aspects.items() if is_there)
    agreement = sum(
        1.0 if each.overlap is None else each.overlap
        for each, (x, y) in zip(found.matches, pairs, strict=True)
        if x.label == y.label
    )
    total = len(found.matches) + len(found.only_first) + len(found.only_second)
    lost_share = 1 - agreement / total if total else 0.0
    difference.amount = max(lost_share, _mean_shift(difference.score_shifts))


def _compare_classes(
    difference: ItemDifference, one: Classification, other: Classification, rules: ComparisonRules
) -> None:
    """By the most probable class of each, and the score of the first one's in both."""
    top, other_top = one.classes[0], other.classes[0]
    scores = {each.label: each.score for each in other.classes}
    score = scores.get(top.label)
    if top.score is not None and score is not None:
        difference.score_shifts = [score - top.score]
    if top.label != other_top.label:
        difference.label_changes = [(top.label, other_top.label)]
        difference.aspects, difference.amount = (Aspect.LABELS,), 1.0
    elif _has_shifted(difference.score_shifts, rules):
        difference.aspects = (Aspect.SCORES,)
        difference.amount = _mean_shift(difference.score_shifts)


def _has_shifted(shifts: Sequence[float], rules: ComparisonRules) -> bool:
    return any(abs(shift) > rules.tolerance for shift in shifts)


def _mean_shift(shifts: Sequence[float]) -> float:
    """On average; scores that are percents count as 1 at most."""
    return sum(min(abs(shift), 1.0) for shift in shifts) / len(shifts) if shifts else 0.0


def _aspect_of(interpretation: Interpretation) -> Aspect:
    match interpretation:
        case PlainText():
            return Aspect.TEXT
        case PredictionFile():
            return Aspect.FILE
        case _:
            return Aspect.DATA


def _is_equal(
    one: Interpretation,
    other: Interpretation,
    a: ResultDetails,
    b: ResultDetails,
    sources: tuple[ExportSource, ExportSource],
) -> bool:
    match one, other:
        case PredictionFile(), PredictionFile():
            checksums = [
                _checksum_output(source, details)
                for source, details in zip(sources, (a, b), strict=True)
            ]
            return checksums[0] is not None and checksums[0] == checksums[1]
        case FeatureCollection(), FeatureCollection():
            return encode_strict_json(one.collection) == encode_strict_json(other.collection)
        case _:
            return a.result.prediction == b.result.prediction or (
                # Where nan equals nan.
                encode_strict_json(a.result.prediction) == encode_strict_json(b.result.prediction)
            )


def _checksum_output(source: ExportSource, details: ResultDetails) -> int | None:
    """CRC-32 of the file that is the prediction; None: it is gone."""
    if details.file_checksum is not None:
        return details.file_checksum
    path = source.find_output(str(details.result.prediction))
    return None if path is None else checksum_file(path)


def _find_image_size(pair: ItemPair) -> tuple[int, int] | None:
    """Of the first file that is a picture, in either run."""
    for details in (pair.a, pair.b):
        for file in () if details is None else details.files:
            image = read_image_info(file.path)
            if isinstance(image, ImageInfo):
                return image.width, image.height
    return None
