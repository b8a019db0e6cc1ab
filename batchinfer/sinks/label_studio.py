"""A folder for Label Studio: `tasks.json` with the predictions, and the labelling config they need.

Create a project with `label_config.xml` as its labelling interface, then import `tasks.json`. Label
Studio reads the pictures from this machine's disk when it is started with
`LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true` and `LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/`.
Pictures without a prediction are tasks too: there is something to label.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from batchinfer.domain import Json, State
from batchinfer.meaning import Class, Classes, Detections, Words
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import json_text, printable
from batchinfer.sinks.left_out import LeftOut
from batchinfer.sinks.pictures import (
    Picture,
    Placed,
    absolute,
    inside,
    is_no_negative,
    leave_out,
    pictures,
)
from batchinfer.sinks.scores import Scores, scores_of

TASKS: Final = "tasks.json"
CONFIG: Final = "label_config.xml"
_CONTROLS: Final = {
    "rectanglelabels": ("box", "RectangleLabels", "Label"),
    "polygonlabels": ("outline", "PolygonLabels", "Label"),
    "choices": ("class", "Choices", "Choice"),
}
"""Type of a region -> name and tag of its control, and the tag of a label."""
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SIDES: Final = ("x", "y", "width", "height")
_DIGITS: Final = 6

Labels: TypeAlias = dict[str, dict[str, None]]
"""The labels in use, by the type of their regions, in the order they were first seen."""
Region: TypeAlias = dict[str, Any]
"""What Label Studio calls a result: a box, an outline, a choice, a text."""


def write(book: Book, folder: Path) -> int:
    """The folder; how many tasks."""
    left_out, written = LeftOut(), 0
    scores = scores_of(book)
    labels: Labels = {kind: {} for kind in _CONTROLS}
    with (folder / TASKS).open("xb") as file:
        for picture in pictures(book, left_out):
            task = json_text(_task(picture, book, labels, scores, left_out))
            file.write((b",\n" if written else b"[\n") + task)
            written += 1
        file.write(b"\n]\n" if written else b"[]\n")
    (folder / CONFIG).write_text(_config(labels), encoding="utf-8", newline="\n")
    left_out.tell(book)
    return written


def _task(picture: Picture, book: Book, labels: Labels, scores: Scores, left_out: LeftOut) -> Json:
    result = picture.dossier.result
    task: dict[str, Json] = {
        "data": {"image": _address(picture.path), "key": picture.key, "state": result.state.value}
    }
    if result.state is not State.SUCCEEDED:
        return task
    regions = _regions(picture, book, left_out)
    if regions is None:
        return task
    for region in regions:
        if (kind := region["type"]) in labels:
            labels[kind][region["value"][kind][0]] = None
        score = scores.of(region.pop("score", None), picture.key, left_out)
        if score is not None:
            region["score"] = score
    prediction: dict[str, Json] = {"model_version": f"run {book.info.id}", "result": regions}
    if sure := [region["score"] for region in regions if "score" in region]:
        prediction["score"] = sum(sure) / len(sure)
    return {**task, "predictions": [prediction]}


def _address(path: str) -> str:
    """Where Label Studio serves a file of this machine; bytes that are not UTF-8 included."""
    return "/data/local-files/?d=" + quote(os.fsencode(absolute(path)).lstrip(b"/"))


def _regions(picture: Picture, book: Book, left_out: LeftOut) -> Sequence[Region] | None:
    """What the prediction says; None when it cannot be said, which is told."""
    match picture.meaning:
        case Detections():
            placed = inside(picture, book, left_out)
            if is_no_negative(picture, placed, left_out):
                return None
            leave_out(placed, picture, left_out)
            shapes = [shape for one in placed for shape in _shapes(one)]
            return [_found(picture, number, one) for number, one in enumerate(shapes, 1)]
        case Classes(found):
            return [_region(picture, 1, "choices", best, {}) for best in found[:1]]
        case Words(text):
            name, value = f"{picture.dossier.position}-1", {"text": [text]}
            control = {"id": name, "from_name": "text", "to_name": "image", "type": "textarea"}
            return [{**control, "value": value}]
        case _:
            left_out.add("prediction", "nothing that Label Studio has a control for", picture.key)
            return None


def _shapes(placed: Placed) -> list[Placed]:
    """A detection as often as it has outlines: a region holds one."""
    if len(placed.outlines) < 2:  # noqa: PLR2004
        return [placed]
    return [replace(placed, outlines=(outline,)) for outline in placed.outlines]


def _found(picture: Picture, number: int, placed: Placed) -> Region:
    box, outline = placed.box, placed.outline
    size = {"original_width": picture.facts.width, "original_height": picture.facts.height}
    shape: dict[str, Json]
    if outline:
        kind, shape = "polygonlabels", {"points": [_percent(point) for point in outline]}
    else:
        kind, measured = "rectanglelabels", _percent((box.left, box.top, box.width, box.height))
        shape = {**dict(zip(_SIDES, measured, strict=True)), "rotation": 0}
    region = _region(picture, number, kind, placed, shape)
    return {**region, **size, "image_rotation": 0}


def _region(
    picture: Picture, number: int, kind: str, named: Placed | Class, shape: Mapping[str, Json]
) -> Region:
    region: Region = {
        "id": f"{picture.dossier.position}-{number}",
        "from_name": _CONTROLS[kind][0],
        "to_name": "image",
        "type": kind,
        "value": {**shape, kind: [_spelled(named.label)]},
    }
    return region if named.score is None else {**region, "score": named.score}


def _percent(values: Iterable[float]) -> list[float]:
    return [round(100 * value, _DIGITS) for value in values]


def _config(labels: Labels) -> str:
    """The labelling interface, as XML: the controls with every label the predictions use."""
    lines = ["<View>", '  <Image name="image" value="$image"/>']
    for kind, (name, control, choice) in _CONTROLS.items():
        if labels[kind]:
            lines.append(f'  <{control} name="{name}" toName="image">')
            lines += [f"    <{choice} value={quoteattr(label)}/>" for label in labels[kind]]
            lines.append(f"  </{control}>")
    lines += ['  <TextArea name="text" toName="image" editable="true"/>', "</View>", ""]
    return "\n".join(lines)


def _spelled(label: str) -> str:
    """The label as XML can hold it, in tasks and config alike."""
    return _NOT_XML.sub(lambda sign: f"\\x{ord(sign[0]):02x}", printable(label))
