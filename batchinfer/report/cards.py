"""An item as the page's script reads it: short names, bounded texts, boxes in parts of the picture.

Rules: a card is strict JSON of so many bytes at most, whatever the item holds; texts are harmless
before they get there; what was cut says so, with the size of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchinfer.domain import Attempt, Dossier, Failure
from batchinfer.images import Facts, upright, upright_points
from batchinfer.meaning import (
    Class,
    Classes,
    Data,
    Detection,
    Detections,
    Features,
    Meaning,
    Output,
    Point,
    Words,
)
from batchinfer.report.gathering import LABEL
from batchinfer.report.page import quiet
from batchinfer.report.texts import shown, shown_lines
from batchinfer.sinks.cells import json_text

GRID: Final = 10_000
"""Parts of a picture's width and height in which boxes are told."""
_KEY, _PATH, _SUMMARY = 300, 600, 240


@dataclass(frozen=True, slots=True)
class _Limits:
    prediction: int
    log: int
    message: int
    found: int
    points: int
    attempts: int


_LIMITS: Final = (
    _Limits(40_000, 12_000, 4_000, 500, 120, 20),
    _Limits(8_000, 4_000, 2_000, 200, 48, 10),
    _Limits(2_500, 1_500, 1_000, 80, 24, 5),
    _Limits(900, 600, 400, 40, 12, 3),
    _Limits(300, 200, 200, 12, 6, 1),
)
"""From generous to strict."""


def card(
    dossier: Dossier,
    meaning: Meaning | None,
    attempts: Sequence[Attempt],
    facts: Facts | None,
    *,
    show: str,
    stored: bool,
    room: int,
) -> str:
    """The card of an item, of `room` bytes at most where that can be (never more than a few kB).

    `facts`: of the picture the boxes were measured in, if it is known. `stored`: they were measured
    in its pixels as stored. `show`: the command that shows all of it.
    """
    text = ""
    for limits in _LIMITS:
        told = _card(dossier, meaning, attempts, facts, stored=stored, limits=limits)
        text = quiet(json_text({**told, "show": show}).decode())
        if len(text.encode()) <= room:
            break
    return text


def _card(
    dossier: Dossier,
    meaning: Meaning | None,
    attempts: Sequence[Attempt],
    facts: Facts | None,
    *,
    stored: bool,
    limits: _Limits,
) -> dict[str, Any]:
    result = dossier.result
    card: dict[str, Any] = {
        "n": dossier.position,
        "key": shown(result.key, _KEY),
        "state": result.state.value,
        "path": shown(result.path or "", _PATH),
        "seconds": result.seconds,
        "server": dossier.server_seconds,
        "started": result.started_at,
        "finished": result.finished_at,
        "attempts": result.attempts,
    }
    if facts is not None:
        card["size"] = [facts.width, facts.height]
    if result.code is not None:
        card["code"] = shown(result.code)
        card["message"] = _cut(result.message or "", limits.message)
    if result.params:
        card["params"] = shown(json_text(result.params).decode(), _PATH)
    if dossier.sha256:
        sums = list(dossier.sha256.items())[: limits.attempts]
        card["sha256"] = {shown(name, 80): shown(value, 64) for name, value in sums}
    if dossier.log:
        card["log"] = _cut(dossier.log, limits.log)
    if len(attempts) > 1:
        card["history"] = [_attempt(attempt, limits) for attempt in attempts[-limits.attempts :]]
    if meaning is not None:
        text = result.prediction if isinstance(meaning, (Words, Output)) else None
        whole = text if isinstance(text, str) else json_text(result.prediction).decode()
        card["type"] = shown(result.media_type or "", 100)
        card["prediction"] = _cut(whole, limits.prediction)
        card |= _meant(meaning, facts, limits, stored=stored)
    return card


def _attempt(attempt: Attempt, limits: _Limits) -> list[Any]:
    code, message = "", ""
    if isinstance(attempt.outcome, Failure):
        code, message = attempt.outcome.code, attempt.outcome.message
    told = shown(message, limits.message // 4)
    return [attempt.number, attempt.started_at, attempt.seconds, shown(code), told]


def _meant(
    meaning: Meaning, facts: Facts | None, limits: _Limits, *, stored: bool
) -> dict[str, Any]:
    match meaning:
        case Detections(found=found):
            told = [
                _detection(each, facts, limits, stored=stored) for each in found[: limits.found]
            ]
            return {"kind": "detections", "found": told, "of": len(found)}
        case Classes(found=found):
            told = [[_label(each), _score(each)] for each in found[: limits.found]]
            return {"kind": "classes", "found": told, "of": len(found)}
        case Words(text=text):
            return {"kind": "text", "summary": shown(text.replace("\n", " "), _SUMMARY)}
        case Output(path=path, media_type=media_type):
            return {"kind": "file", "summary": shown(f"{media_type}: {path}", _SUMMARY)}
        case Features(collection=collection):
            return {"kind": "GeoJSON", "summary": _features(collection)}
        case Data(value=value):
            return {"kind": "data", "summary": _data(value)}


def _detection(each: Detection, facts: Facts | None, limits: _Limits, *, stored: bool) -> list[Any]:
    """Label, score, box (left, top, width, height), outlines; empty lists for what is not known."""
    box = each.box
    if box is None:
        return [
            _label(each),
            _score(each),
            [],
            _outlines(each, facts, limits, stored),
        ]
    if facts is not None and stored:
        box = upright(box, facts)
    place: list[int] = []
    if facts is not None:
        box = box.in_fractions(facts.width, facts.height)
    if box.relative:
        place = _grid((box.left, box.top), (box.width, box.height))
    return [
        _label(each),
        _score(each),
        place,
        _outlines(each, facts, limits, stored),
    ]


def _outlines(
    each: Detection, facts: Facts | None, limits: _Limits, stored: bool
) -> list[list[int]]:
    """Every outline; of many or long ones not every point."""
    relative = each.box is not None and each.box.relative
    most = limits.points // (len(each.outlines) or 1)
    drawn = [_outline(points, facts, most, relative, stored) for points in each.outlines]
    return [outline for outline in drawn if outline][: limits.points]


def _outline(
    points: Sequence[Point], facts: Facts | None, most: int, relative: bool, stored: bool
) -> list[int]:
    if not points or (facts is None and not relative):
        return []
    step = -(-len(points) // max(most, 3))
    points = points[::step]
    if facts is not None and stored:
        points = upright_points(points, relative, facts)
    if facts is not None and not relative:
        points = [(x / facts.width, y / facts.height) for x, y in points]
    return _grid(*points)


def _grid(*points: Point) -> list[int]:
    """In parts of the picture; what lies far outside is brought near."""
    return [round(min(max(value, -1.0), 2.0) * GRID) for point in points for value in point]


def _label(each: Detection | Class) -> str:
    # Cut before it is spelled out: so it is counted, and so it is looked for.
    return "" if each.label is None else label(each.label)


def label(text: str) -> str:
    """A label as the page shows it, and filters by."""
    return shown(text[:LABEL], LABEL * 2)


def _score(each: Detection | Class) -> float | None:
    return None if each.score is None else float(f"{each.score:.4g}")


def _features(collection: Mapping[str, Any]) -> str:
    features = collection.get("features")
    count = len(features) if isinstance(features, Sequence) else 0
    return f"{count:,} feature{'s' * (count != 1)} of GeoJSON"


def _data(value: Any) -> str:
    match value:
        case Mapping():
            names = ", ".join(shown(str(name), 40) for name in list(value)[:6])
            return shown(f"{{{names}{', …' * (len(value) > 6)}}}", _SUMMARY)  # noqa: PLR2004
        case Sequence() if not isinstance(value, str):
            return f"a list of {len(value):,}"
        case _:
            return shown(str(value)[:1_000], _SUMMARY)


def _cut(text: str, most: int) -> Any:
    """The text; or what fits of it, and how long the whole is."""
    if len(text) <= most:
        return shown_lines(text, most * 2)
    return [shown_lines(text, most), len(text)]
