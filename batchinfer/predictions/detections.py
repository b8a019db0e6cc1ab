"""Detections as models return them: dicts, parallel lists, rows (rules: `interpreter.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from batchinfer.domain import Json
from batchinfer.predictions.box_formats import BOX_KEY_FORMATS, PLURAL_BOX_KEYS, strip_normalized
from batchinfer.predictions.coerce import is_list, normalize_keys, to_label, to_number, to_numbers
from batchinfer.predictions.detection_details import (
    DETAIL_KEYS,
    cvat_mask_box,
    read_keypoints,
    read_mask,
    read_time_range,
)
from batchinfer.predictions.draft_locations import (
    DraftLocation,
    find_unnamed_location,
    read_box,
    read_location,
    unit_or_question,
)
from batchinfer.predictions.drafts import DraftDetection, DraftDetections
from batchinfer.predictions.masks import parse_mask
from batchinfer.predictions.outlines import (
    OUTLINE_KEYS,
    read_outlines,
    to_coordinate_pairs,
    to_points,
)
from batchinfer.predictions.prediction_types import Detection

LABEL_KEYS: Final = (
    *("label", "labelname", "classname", "categoryname", "speciesname", "species"),
    *("scientificname", "name", "class", "cls", "category", "classlabel", "predictedclass"),
    *("predictedlabel", "predictedspecies", "predictedname", "predclass", "predlabel"),
    *("toplabel", "topclass", "taxon", "breed", "tagname", "objectname", "displayname"),
    *("commonname", "prediction", "labelid", "classid", "categoryid", "classidx"),
)
"""Keys (see `values.spelled`) of a class; a name wins over a number."""
SCORE_KEYS: Final = (
    *("score", "confidence", "conf", "probability", "prob", "certainty", "likelihood"),
    *("confidencescore", "predictionscore", "classscore", "classconfidence"),
    *("detectionscore", "detectionconfidence", "topscore", "topprobability"),
    *("predictedprobability", "predprob", "accuracy", "predictediou"),
)
_LOCATED_LABEL_KEYS: Final = ("text", "tag", "type", "object", "description")
"""These name a class only of what has a place."""
_NESTED_LABEL_KEYS: Final = (
    "categories",
    "category",
    "class",
    "label",
    "labels",
    "classes",
    "tags",
    "concepts",
)
"""These may hold dicts with label and score instead."""
BOX_COLUMN_KEYS: Final = (
    *("boxes", "bboxes", "xyxy", "xyxyn", "xywh", "xywhn", "boundingboxes", "detectionboxes"),
    *("predboxes", "rois", "box", "bbox", "rectangles", "recpolys", "recboxes", "dtpolys"),
    *("quadboxes",),
)
LABEL_COLUMN_KEYS: Final = (
    *("labelnames", "classnames", "labeltexts", "textlabels", "displaynames", "rectexts", "txts"),
    *("labels", "classes", "names", "detectionclassnames", "detectionclasses"),
    *("predlabnames", "predlab", "predlabels", "predclasses", "classids", "categoryids", "cls"),
    *("labelids", "classid", "label", "class"),
)
SCORE_COLUMN_KEYS: Final = (
    *("scores", "confidences", "conf", "confs", "confidence", "probabilities", "probs"),
    *("detectionscores", "predscores", "predprob", "predprobs", "predprobabilities", "score"),
    *("recscores", "labelscores"),
)


def read_detections(
    found: Sequence[Mapping[str, Json]], relative: bool | None = None
) -> DraftDetections | None:
    """A list of dicts, if one of them has a location."""
    read = [
        _read_detection(thing, relative)
        for thing in chain.from_iterable(map(_expand_instances, found))
    ]
    if all(one.location is None and one.detection.start is None for one in read):
        return None
    return DraftDetections(
        tuple(one for one in read if one.location is not None or one.detection.label is not None)
    )


def _expand_instances(thing: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """A thing; of a label with several places each of them (Rekognition), by the label's name."""
    names = normalize_keys(thing)
    if (inner := names.get("instances")) is None:
        return [names]
    places = [each for each in inner if isinstance(each, Mapping)] if is_list(inner) else []
    name, _ = label_and_score(names, is_located=False)
    if not places or name is None:
        return [names]
    return [{"label": name, **normalize_keys(each)} for each in places]


def _read_detection(names: Mapping[str, Json], relative: bool | None) -> DraftDetection:
    names = _from_label_studio(names)
    if "regioninfo" in names and isinstance(data := names.get("data"), Mapping):  # Clarifai
        names = {**normalize_keys(data), **names}
    location = read_location(names, True if names.get("_percent") else relative)
    name, score = label_and_score(names, is_located=location is not None)
    time_range = None
    if location is None and name is not None:
        location, time_range = find_unnamed_location(names, relative), read_time_range(names)
    if names.keys().isdisjoint(DETAIL_KEYS):
        start, end = time_range or (None, None)
        if location is not None and names.get("_percent"):
            location = replace(location, unit="percent")
        return DraftDetection(Detection(name, score, start=start, end=end), location)
    found, unread = read_mask(names)
    if (frame := cvat_mask_box(names)) is not None:
        location = replace(
            location or DraftLocation(), four_numbers=frame, box_format="xyxy", unit="pixels"
        )
    points, lost = read_keypoints(names)
    if (found or unread or points or lost) and (location is not None or name is not None):
        location = location or DraftLocation(unit=unit_or_question(relative))
        location = replace(
            location,
            mask=found,
            keypoints=points or location.keypoints,
            unsupported_parts=(*location.unsupported_parts, *unread, *lost),
        )
        if name is None:
            name, score = label_and_score(names, is_located=True)
    if location is not None and names.get("_percent"):
        location = replace(location, unit="percent")
    start, end = time_range or (None, None)
    return DraftDetection(Detection(name, score, start=start, end=end), location)


def _from_label_studio(names: Mapping[str, Json]) -> Mapping[str, Json]:
    """A region of Label Studio, whose numbers are percents, as the others spell it."""
    value, kind = names.get("value"), names.get("type")
    if not (isinstance(value, Mapping) and isinstance(kind, str) and "fromname" in names):
        return names
    said = {name: inner for name, inner in normalize_keys(value).items() if name not in LABEL_KEYS}
    labels = value.get(kind)
    if "rle" in said or "brushlabels" in said:
        said["mask"] = {"rle": True}
    name = labels[0] if is_list(labels) and labels else None
    return {**said, "label": name, "score": names.get("score"), "_percent": True}


def apply_category_names(found: DraftDetections, names: Mapping[str, Json]) -> DraftDetections:
    """The same, with the names that the dict around it (`names`) gives to numbered classes.

    `detection_categories` (MegaDetector), `categories` (COCO).
    """
    categories = names.get("detectioncategories", names.get("categories"))
    known: dict[str, str] = {}
    if isinstance(categories, Mapping):
        known = {number: name for number, name in categories.items() if isinstance(name, str)}
    elif is_list(categories):
        each = [normalize_keys(one) for one in categories if isinstance(one, Mapping)]
        pairs_of = [(to_label(one.get("id")), to_label(one.get("name"))) for one in each]
        known = {number: name for number, name in pairs_of if number and name}
    if not known:
        return found
    return DraftDetections(
        tuple(
            replace(one, detection=replace(one.detection, label=known.get(name, name)))
            if (name := one.detection.label) is not None
            else one
            for one in found.detections
        )
    )


def read_detection_columns(
    names: Mapping[str, Json], relative: bool | None = None
) -> DraftDetections | None:
    """A dict (with normalized keys) of parallel lists, one of boxes."""
    for name in BOX_COLUMN_KEYS:
        if is_list(column := names.get(name)):
            if not column and (
                name in PLURAL_BOX_KEYS or any(is_list(names.get(k)) for k in SCORE_COLUMN_KEYS)
            ):
                return DraftDetections()
            if (found := _read_columns(names, name, column, relative)) is not None:
                return found
    return None


def _read_columns(
    names: Mapping[str, Json], name: str, column: Sequence[Json], relative: bool | None
) -> DraftDetections | None:
    plain, normalized = strip_normalized(name)
    unit = True if normalized else relative
    labels, scores = find_column(names, LABEL_COLUMN_KEYS), find_column(names, SCORE_COLUMN_KEYS)
    if isinstance(more := names.get("data"), Mapping):  # supervision keeps names there
        labels = find_column(normalize_keys(more), ("classname",)) or labels
    boxes = _unbatch(column)
    if not boxes or not all(is_list(box) or (isinstance(box, Mapping) and labels) for box in boxes):
        return None
    form = BOX_KEY_FORMATS.get(plain, "?list")
    places = [_read_column_box(box, form, relative=unit) for box in boxes]
    if all(place is None for place in places):
        return None
    if len(places) == 1 and not labels and not scores:
        return None  # one thing, whose box stands in a list of its own
    outlines = find_column(names, OUTLINE_KEYS)
    masks = find_column(names, ("masks", "mask", "predmasks"))
    points = find_column(names, ("keypoints", "predkeypoints"))
    numbered = names.get("names")
    found: list[DraftDetection] = []
    for row, where in enumerate(places):
        where = where or DraftLocation(unit=unit_or_question(unit))  # noqa: PLW2901 - an empty one
        if len(outlines) == len(places) and not where.outlines:
            where = replace(where, outlines=read_outlines(outlines[row]))  # noqa: PLW2901
        if len(masks) == len(places):
            kept = parse_mask(masks[row])
            lost = () if kept or masks[row] is None or where.outlines else ("mask",)
            where = replace(where, mask=kept, unsupported_parts=lost)  # noqa: PLW2901
        if len(points) == len(places):
            kept_points, unread = read_keypoints({"keypoints": points[row]})
            where = replace(  # noqa: PLW2901
                where, keypoints=kept_points, unsupported_parts=(*where.unsupported_parts, *unread)
            )
        named = _label_name(_get(labels, row), numbered)
        found.append(DraftDetection(Detection(named, to_number(_get(scores, row))), where))
    return DraftDetections(tuple(found))


def _read_column_box(value: Json, form: str, relative: bool | None) -> DraftLocation | None:
    flat = to_numbers(value)
    if flat is not None and len(flat) == 8:  # noqa: PLR2004 - four corners in a row
        return DraftLocation(
            outlines=(to_points(to_coordinate_pairs(flat)),), unit=unit_or_question(relative)
        )
    return read_box(value, form, relative)  # type: ignore[arg-type]


def read_detection_rows(value: Sequence[Json]) -> DraftDetections | None:
    """A list of rows with a location: YOLO's six numbers; corners, text and score (OCR)."""
    parts = [part for part in value if is_list(part)]
    if len(parts) != len(value) or not parts:
        return None
    if all(_is_yolo_row(part) for part in parts):
        return DraftDetections(
            tuple(
                DraftDetection(
                    Detection(to_label(part[5]), to_number(part[4])), read_box(part, "xyxy")
                )
                for part in parts
            )
        )
    read = [_read_ocr_row(part) for part in parts]
    found = [one for one in read if one is not None]
    return DraftDetections(tuple(found)) if len(found) == len(read) else None


def _read_ocr_row(row: Sequence[Json]) -> DraftDetection | None:
    """`[corners, text, score]` (EasyOCR, RapidOCR), `[corners, [text, score]]` (PaddleOCR)."""
    match row:
        case [corners, [str(text), score]] | [corners, str(text), score] if is_list(corners):
            where = read_outlines(corners)
            sure = to_number(score)
            if len(where) == 1 and sure is not None:
                return DraftDetection(Detection(text or None, sure), DraftLocation(outlines=where))
    return None


def label_and_score(
    names: Mapping[str, Json], *, is_located: bool, nested: bool = True
) -> tuple[str | None, float | None]:
    """Label and score of a dict (with normalized keys); None where there is none."""
    keys = (*LABEL_KEYS, *_LOCATED_LABEL_KEYS) if is_located else LABEL_KEYS
    texts = (value for key in keys if isinstance(value := names.get(key), str) and value)
    others = (to_label(names.get(key)) for key in LABEL_KEYS if key != "prediction")
    name = next(texts, None) or next((other for other in others if other is not None), None)
    scores = (to_number(names.get(key)) for key in SCORE_KEYS)
    score = next((score for score in scores if score is not None), None)
    if not nested and score is None:
        score = to_number(names.get("value"))  # Clarifai
    if nested and name is None:
        for key in _NESTED_LABEL_KEYS:
            inner = names.get(key)
            first = inner[0] if is_list(inner) and inner else inner
            if isinstance(first, Mapping):
                name, own = label_and_score(normalize_keys(first), is_located=False, nested=False)
                return name, own if score is None else score
    return name, score


def find_column(names: Mapping[str, Json], keys: Iterable[str]) -> Sequence[Json]:
    """The first list under one of the keys that holds something."""
    for key in keys:
        if is_list(value := names.get(key)) and value:
            match value:
                case [inner] if is_list(inner) and key not in OUTLINE_KEYS:  # a batch of one
                    return inner
                case _:
                    return value
    return ()


def _unbatch(column: Sequence[Json]) -> Sequence[Json]:
    """Boxes in a batch of one: `[[[1, 2, 3, 4], ...]]`."""
    match column:
        case [[[*_] as first, *_] as inner] if len(first) != 2:  # noqa: PLR2004 - no corner
            return inner
        case [[Mapping(), *_] as inner]:
            return inner
        case _:
            return column


def _get(column: Sequence[Json], row: int) -> Json:
    return column[row] if row < len(column) else None


def _label_name(value: Json, names_by_id: Json) -> str | None:
    """The label, looked up where a model gives its names apart (`{"0": "person"}`)."""
    name = to_label(value)
    if isinstance(names_by_id, Mapping) and name is not None and not isinstance(value, str):
        return to_label(names_by_id.get(name)) or name
    return name


def _is_yolo_row(row: Sequence[Json]) -> bool:
    match to_numbers(row):
        case [left, top, right, bottom, score, kind]:
            return left < right and top < bottom and 0 <= score <= 1 <= kind + 1 and kind % 1 == 0
        case _:
            return False
