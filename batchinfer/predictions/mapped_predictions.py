"""A prediction interpreted as the user says: a `FieldMap` applied. Total and pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

from batchinfer.domain import Json
from batchinfer.predictions.box_formats import BoxFormatOrQuestion
from batchinfer.predictions.classifications import sort_by_score
from batchinfer.predictions.coerce import is_list, to_label, to_number
from batchinfer.predictions.draft_locations import DraftLocation, read_box, unit_or_question
from batchinfer.predictions.drafts import DraftDetection, DraftDetections
from batchinfer.predictions.field_map import FieldMap, PathStep
from batchinfer.predictions.masks import parse_mask
from batchinfer.predictions.outlines import is_raster, read_outlines
from batchinfer.predictions.prediction_types import Classification, ClassScore, Detection, PlainText

_IndexedValues: TypeAlias = dict[tuple[int, ...], Json]
"""Values by their places in the lists that the path's `[]` went through."""


def apply_field_map(
    prediction: Json, field_map: FieldMap
) -> DraftDetections | Classification | PlainText | None:
    """What is where the user says; None: a text should be there, and is not."""
    if field_map.boxes is None and field_map.outline is None and field_map.label is None:
        texts = _follow_path(prediction, field_map.text).values()
        return next((PlainText(text) for text in texts if isinstance(text, str)), None)
    labels, scores = (
        _follow_path(prediction, field_map.label),
        _follow_path(prediction, field_map.score),
    )
    if field_map.boxes is None and field_map.outline is None:
        read = (
            (to_label(name), to_number(_lookup_enclosing(scores, place)))
            for place, name in labels.items()
        )
        return sort_by_score(ClassScore(name, score) for name, score in read if name is not None)
    boxes, outlines = (
        _follow_path(prediction, field_map.boxes),
        _follow_path(prediction, field_map.outline),
    )
    keys = list(boxes) if field_map.boxes is not None else list(outlines)
    return DraftDetections(
        tuple(
            DraftDetection(
                Detection(
                    to_label(_lookup_enclosing(labels, key)),
                    to_number(_lookup_enclosing(scores, key)),
                ),
                _read_mapped_location(boxes.get(key), _lookup_enclosing(outlines, key), field_map),
            )
            for key in keys
        )
    )


def _read_mapped_location(box: Json, outline: Json, field_map: FieldMap) -> DraftLocation:
    said: BoxFormatOrQuestion = field_map.format or "?list"
    found = read_box(box, said, field_map.relative) or DraftLocation()
    if field_map.relative is not None:
        found = replace(found, unit=unit_or_question(field_map.relative))
    drawn, kept = read_outlines(outline), parse_mask(outline)
    lost = ("mask",) if kept is None and not drawn and is_raster(outline) else ()
    return replace(found, outlines=found.outlines or drawn, mask=kept, unsupported_parts=lost)


def _follow_path(value: Json, path: Sequence[PathStep] | None) -> _IndexedValues:
    """What a path leads to; nothing of None."""
    if path is None:
        return {}
    found: _IndexedValues = {(): value}
    for step in path:
        found = dict(
            chain.from_iterable(_follow_step(place, inner, step) for place, inner in found.items())
        )
    return found


def _follow_step(
    index_path: tuple[int, ...], value: Json, step: PathStep
) -> list[tuple[tuple[int, ...], Json]]:
    match step:
        case str() if isinstance(value, Mapping) and step in value:
            return [(index_path, value[step])]
        case int() if is_list(value) and step < len(value):
            return [(index_path, value[step])]
        case None if is_list(value):
            return [((*index_path, index), inner) for index, inner in enumerate(value)]
        case _:
            return []


def _lookup_enclosing(found: _IndexedValues, index_path: tuple[int, ...]) -> Json:
    """What belongs to that position, or to a list around it."""
    for length in range(len(index_path), -1, -1):
        if index_path[:length] in found:
            return found[index_path[:length]]
    return None
