"""What was found, as models spell it: dicts, parallel lists, rows. Rules: see `reading`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from batchinfer.domain import Json
from batchinfer.meaning.outlines import OUTLINES, polygon
from batchinfer.meaning.places import BOXES, PLURAL, base, boxed, place, settled
from batchinfer.meaning.values import is_list, label, number, numbers, spelled
from batchinfer.meaning.words import Class, Classes, Detection, Detections

LABELS: Final = (
    *("label", "labelname", "classname", "categoryname", "speciesname", "species"),
    *("scientificname", "name", "class", "cls", "category", "classlabel", "predictedclass"),
    *("predictedlabel", "predictedspecies", "predictedname", "predclass", "predlabel"),
    *("toplabel", "topclass", "taxon", "breed", "tagname", "objectname", "displayname"),
    *("prediction", "labelid", "classid", "categoryid", "classidx"),
)
"""Keys (see `values.spelled`) of a class; a name wins over a number."""
SCORES: Final = (
    *("score", "confidence", "conf", "probability", "prob", "certainty", "likelihood"),
    *("confidencescore", "predictionscore", "classscore", "classconfidence"),
    *("detectionscore", "detectionconfidence", "topscore", "topprobability"),
    *("predictedprobability", "predprob", "accuracy"),
)
_WITH_PLACE: Final = ("text", "tag", "type", "object")
"""These name a class only of what has a place."""
_NESTED: Final = ("categories", "category", "class", "label", "labels", "classes")
"""These may hold dicts with label and score instead."""
_MANY_BOXES: Final = (
    *("boxes", "bboxes", "xyxy", "xyxyn", "xywh", "xywhn", "boundingboxes", "detectionboxes"),
    *("predboxes", "rois", "box", "bbox", "rectangles"),
)
_MANY_LABELS: Final = (
    *("labelnames", "classnames", "labeltexts", "labels", "classes", "names", "detectionclasses"),
    *("predlabnames", "predlab", "predlabels", "predclasses", "classids", "categoryids", "cls"),
    *("labelids", "label", "class"),
)
_MANY_SCORES: Final = (
    *("scores", "confidences", "conf", "confs", "confidence", "probabilities", "probs"),
    *("detectionscores", "predscores", "predprob", "predprobs", "predprobabilities", "score"),
)
_NO_CLASSES: Final = frozenset(
    (
        *SCORES,
        *("threshold", "confthreshold", "iou", "iouthreshold", "nms", "seconds", "time", "latency"),
        *("x", "y", "w", "h", "width", "height", "left", "top", "right", "bottom", "cx", "cy"),
        *("x1", "y1", "x2", "y2", "x0", "y0", "xmin", "ymin", "xmax", "ymax", "loss", "mean"),
        *("min", "max", "std", "lat", "lon", "latitude", "longitude"),
    )
)
"""A dict with one of these keys is no dict of labels and probabilities."""
_NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity")
"""How the store spells them."""
_PERCENT: Final = (99.0, 101.0)


def things(found: Sequence[Mapping[str, Json]], relative: bool | None = None) -> Detections | None:
    """A list of dicts, if one of them speaks of a place."""
    names = [spelled(thing) for thing in found]
    places = [place(thing, relative) for thing in names]
    if all(spoken is None for spoken in places):
        return None
    detections: list[Detection] = []
    for thing, spoken, (box, outline) in zip(names, places, settled(places), strict=True):
        name, score = _class(thing, placed=spoken is not None)
        if spoken is not None or name is not None:
            detections.append(Detection(name, score, box, outline))
    return Detections(tuple(detections))


def columns(names: Mapping[str, Json], relative: bool | None = None) -> Detections | None:
    """A dict (its names as `spelled`) of parallel lists, one of boxes."""
    for name in _MANY_BOXES:
        if is_list(column := names.get(name)):
            if not column and (name in PLURAL or any(is_list(names.get(k)) for k in _MANY_SCORES)):
                return Detections(())
            if (found := _columns(names, name, column, relative)) is not None:
                return found
    return None


def _columns(
    names: Mapping[str, Json], name: str, column: Sequence[Json], relative: bool | None
) -> Detections | None:
    plain, normalized = base(name)
    unit = True if normalized else relative
    labels, scores = _column(names, _MANY_LABELS), _column(names, _MANY_SCORES)
    boxes = _unbatched(column)
    if not boxes or not all(is_list(box) or (isinstance(box, Mapping) and labels) for box in boxes):
        return None
    places = [boxed(box, BOXES[plain], unit) for box in boxes]
    if all(place is None for place in places):
        return None
    if len(places) == 1 and not labels and not scores:
        return None  # one thing, whose box stands in a list of its own
    outlines = _column(names, OUTLINES)
    if len(outlines) == len(places):
        places = [
            place and replace(place, points=place.points or polygon(outline))
            for place, outline in zip(places, outlines, strict=True)
        ]
    numbered = names.get("names")
    return Detections(
        tuple(
            Detection(_looked_up(_at(labels, row), numbered), number(_at(scores, row)), *where)
            for row, where in enumerate(settled(places))
        )
    )


def rows(value: Sequence[Json]) -> Detections | Classes | None:
    """A list of rows: YOLO's six numbers; label and score; id, label and score."""
    parts = [part for part in value if is_list(part)]
    if len(parts) != len(value):
        return None
    if all(_is_yolo(part) for part in parts):
        places = [boxed(part, "xyxy") for part in parts]
        return Detections(
            tuple(
                Detection(label(part[5]), number(part[4]), *where)
                for part, where in zip(parts, settled(places), strict=True)
            )
        )
    if all(_is_pair(part) for part in parts):
        return ranked(Class(str(part[-2]), number(part[-1])) for part in parts)
    return None


def classes(found: Sequence[Mapping[str, Json]]) -> Classes | None:
    """A list of dicts, if each names a class."""
    named: list[Class] = []
    for thing in found:
        names = spelled(thing)
        name, score = _class(names, placed=False)
        sure = score is not None or any(key in names for key in SCORES)
        if name is None or not (sure or any(key in names for key in LABELS if key != "name")):
            return None
        named.append(Class(name, score))
    return ranked(named)


def class_columns(names: Mapping[str, Json]) -> Classes | None:
    """A dict (its names as `spelled`) of parallel lists: labels, probabilities."""
    labels, scores = _column(names, _MANY_LABELS), _column(names, _MANY_SCORES)
    if not labels or len(labels) != len(scores):
        return None
    read = [(label(name), number(score)) for name, score in zip(labels, scores, strict=True)]
    found = [Class(name, score) for name, score in read if name is not None]
    return ranked(found) if len(found) == len(read) else None


def likelihoods(value: Mapping[str, Json]) -> Classes | None:
    """A dict from label to probability, or to percents that make up a hundred."""
    if not value or spelled(value).keys() & _NO_CLASSES:
        return None
    found: list[Class] = []
    for name, score in value.items():
        read = None if is_list(score) or isinstance(score, str) else number(score)
        if (read is None and score not in _NOT_FINITE) or (read is not None and read < 0):
            return None
        found.append(Class(name, read))
    scores = [one.score or 0.0 for one in found]
    low, high = _PERCENT
    likely = max(scores) <= 1 and any(isinstance(score, float) for score in value.values())
    return ranked(found) if likely or (len(found) > 1 and low <= sum(scores) <= high) else None


def ranked(found: Iterable[Class]) -> Classes:
    """The most probable first; what has no score last."""
    return Classes(
        tuple(sorted(found, key=lambda one: math.inf if one.score is None else -one.score))
    )


def _class(
    names: Mapping[str, Json], *, placed: bool, nested: bool = True
) -> tuple[str | None, float | None]:
    """Label and score of a dict (its names as `spelled`); None where there is none."""
    keys = (*LABELS, *_WITH_PLACE) if placed else LABELS
    texts = (value for key in keys if isinstance(value := names.get(key), str) and value)
    others = (label(names.get(key)) for key in LABELS if key != "prediction")
    name = next(texts, None) or next((other for other in others if other is not None), None)
    scores = (number(names.get(key)) for key in SCORES)
    score = next((score for score in scores if score is not None), None)
    if nested and name is None:
        for key in _NESTED:
            inner = names.get(key)
            first = inner[0] if is_list(inner) and inner else inner
            if isinstance(first, Mapping):
                name, own = _class(spelled(first), placed=False, nested=False)
                return name, own if score is None else score
    return name, score


def _column(names: Mapping[str, Json], keys: Sequence[str]) -> Sequence[Json]:
    for key in keys:
        if is_list(value := names.get(key)) and value:
            match value:
                case [inner] if is_list(inner) and key not in OUTLINES:  # a batch of one
                    return inner
                case _:
                    return value
    return ()


def _unbatched(column: Sequence[Json]) -> Sequence[Json]:
    """Boxes in a batch of one: `[[[1, 2, 3, 4], ...]]`."""
    match column:
        case [[[*_], *_] as inner] | [[Mapping(), *_] as inner]:
            return inner
        case _:
            return column


def _at(column: Sequence[Json], row: int) -> Json:
    return column[row] if row < len(column) else None


def _looked_up(value: Json, numbered: Json) -> str | None:
    """The label, looked up where a model gives its names apart (`{"0": "person"}`)."""
    name = label(value)
    if isinstance(numbered, Mapping) and name is not None and not isinstance(value, str):
        return label(numbered.get(name)) or name
    return name


def _is_yolo(row: Sequence[Json]) -> bool:
    match numbers(row):
        case [left, top, right, bottom, score, kind]:
            return left < right and top < bottom and 0 <= score <= 1 <= kind + 1 and kind % 1 == 0
        case _:
            return False


def _is_pair(row: Sequence[Json]) -> bool:
    match row:
        case [str(), float(score)] | [str(), str(), float(score)]:
            return 0 <= score <= 1
        case _:
            return False
