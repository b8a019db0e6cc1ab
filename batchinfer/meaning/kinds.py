"""Classes, as models spell them: labels with scores, parallel lists, numbers by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from batchinfer.domain import Json
from batchinfer.meaning.drafts import Labels, Numbers
from batchinfer.meaning.orders import EVERY_SIDE
from batchinfer.meaning.things import LABELS, MANY_LABELS, MANY_SCORES, SCORES, class_of, column_of
from batchinfer.meaning.values import is_list, label, number, spelled
from batchinfer.meaning.words import Class, Classes

_NO_CLASSES: Final = frozenset(
    (
        *SCORES,
        *EVERY_SIDE,
        *("threshold", "confthreshold", "iou", "iouthreshold", "nms", "seconds", "time", "latency"),
        *("right", "bottom", "loss", "lat", "lon", "latitude", "longitude", "start", "end"),
        *("precision", "recall", "f1", "f1score"),
    )
)
"""A dict with one of these keys is no dict of labels and probabilities."""
_STATISTICS: Final = frozenset(
    (
        *("mean", "avg", "average", "median", "std", "sd", "stdev", "stddev", "var", "variance"),
        *("min", "max", "sum", "count", "total", "area", "ratio", "rmse", "mae", "mse", "error"),
        *("ndvi", "index", "density", "height", "width", "depth", "length", "age", "weight"),
    )
)
"""Words of names that say a measurement: `ndvi_mean` is no class."""
PROBABLE: Final = frozenset(
    (
        *("probabilities", "probs", "probability", "prob", "scores", "confidences", "classes"),
        *("labels", "toppredictions", "top5prediction", "top5predictions", "top5", "topk"),
        *("classprobabilities", "classscores", "likelihoods", "classifications", "predictedprobs"),
    )
)
"""Names (see `values.spelled`) of dicts that hold probabilities of classes."""
_NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity")
"""How the store spells them."""
_PERCENT: Final = (99.0, 101.0)
_ONE: Final = (0.98, 1.02)


def classes(found: Sequence[Mapping[str, Json]]) -> Labels | None:
    """A list of dicts, if each names a class."""
    named: list[Class] = []
    for thing in found:
        names = spelled(thing)
        name, score = class_of(names, placed=False)
        sure = score is not None or any(key in names for key in SCORES)
        if name is None or not (sure or any(key in names for key in LABELS if key != "name")):
            return None
        named.append(Class(name, score))
    return Labels(ranked(named))


def class_columns(names: Mapping[str, Json]) -> Classes | None:
    """A dict (its names as `spelled`) of parallel lists: labels, probabilities."""
    labels, scores = column_of(names, MANY_LABELS), column_of(names, MANY_SCORES)
    if not labels or len(labels) != len(scores):
        return None
    read = [(label(name), number(score)) for name, score in zip(labels, scores, strict=True)]
    found = [Class(name, score) for name, score in read if name is not None]
    return ranked(found) if len(found) == len(read) else None


def class_rows(value: Sequence[Json]) -> Classes | None:
    """A list of rows: label, score; or id, label, score."""
    parts = [part for part in value if is_list(part)]
    if len(parts) != len(value) or not parts or not all(_is_pair(part) for part in parts):
        return None
    return ranked(Class(str(part[-2]), number(part[-1])) for part in parts)


def numbers_by_name(value: Mapping[str, Json], under: str = "") -> Classes | Numbers | None:
    """A dict from names to numbers; `under`: the name (as `spelled`) that it stands under.

    Classes where that name says that they are probabilities.
    """
    if not value or spelled(value).keys() & _NO_CLASSES:
        return None
    found: list[Class] = []
    for name, score in value.items():
        read = None if is_list(score) or isinstance(score, str) else number(score)
        if read is None and score not in _NOT_FINITE:
            return None
        if _words(name) & _STATISTICS:
            return None
        found.append(Class(name, read))
    scores = [one.score or 0.0 for one in found]
    if under in PROBABLE and min(scores) >= 0 and max(scores) <= _PERCENT[1]:
        return ranked(found)
    return Numbers(ranked(found), _is_distribution(scores))


def together(parts: Sequence[Numbers]) -> Numbers | None:
    """Several dicts, of a list, as one; None: a name stands twice."""
    every = [one for part in parts for one in part.classes.found]
    if len({one.label for one in every}) != len(every):
        return None
    return Numbers(ranked(every), _is_distribution([one.score or 0.0 for one in every]))


def ranked(found: Iterable[Class]) -> Classes:
    """The most probable first; what has no score last."""
    return Classes(
        tuple(sorted(found, key=lambda one: math.inf if one.score is None else -one.score))
    )


def _is_distribution(scores: Sequence[float]) -> bool:
    total = sum(scores)
    if len(scores) < 2 or min(scores) < 0:  # noqa: PLR2004 - one number is a measurement
        return False
    if _PERCENT[0] <= total <= _PERCENT[1]:
        return True
    return max(scores) <= 1 and _ONE[0] <= total <= _ONE[1]


def _words(name: str) -> frozenset[str]:
    return frozenset("".join(sign if sign.isalnum() else " " for sign in name.lower()).split())


def _is_pair(row: Sequence[Json]) -> bool:
    match row:
        case [str(), float(score)] | [str(), str(), float(score)]:
            return 0 <= score <= 1
        case _:
            return False
