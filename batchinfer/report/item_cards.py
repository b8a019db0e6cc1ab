"""An item as the page's script reads it: short names, bounded texts, boxes in parts of the picture.

Rules: a card is strict JSON of so many bytes at most, whatever the item holds; texts are harmless
before they get there; truncated text says so, with its full size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchinfer.domain import Attempt, Failure, ResultDetails
from batchinfer.exports.safe_text import encode_strict_json
from batchinfer.images import ImageInfo, to_upright_box, to_upright_points
from batchinfer.predictions import (
    Classification,
    ClassScore,
    Detection,
    Detections,
    FeatureCollection,
    Interpretation,
    OtherData,
    PlainText,
    Point,
    PredictionFile,
)
from batchinfer.report.formatting import clip, clip_lines
from batchinfer.report.html_page import escape_json_for_html
from batchinfer.report.run_statistics import MAX_LABEL_CHARS

GRID_SIZE: Final = 10_000
"""Parts of an image's width and height in which boxes are given."""
_MAX_KEY_TEXT, _MAX_PATH_TEXT, _MAX_SUMMARY_TEXT = 300, 600, 240


@dataclass(frozen=True, slots=True)
class _CardLimits:
    prediction: int
    log: int
    message: int
    findings: int
    points: int
    attempts: int


_CARD_LIMITS: Final = (
    _CardLimits(40_000, 12_000, 4_000, 500, 120, 20),
    _CardLimits(8_000, 4_000, 2_000, 200, 48, 10),
    _CardLimits(2_500, 1_500, 1_000, 80, 24, 5),
    _CardLimits(900, 600, 400, 40, 12, 3),
    _CardLimits(300, 200, 200, 12, 6, 1),
)
"""From generous to strict."""


def render_card(
    details: ResultDetails,
    interpretation: Interpretation | None,
    attempts: Sequence[Attempt],
    image: ImageInfo | None,
    *,
    show_command: str,
    in_stored_pixels: bool,
    max_bytes: int,
) -> str:
    """The card of an item, of `room` bytes at most where that can be (never more than a few kB).

    `facts`: of the picture the boxes were measured in, if it is known. `stored`: they were measured
    in its pixels as stored. `show`: the command that shows all of it.
    """
    text = ""
    for limits in _CARD_LIMITS:
        card = _build_card(
            details,
            interpretation,
            attempts,
            image,
            in_stored_pixels=in_stored_pixels,
            limits=limits,
        )
        text = escape_json_for_html(encode_strict_json({**card, "show": show_command}).decode())
        if len(text.encode()) <= max_bytes:
            break
    return text


def _build_card(
    details: ResultDetails,
    interpretation: Interpretation | None,
    attempts: Sequence[Attempt],
    image: ImageInfo | None,
    *,
    in_stored_pixels: bool,
    limits: _CardLimits,
) -> dict[str, Any]:
    result = details.result
    card: dict[str, Any] = {
        "n": details.position,
        "key": clip(result.key, _MAX_KEY_TEXT),
        "state": result.state.value,
        "path": clip(result.path or "", _MAX_PATH_TEXT),
        "seconds": result.seconds,
        "server": details.server_seconds,
        "started": result.started_at,
        "finished": result.finished_at,
        "attempts": result.attempts,
    }
    if image is not None:
        card["size"] = [image.width, image.height]
    if result.code is not None:
        card["code"] = clip(result.code)
        card["message"] = _truncate_text(result.message or "", limits.message)
    if result.params:
        card["params"] = clip(encode_strict_json(result.params).decode(), _MAX_PATH_TEXT)
    if details.sha256:
        sums = list(details.sha256.items())[: limits.attempts]
        card["sha256"] = {clip(name, 80): clip(value, 64) for name, value in sums}
    if details.log:
        card["log"] = _truncate_text(details.log, limits.log)
    if len(attempts) > 1:
        card["history"] = [
            _attempt_row(attempt, limits) for attempt in attempts[-limits.attempts :]
        ]
    if interpretation is not None:
        text = (
            result.prediction if isinstance(interpretation, (PlainText, PredictionFile)) else None
        )
        full_text = (
            text if isinstance(text, str) else encode_strict_json(result.prediction).decode()
        )
        card["type"] = clip(result.media_type or "", 100)
        card["prediction"] = _truncate_text(full_text, limits.prediction)
        card |= _interpretation_fields(
            interpretation, image, limits, in_stored_pixels=in_stored_pixels
        )
    return card


def _attempt_row(attempt: Attempt, limits: _CardLimits) -> list[Any]:
    code, message = "", ""
    if isinstance(attempt.outcome, Failure):
        code, message = attempt.outcome.code, attempt.outcome.message
    text = clip(message, limits.message // 4)
    return [attempt.number, attempt.started_at, attempt.seconds, clip(code), text]


def _interpretation_fields(
    interpretation: Interpretation,
    image: ImageInfo | None,
    limits: _CardLimits,
    *,
    in_stored_pixels: bool,
) -> dict[str, Any]:
    match interpretation:
        case Detections(detections=found):
            entries = [
                _detection_row(each, image, limits, in_stored_pixels=in_stored_pixels)
                for each in found[: limits.findings]
            ]
            return {"kind": "detections", "found": entries, "of": len(found)}
        case Classification(classes=found):
            entries = [[_label_text(each), _round_score(each)] for each in found[: limits.findings]]
            return {"kind": "classes", "found": entries, "of": len(found)}
        case PlainText(text=text):
            return {"kind": "text", "summary": clip(text.replace("\n", " "), _MAX_SUMMARY_TEXT)}
        case PredictionFile(path=path, media_type=media_type):
            return {"kind": "file", "summary": clip(f"{media_type}: {path}", _MAX_SUMMARY_TEXT)}
        case FeatureCollection(collection=collection):
            return {"kind": "GeoJSON", "summary": _summarize_geojson(collection)}
        case OtherData(value=value):
            return {"kind": "data", "summary": _summarize_data(value)}


def _detection_row(
    detection: Detection, image: ImageInfo | None, limits: _CardLimits, *, in_stored_pixels: bool
) -> list[Any]:
    """Label, score, box (left, top, width, height), outlines; empty lists for what is not known."""
    box = detection.box
    if box is None:
        return [
            _label_text(detection),
            _round_score(detection),
            [],
            _outline_rows(detection, image, limits, in_stored_pixels),
        ]
    if image is not None and in_stored_pixels:
        box = to_upright_box(box, image)
    place: list[int] = []
    if image is not None:
        box = box.to_fractions(image.width, image.height)
    if box.relative:
        place = _to_grid((box.left, box.top), (box.width, box.height))
    return [
        _label_text(detection),
        _round_score(detection),
        place,
        _outline_rows(detection, image, limits, in_stored_pixels),
    ]


def _outline_rows(
    detection: Detection, image: ImageInfo | None, limits: _CardLimits, in_stored_pixels: bool
) -> list[list[int]]:
    """Every outline; of many or long ones not every point."""
    relative = detection.box is not None and detection.box.relative
    most = limits.points // (len(detection.outlines) or 1)
    drawn = [
        _outline_row(points, image, most, relative, in_stored_pixels)
        for points in detection.outlines
    ]
    return [outline for outline in drawn if outline][: limits.points]


def _outline_row(
    points: Sequence[Point],
    image: ImageInfo | None,
    max_points: int,
    relative: bool,
    in_stored_pixels: bool,
) -> list[int]:
    if not points or (image is None and not relative):
        return []
    step = -(-len(points) // max(max_points, 3))
    points = points[::step]
    if image is not None and in_stored_pixels:
        points = to_upright_points(points, relative, image)
    if image is not None and not relative:
        points = [(x / image.width, y / image.height) for x, y in points]
    return _to_grid(*points)


def _to_grid(*points: Point) -> list[int]:
    """In parts of the picture; what lies far outside is brought near."""
    return [round(min(max(value, -1.0), 2.0) * GRID_SIZE) for point in points for value in point]


def _label_text(each: Detection | ClassScore) -> str:
    # Cut before it is spelled out: so it is counted, and so it is looked for.
    return "" if each.label is None else format_label(each.label)


def format_label(text: str) -> str:
    """A label as the page shows it, and filters by."""
    return clip(text[:MAX_LABEL_CHARS], MAX_LABEL_CHARS * 2)


def _round_score(each: Detection | ClassScore) -> float | None:
    return None if each.score is None else float(f"{each.score:.4g}")


def _summarize_geojson(collection: Mapping[str, Any]) -> str:
    features = collection.get("features")
    count = len(features) if isinstance(features, Sequence) else 0
    return f"{count:,} feature{'s' * (count != 1)} of GeoJSON"


def _summarize_data(value: Any) -> str:
    match value:
        case Mapping():
            names = ", ".join(clip(str(name), 40) for name in list(value)[:6])
            return clip(f"{{{names}{', …' * (len(value) > 6)}}}", _MAX_SUMMARY_TEXT)  # noqa: PLR2004
        case Sequence() if not isinstance(value, str):
            return f"a list of {len(value):,}"
        case _:
            return clip(str(value)[:1_000], _MAX_SUMMARY_TEXT)


def _truncate_text(text: str, max_chars: int) -> Any:
    """The text, or what fits of it and its full length."""
    if len(text) <= max_chars:
        return clip_lines(text, max_chars * 2)
    return [clip_lines(text, max_chars), len(text)]
