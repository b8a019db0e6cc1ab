"""A prediction read as the user says by hand: `fields.Fields` applied. Total and pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

from batchinfer.domain import Json
from batchinfer.meaning.fields import Fields, Step
from batchinfer.meaning.outlines import polygon
from batchinfer.meaning.places import Place, boxed, settled
from batchinfer.meaning.things import ranked
from batchinfer.meaning.values import is_list, label, number
from batchinfer.meaning.words import Class, Classes, Detection, Detections, Words

_Found: TypeAlias = dict[tuple[int, ...], Json]
"""Values by their places in the lists that the path's `[]` went through."""


def mapped(prediction: Json, fields: Fields) -> Detections | Classes | Words | None:
    """What stands where the user says; None: a text is said to be there, and is not."""
    if fields.boxes is None and fields.outline is None and fields.label is None:
        texts = _at(prediction, fields.text).values()
        return next((Words(text) for text in texts if isinstance(text, str)), None)
    labels, scores = _at(prediction, fields.label), _at(prediction, fields.score)
    if fields.boxes is None and fields.outline is None:
        read = ((label(name), number(_beside(scores, place))) for place, name in labels.items())
        return ranked(Class(name, score) for name, score in read if name is not None)
    boxes, outlines = _at(prediction, fields.boxes), _at(prediction, fields.outline)
    keys = list(boxes) if fields.boxes is not None else list(outlines)
    places = [_place(boxes.get(key), _beside(outlines, key), fields) for key in keys]
    return Detections(
        tuple(
            Detection(label(_beside(labels, key)), number(_beside(scores, key)), box, outline)
            for key, (box, outline) in zip(keys, settled(places), strict=True)
        )
    )


def _place(box: Json, outline: Json, fields: Fields) -> Place:
    found = boxed(box, fields.format or "xyxy?", fields.relative) or Place()
    form, relative = found.form, found.relative
    if fields.format is not None and {form, fields.format} <= {"xywh", "cxcywh"}:
        form = fields.format  # `x` and `y` of a dict are what the user says
    if fields.relative is not None:
        relative = fields.relative
    return replace(found, form=form, relative=relative, points=found.points or polygon(outline))


def _at(value: Json, path: Sequence[Step] | None) -> _Found:
    """What a path leads to; nothing of None."""
    if path is None:
        return {}
    found: _Found = {(): value}
    for step in path:
        found = dict(
            chain.from_iterable(_step(place, inner, step) for place, inner in found.items())
        )
    return found


def _step(place: tuple[int, ...], value: Json, step: Step) -> list[tuple[tuple[int, ...], Json]]:
    match step:
        case str() if isinstance(value, Mapping) and step in value:
            return [(place, value[step])]
        case int() if is_list(value) and step < len(value):
            return [(place, value[step])]
        case None if is_list(value):
            return [((*place, index), inner) for index, inner in enumerate(value)]
        case _:
            return []


def _beside(found: _Found, place: tuple[int, ...]) -> Json:
    """What belongs to that place: of it, or of a list around it."""
    for length in range(len(place), -1, -1):
        if place[:length] in found:
            return found[place[:length]]
    return None
