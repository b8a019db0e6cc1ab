"""What a prediction means, told by its shape. Total and pure: what nobody can tell is `Data`.

The first rule that fits decides; how names may be spelled: `things` and `places`.

======================================================  ===========================================
shape                                                   means
======================================================  ===========================================
`media_type` of a file                                  Output
a text                                                  Words
GeoJSON: a collection, a feature, a geometry, a list    Features
of features
a dict or a list of dicts with places                   Detections (YOLO, HF pipelines, COCO,
                                                        Roboflow, Rekognition, MediaPipe ...)
a dict of parallel lists: boxes, labels, scores         Detections (torchvision, HF, TensorFlow,
                                                        ultralytics' attributes)
a list of rows: left, top, right, bottom, score, class  Detections (YOLO's raw rows)
an empty list, in lists or under a key of `WRAPPERS`    Detections, none: a model that found nothing
a dict of parallel lists: labels, probabilities         Classes (AI4OS image and audio classifiers)
a dict or a list of dicts with label (and score)        Classes (HF pipelines, YOLO classification)
a dict: label to probability                            Classes (YOLO's `top5_prediction`)
a list of rows: label, score; or id, label, score       Classes (Keras, fastai)
a dict with `text`, `caption`, `transcript` ...         Words
a key of `WRAPPERS`, a dict or list of one              what is in it
a list of one meaning per picture or frame              all detections one after the other; classes
                                                        if no label stands twice
anything else, or deeper than `_DEEPEST`                Data
======================================================  ===========================================

What is told wrong is said by hand: `fields`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from batchinfer.domain import JSON, TEXT, Json
from batchinfer.meaning.fields import Fields
from batchinfer.meaning.geography import features
from batchinfer.meaning.mapping import mapped
from batchinfer.meaning.places import unit_of
from batchinfer.meaning.things import (
    class_columns,
    classes,
    columns,
    likelihoods,
    ranked,
    rows,
    things,
)
from batchinfer.meaning.values import is_list, spelled
from batchinfer.meaning.words import Classes, Data, Detections, Meaning, Output, Words

WRAPPERS: Final = (
    *("predictions", "prediction", "detections", "detectedobjects", "objects", "instances"),
    *("results", "result", "outputs", "output", "response", "data", "items", "annotations"),
    *("labels", "classes", "classifications", "probabilities", "probs", "scores", "boxes"),
    *("bboxes", "boundingboxes", "toppredictions", "top5prediction", "top5predictions", "top5"),
    *("topk", "faces", "facedetails", "localizedobjectannotations", "regions", "categories"),
)
"""Keys (see `values.spelled`) of dicts around what was found."""
_TEXTS: Final = ("text", "generatedtext", "transcript", "transcription", "caption", "ocrtext")
_DEEPEST: Final = 6
"""Dicts and lists around what was found."""


def read(prediction: Json, media_type: str | None, fields: Fields | None = None) -> Meaning:
    """What a prediction means; `media_type` as in `domain.Result`, None: there is no reply."""
    if isinstance(prediction, str):
        known = media_type in {JSON, TEXT, None}
        return Words(prediction) if known else Output(prediction, media_type or "")
    if media_type is None:
        return Data(prediction)
    found = mapped(prediction, fields) if fields is not None else _meaning(prediction, None, 0)
    return Data(prediction) if found is None else found


def _meaning(value: Json, relative: bool | None, depth: int) -> Meaning | None:
    if depth > _DEEPEST:
        return None
    if (collection := features(value)) is not None:
        return collection
    if isinstance(value, Mapping):
        return _of_dict(value, relative, depth)
    return _of_list(value, relative, depth) if is_list(value) else None


def _of_dict(value: Mapping[str, Json], relative: bool | None, depth: int) -> Meaning | None:
    names = spelled(value)
    relative = unit_of(names, relative)
    found: Meaning | None = columns(names, relative) or things([value], relative)
    if found is not None:
        return found
    found = class_columns(names) or likelihoods(value) or _inside(value, names, relative, depth)
    if found is not None:
        return found
    alone = classes([value])
    if alone is not None and alone.found[0].score is not None:
        return alone
    texts = (text for name in _TEXTS if isinstance(text := names.get(name), str))
    return next((Words(text) for text in texts), alone)


def _inside(
    value: Mapping[str, Json], names: Mapping[str, Json], relative: bool | None, depth: int
) -> Meaning | None:
    """What is under one of a dict's keys; something before nothing."""
    nothing: Meaning | None = None
    sure: list[Meaning] = []
    for name in (*WRAPPERS, *(name for name in names if name not in WRAPPERS)):
        inner = names.get(name)
        if not (isinstance(inner, Mapping) or is_list(inner)):
            continue
        found = _meaning(inner, relative, depth + 1)
        if found is None:
            continue
        if name not in WRAPPERS:
            if _is_sure(found) or (len(value) == 1 and found != Detections(())):
                sure.append(found)
        elif found != Detections(()):
            return found
        else:
            nothing = found
    return sure[0] if len(sure) == 1 else nothing


def _is_sure(found: Meaning) -> bool:
    """Whether it can be nothing else, under whatever key it stands."""
    return isinstance(found, Detections) and any(thing.box for thing in found.found)


def _of_list(value: Sequence[Json], relative: bool | None, depth: int) -> Meaning | None:
    if not value:
        return Detections(())
    found: Meaning | None = rows(value)
    if found is not None:
        return found
    dicts = [part for part in value if isinstance(part, Mapping)]
    if len(dicts) == len(value) and not any(map(_is_many, dicts)):
        found = things(dicts, relative) or classes(dicts)
        if found is not None:
            return found
    return _merged([_meaning(part, relative, depth + 1) for part in value if part is not None])


def _is_many(value: Mapping[str, Json]) -> bool:
    """Whether a dict holds the parallel lists of a whole picture, not one thing in it."""
    found = columns(spelled(value)) if any(map(is_list, value.values())) else None
    return found is not None and len(found.found) != 1


def _merged(parts: Sequence[Meaning | None]) -> Meaning | None:
    """One meaning of several: of pictures, frames, or classes one by one."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, Detections) for part in parts):
        return Detections(
            tuple(one for part in parts if isinstance(part, Detections) for one in part.found)
        )
    if all(isinstance(part, Classes) for part in parts):
        every = [one for part in parts if isinstance(part, Classes) for one in part.found]
        return ranked(every) if len({one.label for one in every}) == len(every) else None
    return None
