"""What a detection has beside its box: masks, keypoints, times. Total and pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from batchinfer.domain import Json
from batchinfer.predictions.coerce import is_list, normalize_keys, to_number, to_numbers
from batchinfer.predictions.masks import parse_mask
from batchinfer.predictions.outlines import is_raster
from batchinfer.predictions.prediction_types import Keypoint, Mask

MASK_KEYS: Final = (
    "segmentation",
    "mask",
    "rle",
    "masks",
    "rlemask",
    "segmentationmask",
    "maskrle",
)
"""Keys (see `values.spelled`) of what can be a mask."""
_KEYPOINT_KEYS: Final = ("keypoints", "keypoint", "kpts", "landmarks", "point2d", "posekeypoints")
DETAIL_KEYS: Final = frozenset((*MASK_KEYS, *_KEYPOINT_KEYS))
"""Names of either."""
_START_KEYS: Final = ("start", "starttime", "startsec", "starts", "begin", "begintime", "onset")
_END_KEYS: Final = ("end", "endtime", "endsec", "ends", "endingtime", "stop", "stoptime")
_TOKEN_TEXT_KEYS: Final = frozenset(("text", "word", "token", "words"))
"""Beside these `start` and `end` may count letters."""
_KEYPOINT_SCORE_KEYS: Final = ("score", "confidence", "visibility", "visible", "conf", "v")
_MIN_ENCODED_MASK_CHARS: Final = 16
"""Signs of a text that can be a mask."""
_KEYPOINT_TRIPLE: Final = 3


def read_mask(thing: Mapping[str, Json]) -> tuple[Mask | None, tuple[str, ...]]:
    """The mask of a detection (with normalized keys), and which masks cannot be read."""
    unsupported: tuple[str, ...] = ()
    for name in MASK_KEYS:
        value = thing.get(name)
        if value is None:
            continue
        if (found := parse_mask(value)) is not None:
            return found, ()
        if is_unsupported_mask(value, is_mask_key=name != "segmentation"):
            unsupported = ("mask",)
    return None, unsupported


def is_unsupported_mask(value: Json, *, is_mask_key: bool = True) -> bool:
    """Whether it is a mask of a kind that cannot be read; `alone`: its name says so already."""
    match value:
        case Mapping():
            return "counts" in value or (is_mask_key and bool(value))
        case str():
            return len(value) >= _MIN_ENCODED_MASK_CHARS
        case _:
            flat = (
                is_mask_key
                and is_list(value)
                and len(value) > _MIN_ENCODED_MASK_CHARS
                and not is_list(value[0])
            )
            return is_raster(value) or flat


def cvat_mask_box(thing: Mapping[str, Json]) -> tuple[float, float, float, float] | None:
    """The box of a mask as CVAT's functions give it: pixels, then left, top, right, bottom."""
    value = thing.get("mask")
    if thing.get("type") != "mask" or not is_list(value) or len(value) <= 4:  # noqa: PLR2004
        return None
    match to_numbers(value[-4:]):
        case [left, top, right, bottom] if left <= right and top <= bottom:
            fits = (right - left + 1) * (bottom - top + 1) == len(value) - 4
            return (left, top, right + 1, bottom + 1) if fits else None
    return None


def read_keypoints(thing: Mapping[str, Json]) -> tuple[tuple[Keypoint, ...], tuple[str, ...]]:
    """The keypoints of a detection (with normalized keys), and what cannot be read of them."""
    for name in _KEYPOINT_KEYS:
        value = thing.get(name)
        if value is None or (not isinstance(value, Mapping) and not is_list(value)) or not value:
            continue
        if isinstance(value, Mapping):
            found = _read_keypoint_columns(normalize_keys(value))
        else:
            found = (
                _read_flat_keypoints(value) if not _is_nested(value) else _read_keypoint_list(value)
            )
        scores = to_numbers(thing.get("keypointscores"))
        if scores is not None and len(scores) == len(found):
            found = [Keypoint(p.x, p.y, s) for p, s in zip(found, scores, strict=True)]
        return tuple(found), () if found else ("keypoint",)
    return (), ()


def read_time_range(thing: Mapping[str, Json]) -> tuple[float, float] | None:
    """Start and end of a detection in a recording, in seconds (with normalized keys)."""
    if thing.keys() & _TOKEN_TEXT_KEYS:
        return None
    start = next(
        (found for name in _START_KEYS if (found := to_number(thing.get(name))) is not None), None
    )
    end = next(
        (found for name in _END_KEYS if (found := to_number(thing.get(name))) is not None), None
    )
    return None if start is None or end is None or end < start else (start, end)


def _is_nested(value: Sequence[Json]) -> bool:
    return is_list(value[0]) or isinstance(value[0], Mapping)


def _read_flat_keypoints(value: Sequence[Json]) -> list[Keypoint]:
    """`[x, y, v, x, y, v, ...]` (COCO), or `[x, y, ...]`."""
    found = to_numbers(value)
    if found is None:
        return []
    if len(found) % _KEYPOINT_TRIPLE == 0 and all(0 <= seen <= 2 for seen in found[2::3]):  # noqa: PLR2004
        triples = zip(found[::3], found[1::3], found[2::3], strict=True)
        return [Keypoint(x, y, seen) for x, y, seen in triples]
    if len(found) % 2:
        return []
    return [Keypoint(x, y) for x, y in zip(found[::2], found[1::2], strict=True)]


def _read_keypoint_list(value: Sequence[Json]) -> list[Keypoint]:
    found: list[Keypoint] = []
    for part in value:
        match part:
            case Mapping():
                names = normalize_keys(part)
                inner = names.get("position")
                at = normalize_keys(inner) if isinstance(inner, Mapping) else names
                x, y = to_number(at.get("x", 0)), to_number(at.get("y", 0))
                if not at.keys() & {"x", "y"}:
                    return []
                score = next(
                    (to_number(names[name]) for name in _KEYPOINT_SCORE_KEYS if name in names), None
                )
            case [first, second, *more] if len(more) <= 1:
                x, y = to_number(first), to_number(second)
                score = to_number(more[0]) if more else None
            case _:
                return []
        if x is None or y is None:
            return []
        found.append(Keypoint(x, y, score))
    return found


def _read_keypoint_columns(names: Mapping[str, Json]) -> list[Keypoint]:
    """`{"x": [...], "y": [...], "visible": [...]}` (ultralytics)."""
    xs, ys = to_numbers(names.get("x")), to_numbers(names.get("y"))
    if xs is None or ys is None or len(xs) != len(ys):
        return []
    scores = next(
        (found for key in _KEYPOINT_SCORE_KEYS if (found := to_numbers(names.get(key)))), None
    )
    if scores is None or len(scores) != len(xs):
        return [Keypoint(x, y) for x, y in zip(xs, ys, strict=True)]
    return [Keypoint(x, y, seen) for x, y, seen in zip(xs, ys, scores, strict=True)]
