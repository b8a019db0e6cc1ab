"""A prediction read as the user says by hand: `fields.Fields` applied. Total and pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

from batchinfer.domain import Json
from batchinfer.meaning.drafts import Found, Things
from batchinfer.meaning.fields import Fields, Step
from batchinfer.meaning.kinds import ranked
from batchinfer.meaning.masks import mask
from batchinfer.meaning.orders import Form
from batchinfer.meaning.outlines import is_raster, polygons
from batchinfer.meaning.places import Place, boxed, scale_of
from batchinfer.meaning.values import is_list, label, number
from batchinfer.meaning.words import Class, Classes, Detection, Words

_Found: TypeAlias = dict[tuple[int, ...], Json]
"""Values by their places in the lists that the path's `[]` went through."""


def mapped(prediction: Json, fields: Fields) -> Things | Classes | Words | None:
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
    return Things(
        tuple(
            Found(
                Detection(label(_beside(labels, key)), number(_beside(scores, key))),
                _place(boxes.get(key), _beside(outlines, key), fields),
            )
            for key in keys
        )
    )


def _place(box: Json, outline: Json, fields: Fields) -> Place:
    said: Form = fields.format or "?list"
    found = boxed(box, said, fields.relative) or Place()
    if fields.relative is not None:
        found = replace(found, scale=scale_of(fields.relative))
    drawn, kept = polygons(outline), mask(outline)
    lost = ("mask",) if kept is None and not drawn and is_raster(outline) else ()
    return replace(found, outlines=found.outlines or drawn, mask=kept, unread=lost)


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
