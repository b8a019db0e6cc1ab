"""What a thing says of its place beside its box: masks, keypoints, times. Total and pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from batchinfer.domain import Json
from batchinfer.meaning.masks import mask
from batchinfer.meaning.outlines import is_raster
from batchinfer.meaning.values import is_list, number, numbers, spelled
from batchinfer.meaning.words import Keypoint, Mask

MASKS: Final = ("segmentation", "mask", "rle", "masks", "rlemask", "segmentationmask", "maskrle")
"""Keys (see `values.spelled`) of what can be a mask."""
_KEYPOINTS: Final = ("keypoints", "keypoint", "kpts", "landmarks", "point2d", "posekeypoints")
DETAILS: Final = frozenset((*MASKS, *_KEYPOINTS))
"""Names of either."""
_STARTS: Final = ("start", "starttime", "startsec", "starts", "begin", "begintime", "onset")
_ENDS: Final = ("end", "endtime", "endsec", "ends", "endingtime", "stop", "stoptime")
_TEXTS: Final = frozenset(("text", "word", "token", "words"))
"""Beside these `start` and `end` may count letters."""
_SCORES: Final = ("score", "confidence", "visibility", "visible", "conf", "v")
_ENCODED: Final = 16
"""Signs of a text that can be a mask."""
_TRIPLE: Final = 3


def masked(thing: Mapping[str, Json]) -> tuple[Mask | None, tuple[str, ...]]:
    """The mask of a thing (its names as `spelled`), and what masks cannot be kept."""
    unread: tuple[str, ...] = ()
    for name in MASKS:
        value = thing.get(name)
        if value is None:
            continue
        if (found := mask(value)) is not None:
            return found, ()
        if is_mask(value, alone=name != "segmentation"):
            unread = ("mask",)
    return None, unread


def is_mask(value: Json, *, alone: bool = True) -> bool:
    """Whether it is a mask of a kind that cannot be read; `alone`: its name says so already."""
    match value:
        case Mapping():
            return "counts" in value or (alone and bool(value))
        case str():
            return len(value) >= _ENCODED
        case _:
            flat = alone and is_list(value) and len(value) > _ENCODED and not is_list(value[0])
            return is_raster(value) or flat


def mask_frame(thing: Mapping[str, Json]) -> tuple[float, float, float, float] | None:
    """The box of a mask as CVAT's functions give it: pixels, then left, top, right, bottom."""
    value = thing.get("mask")
    if thing.get("type") != "mask" or not is_list(value) or len(value) <= 4:  # noqa: PLR2004
        return None
    match numbers(value[-4:]):
        case [left, top, right, bottom] if left <= right and top <= bottom:
            fits = (right - left + 1) * (bottom - top + 1) == len(value) - 4
            return (left, top, right + 1, bottom + 1) if fits else None
    return None


def keypoints(thing: Mapping[str, Json]) -> tuple[tuple[Keypoint, ...], tuple[str, ...]]:
    """The keypoints of a thing (its names as `spelled`), and what of them cannot be read."""
    for name in _KEYPOINTS:
        value = thing.get(name)
        if value is None or (not isinstance(value, Mapping) and not is_list(value)) or not value:
            continue
        if isinstance(value, Mapping):
            found = _columns(spelled(value))
        else:
            found = _flat(value) if not _is_nested(value) else _each(value)
        scores = numbers(thing.get("keypointscores"))
        if scores is not None and len(scores) == len(found):
            found = [Keypoint(p.x, p.y, s) for p, s in zip(found, scores, strict=True)]
        return tuple(found), () if found else ("keypoint",)
    return (), ()


def times(thing: Mapping[str, Json]) -> tuple[float, float] | None:
    """From when to when, in seconds, a thing was heard (its names as `spelled`)."""
    if thing.keys() & _TEXTS:
        return None
    start = next(
        (found for name in _STARTS if (found := number(thing.get(name))) is not None), None
    )
    end = next((found for name in _ENDS if (found := number(thing.get(name))) is not None), None)
    return None if start is None or end is None or end < start else (start, end)


def _is_nested(value: Sequence[Json]) -> bool:
    return is_list(value[0]) or isinstance(value[0], Mapping)


def _flat(value: Sequence[Json]) -> list[Keypoint]:
    """`[x, y, v, x, y, v, ...]` (COCO), or `[x, y, ...]`."""
    found = numbers(value)
    if found is None:
        return []
    if len(found) % _TRIPLE == 0 and all(0 <= seen <= 2 for seen in found[2::3]):  # noqa: PLR2004
        triples = zip(found[::3], found[1::3], found[2::3], strict=True)
        return [Keypoint(x, y, seen) for x, y, seen in triples]
    if len(found) % 2:
        return []
    return [Keypoint(x, y) for x, y in zip(found[::2], found[1::2], strict=True)]


def _each(value: Sequence[Json]) -> list[Keypoint]:
    found: list[Keypoint] = []
    for part in value:
        match part:
            case Mapping():
                names = spelled(part)
                inner = names.get("position")
                at = spelled(inner) if isinstance(inner, Mapping) else names
                x, y = number(at.get("x", 0)), number(at.get("y", 0))
                if not at.keys() & {"x", "y"}:
                    return []
                score = next((number(names[name]) for name in _SCORES if name in names), None)
            case [first, second, *more] if len(more) <= 1:
                x, y = number(first), number(second)
                score = number(more[0]) if more else None
            case _:
                return []
        if x is None or y is None:
            return []
        found.append(Keypoint(x, y, score))
    return found


def _columns(names: Mapping[str, Json]) -> list[Keypoint]:
    """`{"x": [...], "y": [...], "visible": [...]}` (ultralytics)."""
    xs, ys = numbers(names.get("x")), numbers(names.get("y"))
    if xs is None or ys is None or len(xs) != len(ys):
        return []
    scores = next((found for key in _SCORES if (found := numbers(names.get(key)))), None)
    if scores is None or len(scores) != len(xs):
        return [Keypoint(x, y) for x, y in zip(xs, ys, strict=True)]
    return [Keypoint(x, y, seen) for x, y, seen in zip(xs, ys, scores, strict=True)]
