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
from batchinfer.exports.export_format import INTERPRETATION_OPTIONS, FolderExport
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.exports.image_items import (
    ImageItem,
    UprightDetection,
    is_falsely_empty,
    iter_images,
    locate_clipped,
    make_absolute,
    note_unsupported,
)
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.exports.safe_text import encode_strict_json
from batchinfer.exports.score_scale import ScoreScale, find_score_scale
from batchinfer.inputs import is_local
from batchinfer.predictions import Classification, ClassScore, Detections, PlainText
from batchinfer.text_format import escape_undecodable

TASKS_FILE: Final = "tasks.json"
LABEL_CONFIG_FILE: Final = "label_config.xml"
_CONTROL_BY_REGION_TYPE: Final = {
    "rectanglelabels": ("box", "RectangleLabels", "Label"),
    "polygonlabels": ("outline", "PolygonLabels", "Label"),
    "choices": ("class", "Choices", "Choice"),
}
"""Type of a region -> name and tag of its control, and the tag of a label."""
_NON_XML_PATTERN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BOX_KEYS: Final = ("x", "y", "width", "height")
_PERCENT_DECIMALS: Final = 6

LabelsByType: TypeAlias = dict[str, dict[str, None]]
"""The labels in use, by the type of their regions, in the order they were first seen."""
LabelStudioRegion: TypeAlias = dict[str, Any]
"""What Label Studio calls a result: a box, an outline, a choice, a text."""


class LabelStudioExport(FolderExport):
    """Tasks with predictions, and the labelling config."""

    name = "label-studio"
    unit = "task"
    description = "a task per picture"
    consumers = "Label Studio"
    options = INTERPRETATION_OPTIONS | {"percent_scores"}

    def write(self, source: ExportSource, folder: Path, options: ExportOptions) -> int:
        """See `FolderExport`."""
        omissions, written = ExportOmissions(), 0
        score_scale = find_score_scale(source, percent_scores=options.percent_scores)
        labels: LabelsByType = {kind: {} for kind in _CONTROL_BY_REGION_TYPE}
        with (folder / TASKS_FILE).open("xb") as file:
            for image in iter_images(source, omissions):
                task = encode_strict_json(_make_task(image, source, labels, score_scale, omissions))
                file.write((b",\n" if written else b"[\n") + task)
                written += 1
            file.write(b"\n]\n" if written else b"[]\n")
        (folder / LABEL_CONFIG_FILE).write_text(
            _make_label_config(labels), encoding="utf-8", newline="\n"
        )
        omissions.report(source)
        return written


def _make_task(
    image: ImageItem,
    source: ExportSource,
    labels: LabelsByType,
    score_scale: ScoreScale,
    omissions: ExportOmissions,
) -> Json:
    result = image.details.result
    task: dict[str, Json] = {
        "data": {
            "image": _make_local_url(image.path),
            "key": image.key,
            "state": result.state.value,
        }
    }
    if result.state is not State.SUCCEEDED:
        return task
    regions = _make_regions(image, source, omissions)
    if regions is None:
        return task
    for region in regions:
        if (kind := region["type"]) in labels:
            labels[kind][region["value"][kind][0]] = None
        score = score_scale.to_unit_interval(region.pop("score", None), image.key, omissions)
        if score is not None:
            region["score"] = score
    prediction: dict[str, Json] = {"model_version": f"run {source.info.id}", "result": regions}
    if region_scores := [region["score"] for region in regions if "score" in region]:
        prediction["score"] = sum(region_scores) / len(region_scores)
    return {**task, "predictions": [prediction]}


def _make_local_url(path: str) -> str:
    """Where Label Studio serves a file of this machine, bytes that are not UTF-8 included."""
    if not is_local(path):
        return path
    return "/data/local-files/?d=" + quote(os.fsencode(make_absolute(path)).lstrip(b"/"))


def _make_regions(
    image: ImageItem, source: ExportSource, omissions: ExportOmissions
) -> Sequence[LabelStudioRegion] | None:
    """The regions of a prediction; None when it has none that fit, which is noted."""
    match image.interpretation:
        case Detections():
            detections = locate_clipped(image, source, omissions)
            if is_falsely_empty(image, detections, omissions):
                return None
            note_unsupported(detections, image, omissions)
            single_outlines = [shape for one in detections for shape in _split_outlines(one)]
            return [
                _make_detection_region(image, number, one)
                for number, one in enumerate(single_outlines, 1)
            ]
        case Classification(found):
            return [_make_region(image, 1, "choices", best, {}) for best in found[:1]]
        case PlainText(text):
            name, value = f"{image.details.position}-1", {"text": [text]}
            control = {"id": name, "from_name": "text", "to_name": "image", "type": "textarea"}
            return [{**control, "value": value}]
        case _:
            omissions.add("prediction", "nothing that Label Studio has a control for", image.key)
            return None


def _split_outlines(detection: UprightDetection) -> list[UprightDetection]:
    """A detection as often as it has outlines: a region holds one."""
    if len(detection.outlines) < 2:  # noqa: PLR2004
        return [detection]
    return [replace(detection, outlines=(outline,)) for outline in detection.outlines]


def _make_detection_region(
    image: ImageItem, number: int, detection: UprightDetection
) -> LabelStudioRegion:
    box, outline = detection.box, detection.largest_outline
    size = {"original_width": image.image_info.width, "original_height": image.image_info.height}
    shape: dict[str, Json]
    if outline:
        kind, shape = "polygonlabels", {"points": [_to_percent(point) for point in outline]}
    else:
        kind, box_percents = (
            "rectanglelabels",
            _to_percent((box.left, box.top, box.width, box.height)),
        )
        shape = {**dict(zip(_BOX_KEYS, box_percents, strict=True)), "rotation": 0}
    region = _make_region(image, number, kind, detection, shape)
    return {**region, **size, "image_rotation": 0}


def _make_region(
    image: ImageItem,
    number: int,
    kind: str,
    labelled: UprightDetection | ClassScore,
    shape: Mapping[str, Json],
) -> LabelStudioRegion:
    region: LabelStudioRegion = {
        "id": f"{image.details.position}-{number}",
        "from_name": _CONTROL_BY_REGION_TYPE[kind][0],
        "to_name": "image",
        "type": kind,
        "value": {**shape, kind: [_escape_xml(labelled.label)]},
    }
    return region if labelled.score is None else {**region, "score": labelled.score}


def _to_percent(values: Iterable[float]) -> list[float]:
    return [round(100 * value, _PERCENT_DECIMALS) for value in values]


def _make_label_config(labels: LabelsByType) -> str:
    """The labelling interface, as XML: the controls with every label the predictions use."""
    lines = ["<View>", '  <Image name="image" value="$image"/>']
    for kind, (name, control, label_tag) in _CONTROL_BY_REGION_TYPE.items():
        if labels[kind]:
            lines.append(f'  <{control} name="{name}" toName="image">')
            lines += [f"    <{label_tag} value={quoteattr(label)}/>" for label in labels[kind]]
            lines.append(f"  </{control}>")
    lines += ['  <TextArea name="text" toName="image" editable="true"/>', "</View>", ""]
    return "\n".join(lines)


def _escape_xml(label: str) -> str:
    """The label as XML can hold it, in tasks and config alike."""
    return _NON_XML_PATTERN.sub(lambda sign: f"\\x{ord(sign[0]):02x}", escape_undecodable(label))
