"""What a prediction means, told by its shape. Total and pure: what nobody can tell is `Data`.

The first rule that fits decides; how names may be spelled: `things` and `places`. What no shape
tells, as the order of four numbers, is the same for a whole run: `run_reading`.

======================================================  ===========================================
shape                                                   means
======================================================  ===========================================
`media_type` of a file                                  Output
a text                                                  Words
GeoJSON: a collection, a feature, a geometry, a list    Features
of features
a dict or a list of dicts with places, of whatever name Detections (YOLO, HF pipelines, COCO,
                                                        Roboflow, Rekognition, MediaPipe ...)
a dict of parallel lists: boxes, labels, scores         Detections (torchvision, HF, TensorFlow,
                                                        ultralytics' attributes)
a list of rows: left, top, right, bottom, score, class  Detections (YOLO's raw rows)
a list of rows: corners, text, score                    Detections (EasyOCR, PaddleOCR, RapidOCR)
a dict with label, score, start and end                 Detections in time (BirdNET)
an empty list, in lists or under a key of `WRAPPERS`    Detections, none: a model that found nothing
a dict of parallel lists: labels, probabilities         Classes (AI4OS image and audio classifiers)
a dict or a list of dicts with label (and score)        Classes (HF pipelines, YOLO classification)
a dict: label to probability, under a name that says    Classes (YOLO's `top5_prediction`)
so, or if those of the run add up to one
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
from batchinfer.meaning.drafts import NOTHING, Draft, Labels, Numbers, Things, settle
from batchinfer.meaning.evidence import Sample, Size, decide
from batchinfer.meaning.fields import Fields
from batchinfer.meaning.geography import features
from batchinfer.meaning.kinds import (
    class_columns,
    class_rows,
    classes,
    numbers_by_name,
    ranked,
    together,
)
from batchinfer.meaning.mapping import mapped
from batchinfer.meaning.places import unit_of
from batchinfer.meaning.run_reading import Reading
from batchinfer.meaning.things import columns, renamed, rows, things
from batchinfer.meaning.values import is_list, spelled
from batchinfer.meaning.words import Classes, Data, Meaning, Output, Words

WRAPPERS: Final = (
    *("predictions", "prediction", "detections", "detectedobjects", "objects", "instances"),
    *("results", "result", "outputs", "output", "response", "responses", "data", "items"),
    *("annotations", "labels", "classes", "classifications", "probabilities", "probs", "scores"),
    *("boxes", "bboxes", "boundingboxes", "toppredictions", "top5prediction", "top5predictions"),
    *("top5", "topk", "faces", "facedetails", "localizedobjectannotations", "faceannotations"),
    *("objectsresult", "values", "textdetections", "regions", "shapes", "categories"),
    *("logoannotations", "landmarkannotations", "textannotations", "labelannotations"),
    *("tagsresult", "tags"),
)
"""Keys (see `values.spelled`) of dicts around what was found."""
_TEXTS: Final = ("text", "generatedtext", "transcript", "transcription", "caption", "ocrtext")
_DEEPEST: Final = 6
"""Dicts and lists around what was found."""


def read(
    prediction: Json,
    media_type: str | None,
    fields: Fields | None = None,
    reading: Reading | None = None,
) -> Meaning:
    """What a prediction means; `media_type` as in `domain.Result`, None: there is no reply.

    `reading`: of the run that it belongs to; None: decided from this prediction alone.
    """
    if isinstance(prediction, str):
        known = media_type in {JSON, TEXT, None}
        return Words(prediction) if known else Output(prediction, media_type or "")
    if media_type is None:
        return Data(prediction)
    draft = _draft(prediction, fields)
    if reading is None:
        reading = decide([Sample(draft, prediction)])
    if fields is not None:
        reading = reading.said(fields.format, fields.relative, fields.numbers)
    found = None if draft is None else settle(draft, reading)
    return Data(prediction) if found is None else found


def sample(prediction: Json, fields: Fields | None = None, size: Size | None = None) -> Sample:
    """A prediction as evidence of how all of its run are to be read; `size`: of its picture."""
    return Sample(_draft(prediction, fields), prediction, size)


def _draft(prediction: Json, fields: Fields | None) -> Draft | None:
    if fields is not None and fields.has_paths:
        return mapped(prediction, fields)
    return _meaning(prediction, None, 0)


def _meaning(value: Json, relative: bool | None, depth: int, under: str = "") -> Draft | None:
    if depth > _DEEPEST:
        return None
    if (collection := features(value)) is not None:
        return collection
    if isinstance(value, Mapping):
        return _of_dict(value, relative, depth, under)
    return _of_list(value, relative, depth, under) if is_list(value) else None


def _of_dict(
    value: Mapping[str, Json], relative: bool | None, depth: int, under: str
) -> Draft | None:
    names = spelled(value)
    relative = unit_of(names, relative)
    found: Draft | None = columns(names, relative) or things([value], relative)
    if found is not None:
        return found
    found = class_columns(names) or numbers_by_name(value, under)
    if found is not None:
        return found
    found = _inside(value, names, relative, depth)
    if found is not None:
        return found
    alone = classes([value])
    if alone is not None and alone.classes.found[0].score is not None:
        return alone
    texts = (text for name in _TEXTS if isinstance(text := names.get(name), str))
    return next((Words(text) for text in texts), alone)


def _inside(
    value: Mapping[str, Json], names: Mapping[str, Json], relative: bool | None, depth: int
) -> Draft | None:
    """What is under one of a dict's keys; something before nothing, and places before classes."""
    less: list[Draft] = []
    sure: list[Draft] = []
    for name in (*WRAPPERS, *(name for name in names if name not in WRAPPERS)):
        inner = names.get(name)
        if not (isinstance(inner, Mapping) or is_list(inner)):
            continue
        found = _meaning(inner, relative, depth + 1, name)
        if found is None:
            continue
        if name not in WRAPPERS:
            if _is_sure(found) or (len(value) == 1 and found != NOTHING):
                sure.append(found)
        elif found == NOTHING or isinstance(found, Labels | Classes | Numbers):
            less.append(found)
        else:
            return renamed(found, names) if isinstance(found, Things) else found
    if len(sure) == 1 and not (less and isinstance(sure[0], Numbers)):
        return renamed(sure[0], names) if isinstance(sure[0], Things) else sure[0]
    return min(less, key=_rank, default=None)


def _rank(found: Draft) -> int:
    """What says most comes first."""
    return 2 if found == NOTHING else 1 if isinstance(found, Numbers) else 0


def _is_sure(found: Draft) -> bool:
    """Whether it can be nothing else, under whatever key it stands."""
    return isinstance(found, Things) and any(
        thing.place is not None
        and (thing.place.four or thing.place.corners or thing.place.outlines)
        for thing in found.found
    )


def _of_list(value: Sequence[Json], relative: bool | None, depth: int, under: str) -> Draft | None:
    if not value:
        return NOTHING
    found: Draft | None = rows(value) or class_rows(value)
    if found is not None:
        return found
    dicts = [part for part in value if isinstance(part, Mapping)]
    if len(dicts) == len(value) and not any(map(_is_many, dicts)):
        found = things(dicts, relative)
        if found is not None:
            return found
        found = classes(dicts)
        if found is not None:
            places = [_inside(part, spelled(part), relative, depth + 1) for part in dicts]
            if not any(_is_sure(part) for part in places if part is not None):
                return found
    parts = [_meaning(part, relative, depth + 1, under) for part in value if part is not None]
    return _merged(parts)


def _is_many(value: Mapping[str, Json]) -> bool:
    """Whether a dict holds the parallel lists of a whole picture, not one thing in it."""
    return any(map(is_list, value.values())) and columns(spelled(value)) is not None


def _merged(parts: Sequence[Draft | None]) -> Draft | None:
    """One meaning of several: of pictures, frames, or classes one by one."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return None
    if all(isinstance(part, Things) for part in parts):
        return Things(
            tuple(one for part in parts if isinstance(part, Things) for one in part.found)
        )
    if all(isinstance(part, Numbers) for part in parts):
        return together([part for part in parts if isinstance(part, Numbers)])
    alone = [part.classes if isinstance(part, Labels) else part for part in parts]
    if all(isinstance(part, Classes) for part in alone):
        every = [one for part in alone if isinstance(part, Classes) for one in part.found]
        return ranked(every) if len({one.label for one in every}) == len(every) else None
    return None
