"""Classes as models return them: labels with scores, parallel lists, numbers by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from batchinfer.domain import Json
from batchinfer.predictions.box_formats import ALL_SIDE_KEYS
from batchinfer.predictions.coerce import is_list, normalize_keys, to_label, to_number
from batchinfer.predictions.detections import (
    LABEL_COLUMN_KEYS,
    LABEL_KEYS,
    SCORE_COLUMN_KEYS,
    SCORE_KEYS,
    find_column,
    label_and_score,
)
from batchinfer.predictions.drafts import DraftLabels, DraftNumbers
from batchinfer.predictions.prediction_types import Classification, ClassScore

_NON_CLASS_KEYS: Final = frozenset(
    (
        *SCORE_KEYS,
        *ALL_SIDE_KEYS,
        *("threshold", "confthreshold", "iou", "iouthreshold", "nms", "seconds", "time", "latency"),
        *("right", "bottom", "loss", "lat", "lon", "latitude", "longitude", "start", "end"),
        *("precision", "recall", "f1", "f1score"),
    )
)
"""A dict with one of these keys is no dict of labels and probabilities."""
_MEASUREMENT_WORDS: Final = frozenset(
    (
        *("mean", "avg", "average", "median", "std", "sd", "stdev", "stddev", "var", "variance"),
        *("min", "max", "sum", "count", "total", "area", "ratio", "rmse", "mae", "mse", "error"),
        *("ndvi", "index", "density", "height", "width", "depth", "length", "age", "weight"),
    )
)
"""Words of names that say a measurement: `ndvi_mean` is no class."""
PROBABILITY_KEYS: Final = frozenset(
    (
        *("probabilities", "probs", "probability", "prob", "scores", "confidences", "classes"),
        *("labels", "toppredictions", "top5prediction", "top5predictions", "top5", "topk"),
        *("classprobabilities", "classscores", "likelihoods", "classifications", "predictedprobs"),
    )
)
"""Names (see `values.spelled`) of dicts that hold probabilities of classes."""
_NON_FINITE_TEXTS: Final = ("NaN", "Infinity", "-Infinity")
"""How the store spells them."""
_PERCENT_SUM_RANGE: Final = (99.0, 101.0)
_UNIT_SUM_RANGE: Final = (0.98, 1.02)


def read_labels(found: Sequence[Mapping[str, Json]]) -> DraftLabels | None:
    """A list of dicts, if each names a class."""
    named: list[ClassScore] = []
    for thing in found:
        names = normalize_keys(thing)
        name, score = label_and_score(names, is_located=False)
        sure = score is not None or any(key in names for key in SCORE_KEYS)
        if name is None or not (sure or any(key in names for key in LABEL_KEYS if key != "name")):
            return None
        named.append(ClassScore(name, score))
    return DraftLabels(sort_by_score(named))


def read_class_columns(names: Mapping[str, Json]) -> Classification | None:
    """A dict (with normalized keys) of parallel lists: labels, probabilities."""
    labels, scores = find_column(names, LABEL_COLUMN_KEYS), find_column(names, SCORE_COLUMN_KEYS)
    if not labels or len(labels) != len(scores):
        return None
    read = [(to_label(name), to_number(score)) for name, score in zip(labels, scores, strict=True)]
    found = [ClassScore(name, score) for name, score in read if name is not None]
    return sort_by_score(found) if len(found) == len(read) else None


def read_class_rows(value: Sequence[Json]) -> Classification | None:
    """A list of rows: label, score; or id, label, score."""
    parts = [part for part in value if is_list(part)]
    if len(parts) != len(value) or not parts or not all(_is_class_row(part) for part in parts):
        return None
    return sort_by_score(ClassScore(str(part[-2]), to_number(part[-1])) for part in parts)


def read_numbers_by_name(
    value: Mapping[str, Json], parent_key: str = ""
) -> Classification | DraftNumbers | None:
    """A dict from names to numbers; `under`: the name (normalized) that it stands under.

    Classes where that name says that they are probabilities.
    """
    if not value or normalize_keys(value).keys() & _NON_CLASS_KEYS:
        return None
    found: list[ClassScore] = []
    for name, score in value.items():
        read = None if is_list(score) or isinstance(score, str) else to_number(score)
        if read is None and score not in _NON_FINITE_TEXTS:
            return None
        if _split_words(name) & _MEASUREMENT_WORDS:
            return None
        found.append(ClassScore(name, read))
    scores = [one.score or 0.0 for one in found]
    if parent_key in PROBABILITY_KEYS and min(scores) >= 0 and max(scores) <= _PERCENT_SUM_RANGE[1]:
        return sort_by_score(found)
    return DraftNumbers(sort_by_score(found), _is_distribution(scores))


def merge_numbers(parts: Sequence[DraftNumbers]) -> DraftNumbers | None:
    """Several dicts, of a list, as one; None: a name stands twice."""
    every = [one for part in parts for one in part.classes.classes]
    if len({one.label for one in every}) != len(every):
        return None
    return DraftNumbers(sort_by_score(every), _is_distribution([one.score or 0.0 for one in every]))


def sort_by_score(found: Iterable[ClassScore]) -> Classification:
    """The most probable first; what has no score last."""
    return Classification(
        tuple(sorted(found, key=lambda one: math.inf if one.score is None else -one.score))
    )


def _is_distribution(scores: Sequence[float]) -> bool:
    total = sum(scores)
    if len(scores) < 2 or min(scores) < 0:  # noqa: PLR2004 - one number is a measurement
        return False
    if _PERCENT_SUM_RANGE[0] <= total <= _PERCENT_SUM_RANGE[1]:
        return True
    return max(scores) <= 1 and _UNIT_SUM_RANGE[0] <= total <= _UNIT_SUM_RANGE[1]


def _split_words(name: str) -> frozenset[str]:
    return frozenset("".join(sign if sign.isalnum() else " " for sign in name.lower()).split())


def _is_class_row(row: Sequence[Json]) -> bool:
    match row:
        case [str(), float(score)] | [str(), str(), float(score)]:
            return 0 <= score <= 1
        case _:
            return False
