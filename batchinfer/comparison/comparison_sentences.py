"""A comparison in words, for the terminal and the page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from batchinfer.comparison.comparison_summary import Comparison, NumberSpread
from batchinfer.comparison.item_differences import Aspect, ItemChange, ItemDifference
from batchinfer.text_format import escape_unprintable, format_count

_CHANGE_PHRASES: Final = {
    ItemChange.NEWLY_FAILED: "newly failed",
    ItemChange.LOST: "only in A",
    ItemChange.CHANGED: "changed",
    ItemChange.FAILED_OTHERWISE: "failed in both, with another code",
    ItemChange.NEWLY_SUCCEEDED: "newly succeeded",
    ItemChange.APPEARED: "only in B",
    ItemChange.UNFINISHED: "not finished in both",
    ItemChange.UNREADABLE: "damaged, not compared",
    ItemChange.FAILED_IN_BOTH: "failed in both",
    ItemChange.SAME: "the same",
}
_ASPECT_PHRASES: Final = {
    Aspect.KIND: "another kind of prediction",
    Aspect.LABELS: "another label",
    Aspect.SCORES: "another score",
    Aspect.PLACES: "moved",
    Aspect.ONLY_A: "found only in A",
    Aspect.ONLY_B: "found only in B",
    Aspect.TEXT: "another text",
    Aspect.FILE: "another file",
    Aspect.DATA: "other data",
}
_MAX_NAMED_LABELS: Final = 4
_MAX_LISTED_LABELS: Final = 10
_MAX_LABEL_CHARS: Final = 40


def describe_change(change: ItemChange) -> str:
    """What became of an item, in a few words."""
    return _CHANGE_PHRASES[change]


def describe_outcome(comparison: Comparison) -> str:
    """The comparison in a sentence or two."""
    changes, common = comparison.changes, comparison.common_count
    if not comparison.item_count:
        return "Both runs are empty."
    if not common:
        return (
            "No key is in both runs. Keys are paths relative to the source: compare runs of the "
            "same source, or of manifests with the same keys."
        )
    parts = [
        f"{changes[ItemChange.SAME]:,} the same",
        f"{changes[ItemChange.CHANGED]:,} changed",
        *(
            f"{changes[change]:,} {_CHANGE_PHRASES[change]}"
            for change in (ItemChange.NEWLY_FAILED, ItemChange.NEWLY_SUCCEEDED)
            if changes[change]
        ),
    ]
    sentence = f"Of {format_count(common, 'item')} that both runs have: {', '.join(parts)}."
    if comparison.changed_inputs:
        sentence += (
            f" Of {format_count(comparison.changed_inputs, 'item')} other bytes were sent, which "
            "may be why."
        )
    return sentence


def list_rows(comparison: Comparison) -> Sequence[tuple[str, str]]:
    """What was counted: its name, and how many items."""
    rows = [
        (_CHANGE_PHRASES[change], f"{comparison.changes[change]:,}")
        for change in ItemChange
        if comparison.changes[change] or change in {ItemChange.SAME, ItemChange.CHANGED}
    ]
    rows += [
        (f"changed: {_ASPECT_PHRASES[aspect]}", f"{comparison.aspects[aspect]:,}")
        for aspect in Aspect
        if comparison.aspects[aspect]
    ]
    if comparison.changed_inputs:
        rows.append(("other bytes were sent", f"{comparison.changed_inputs:,}"))
    return rows


def list_facts(comparison: Comparison) -> Sequence[tuple[str, str]]:
    """What was found in both, and how it agrees."""
    facts = []
    alone = comparison.found_only_in_a, comparison.found_only_in_b
    if comparison.matched or any(alone):
        told = f"{comparison.matched:,} in both, {alone[0]:,} only in A, {alone[1]:,} only in B"
        facts.append(("detections", told))
    overlaps = comparison.overlaps
    if overlaps.mean is not None:
        told = f"{overlaps.mean:.3f} on average, at least {overlaps.lowest:.3f}"
        facts.append(("overlap (IoU)", told))
    if comparison.score_shifts.count:
        facts.append(("score, B minus A", _describe_shifts(comparison.score_shifts)))
    return facts


def list_label_changes(comparison: Comparison) -> Sequence[tuple[str, str]]:
    """The labels that changed most often, and how often."""
    return [
        (f"{_name_label(label)} -> {_name_label(other)}", f"{count:,}")
        for (label, other), count in comparison.label_changes.most_common(_MAX_LISTED_LABELS)
    ]


def describe_difference(difference: ItemDifference) -> Sequence[str]:
    """In what an item differs, a phrase each."""
    notes = []
    if difference.is_input_changed:
        notes.append("other bytes were sent")
    if difference.label_changes:
        named = [
            f"{_name_label(label)} → {_name_label(other)}"
            for label, other in difference.label_changes[:_MAX_NAMED_LABELS]
        ]
        more = len(difference.label_changes) - len(named)
        notes.append(", ".join([*named, *([f"{more:,} more"] if more else [])]))
    matches = difference.matches
    if matches is not None and matches.only_first:
        notes.append(f"{len(matches.only_first):,} only in A")
    if matches is not None and matches.only_second:
        notes.append(f"{len(matches.only_second):,} only in B")
    if difference.largest_shift is not None and difference.largest_shift:
        notes.append(f"score {difference.largest_shift:+.3g}")
    if difference.mean_overlap is not None and difference.aspects:
        notes.append(f"overlap {difference.mean_overlap:.2f}")
    notes += [
        _ASPECT_PHRASES[aspect]
        for aspect in difference.aspects
        if aspect in {Aspect.KIND, Aspect.TEXT, Aspect.FILE, Aspect.DATA}
    ]
    return notes


def describe_worst(comparison: Comparison, limit: int) -> Sequence[str]:
    """The items that differ most, a line each."""
    return [
        f"{escape_unprintable(item.key)}: {_CHANGE_PHRASES[item.change]}"
        + (f" ({', '.join(_ASPECT_PHRASES[each] for each in item.aspects)})" * bool(item.aspects))
        for item in comparison.list_worst(limit)[:limit]
    ]


def _name_label(label: str) -> str:
    text = escape_unprintable(label[:_MAX_LABEL_CHARS])
    return text + "..." * (len(label) > _MAX_LABEL_CHARS) if text else "(none)"


def _describe_shifts(shifts: NumberSpread) -> str:
    if shifts.mean is None or shifts.lowest is None or shifts.highest is None:
        return ""
    return f"{shifts.mean:+.3f} on average, from {shifts.lowest:+.3f} to {shifts.highest:+.3f}"
