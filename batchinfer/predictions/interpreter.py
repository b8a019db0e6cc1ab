"""What a prediction means, by its shape. Total and pure: an unknown shape is `OtherData`.

The first rule that fits decides; `detections` and `draft_locations` know how keys may be spelled.
What no shape shows, such as the order of four numbers, is decided for the run: `format_choices`.

======================================================  ===========================================
shape                                                   means
======================================================  ===========================================
`media_type` of a file                                  PredictionFile
a text                                                  PlainText
GeoJSON: a collection, a feature, a geometry, a list    FeatureCollection
of features
a dict or a list of dicts with locations, under any key Detections (YOLO, HF pipelines, COCO,
                                                        Roboflow, Rekognition, MediaPipe ...)
a dict of parallel lists: boxes, labels, scores         Detections (torchvision, HF, TensorFlow,
                                                        ultralytics' attributes)
a list of rows: left, top, right, bottom, score, class  Detections (YOLO's raw rows)
a list of rows: corners, text, score                    Detections (EasyOCR, PaddleOCR, RapidOCR)
a dict with label, score, start and end                 Detections in time (BirdNET)
an empty list, in lists or under a key of               Detections, none: nothing was found
`WRAPPER_KEYS`
a dict of parallel lists: labels, probabilities         Classification (AI4OS classifiers)
a dict or a list of dicts with label (and score)        Classification (HF pipelines, YOLO)
a dict: label to probability, under a name that says    Classification (YOLO's `top5_prediction`)
so, or if those of the run add up to one
a list of rows: label, score; or id, label, score       Classification (Keras, fastai)
a dict with `text`, `caption`, `transcript` ...         PlainText
a key of `WRAPPER_KEYS`, a dict or list of one          what is in it
a list of one meaning per picture or frame              all detections one after the other; classes
                                                        if no label is repeated
anything else, or deeper than `_MAX_WRAPPER_DEPTH`        OtherData
======================================================  ===========================================

What is recognized wrongly can be corrected by the user: `field_map`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from batchinfer.domain import JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE, Json
from batchinfer.predictions.classifications import (
    merge_numbers,
    read_class_columns,
    read_class_rows,
    read_labels,
    read_numbers_by_name,
    sort_by_score,
)
from batchinfer.predictions.coerce import is_list, normalize_keys
from batchinfer.predictions.detections import (
    apply_category_names,
    read_detection_columns,
    read_detection_rows,
    read_detections,
)
from batchinfer.predictions.draft_locations import is_relative
from batchinfer.predictions.drafts import (
    NO_DETECTIONS,
    DraftDetections,
    DraftLabels,
    DraftNumbers,
    DraftPrediction,
    resolve_draft,
)
from batchinfer.predictions.evidence import (
    GetImageSize,
    PredictionEvidence,
    decide_prediction_format,
)
from batchinfer.predictions.field_map import FieldMap
from batchinfer.predictions.format_choices import PredictionFormat
from batchinfer.predictions.geojson_features import read_geojson
from batchinfer.predictions.mapped_predictions import apply_field_map
from batchinfer.predictions.prediction_types import (
    Classification,
    Interpretation,
    OtherData,
    PlainText,
    PredictionFile,
)

WRAPPER_KEYS: Final = (
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
_TEXT_KEYS: Final = ("text", "generatedtext", "transcript", "transcription", "caption", "ocrtext")
_MAX_WRAPPER_DEPTH: Final = 6
"""Dicts and lists around what was found."""


def interpret(
    prediction: Json,
    media_type: str | None,
    field_map: FieldMap | None = None,
    prediction_format: PredictionFormat | None = None,
) -> Interpretation:
    """What a prediction means; `media_type` as in `domain.Result`, None: there is no reply.

    `conventions`: the format of its run; None: decided from this prediction alone.
    """
    if isinstance(prediction, str):
        is_text = media_type in {JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE, None}
        return PlainText(prediction) if is_text else PredictionFile(prediction, media_type or "")
    if media_type is None:
        return OtherData(prediction)
    draft = _draft_prediction(prediction, field_map)
    if prediction_format is None:
        prediction_format = decide_prediction_format([PredictionEvidence(draft, prediction)])
    if field_map is not None:
        prediction_format = prediction_format.with_user_choices(
            field_map.format, field_map.relative, field_map.numbers
        )
    found = None if draft is None else resolve_draft(draft, prediction_format)
    return OtherData(prediction) if found is None else found


def make_evidence(
    prediction: Json, field_map: FieldMap | None = None, image_size: GetImageSize | None = None
) -> PredictionEvidence:
    """A prediction as evidence for the format of its run; `size`: of its image."""
    return PredictionEvidence(_draft_prediction(prediction, field_map), prediction, image_size)


def _draft_prediction(prediction: Json, field_map: FieldMap | None) -> DraftPrediction | None:
    if field_map is not None and field_map.has_paths:
        return apply_field_map(prediction, field_map)
    return _draft_value(prediction, None, 0)


def _draft_value(
    value: Json, relative: bool | None, depth: int, parent_key: str = ""
) -> DraftPrediction | None:
    if depth > _MAX_WRAPPER_DEPTH:
        return None
    if (collection := read_geojson(value)) is not None:
        return collection
    if isinstance(value, Mapping):
        return _draft_dict(value, relative, depth, parent_key)
    return _draft_list(value, relative, depth, parent_key) if is_list(value) else None


def _draft_dict(
    value: Mapping[str, Json], relative: bool | None, depth: int, parent_key: str
) -> DraftPrediction | None:
    names = normalize_keys(value)
    relative = is_relative(names, relative)
    found: DraftPrediction | None = read_detection_columns(names, relative) or read_detections(
        [value], relative
    )
    if found is not None:
        return found
    found = read_class_columns(names) or read_numbers_by_name(value, parent_key)
    if found is not None:
        return found
    found = _draft_inner(value, names, relative, depth)
    if found is not None:
        return found
    alone = read_labels([value])
    if alone is not None and alone.classes.classes[0].score is not None:
        return alone
    texts = (text for name in _TEXT_KEYS if isinstance(text := names.get(name), str))
    return next((PlainText(text) for text in texts), alone)


def _draft_inner(
    value: Mapping[str, Json], names: Mapping[str, Json], relative: bool | None, depth: int
) -> DraftPrediction | None:
    """What is under a key of a dict; something before nothing, locations before classes."""
    weak: list[DraftPrediction] = []
    sure: list[DraftPrediction] = []
    for name in (*WRAPPER_KEYS, *(name for name in names if name not in WRAPPER_KEYS)):
        inner = names.get(name)
        if not (isinstance(inner, Mapping) or is_list(inner)):
            continue
        found = _draft_value(inner, relative, depth + 1, name)
        if found is None:
            continue
        if name not in WRAPPER_KEYS:
            if _has_location(found) or (len(value) == 1 and found != NO_DETECTIONS):
                sure.append(found)
        elif found == NO_DETECTIONS or isinstance(
            found, DraftLabels | Classification | DraftNumbers
        ):
            weak.append(found)
        else:
            return (
                apply_category_names(found, names) if isinstance(found, DraftDetections) else found
            )
    if len(sure) == 1 and not (weak and isinstance(sure[0], DraftNumbers)):
        return (
            apply_category_names(sure[0], names)
            if isinstance(sure[0], DraftDetections)
            else sure[0]
        )
    return min(weak, key=_draft_rank, default=None)


def _draft_rank(found: DraftPrediction) -> int:
    """A key to sort by: the most specific first."""
    return 2 if found == NO_DETECTIONS else 1 if isinstance(found, DraftNumbers) else 0


def _has_location(found: DraftPrediction) -> bool:
    """Whether it can be nothing else, under whatever key."""
    return isinstance(found, DraftDetections) and any(
        thing.location is not None
        and (thing.location.four_numbers or thing.location.corners or thing.location.outlines)
        for thing in found.detections
    )


def _draft_list(
    value: Sequence[Json], relative: bool | None, depth: int, parent_key: str
) -> DraftPrediction | None:
    if not value:
        return NO_DETECTIONS
    found: DraftPrediction | None = read_detection_rows(value) or read_class_rows(value)
    if found is not None:
        return found
    dicts = [part for part in value if isinstance(part, Mapping)]
    if len(dicts) == len(value) and not any(map(_is_column_dict, dicts)):
        found = read_detections(dicts, relative)
        if found is not None:
            return found
        found = read_labels(dicts)
        if found is not None:
            places = [
                _draft_inner(part, normalize_keys(part), relative, depth + 1) for part in dicts
            ]
            if not any(_has_location(part) for part in places if part is not None):
                return found
    parts = [
        _draft_value(part, relative, depth + 1, parent_key) for part in value if part is not None
    ]
    return _merge_drafts(parts)


def _is_column_dict(value: Mapping[str, Json]) -> bool:
    """Whether a dict holds the parallel lists of an image, not one detection."""
    return (
        any(map(is_list, value.values()))
        and read_detection_columns(normalize_keys(value)) is not None
    )


def _merge_drafts(parts: Sequence[DraftPrediction | None]) -> DraftPrediction | None:
    """One meaning of several: of pictures, frames, or classes one by one."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return None
    if all(isinstance(part, DraftDetections) for part in parts):
        return DraftDetections(
            tuple(
                one
                for part in parts
                if isinstance(part, DraftDetections)
                for one in part.detections
            )
        )
    if all(isinstance(part, DraftNumbers) for part in parts):
        return merge_numbers([part for part in parts if isinstance(part, DraftNumbers)])
    alone = [part.classes if isinstance(part, DraftLabels) else part for part in parts]
    if all(isinstance(part, Classification) for part in alone):
        every = [one for part in alone if isinstance(part, Classification) for one in part.classes]
        return sort_by_score(every) if len({one.label for one in every}) == len(every) else None
    return None
