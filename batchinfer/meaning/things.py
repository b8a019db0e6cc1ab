"""What was found, as models spell it: dicts, parallel lists, rows. Rules: see `reading`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from batchinfer.domain import Json
from batchinfer.meaning.details import DETAILS, keypoints, mask_frame, masked, times
from batchinfer.meaning.drafts import Found, Things
from batchinfer.meaning.masks import mask
from batchinfer.meaning.orders import BOXES, PLURAL, base
from batchinfer.meaning.outlines import OUTLINES, finite, pairs, polygons
from batchinfer.meaning.places import Place, boxed, place, scale_of, unnamed
from batchinfer.meaning.values import is_list, label, number, numbers, spelled
from batchinfer.meaning.words import Detection

LABELS: Final = (
    *("label", "labelname", "classname", "categoryname", "speciesname", "species"),
    *("scientificname", "name", "class", "cls", "category", "classlabel", "predictedclass"),
    *("predictedlabel", "predictedspecies", "predictedname", "predclass", "predlabel"),
    *("toplabel", "topclass", "taxon", "breed", "tagname", "objectname", "displayname"),
    *("commonname", "prediction", "labelid", "classid", "categoryid", "classidx"),
)
"""Keys (see `values.spelled`) of a class; a name wins over a number."""
SCORES: Final = (
    *("score", "confidence", "conf", "probability", "prob", "certainty", "likelihood"),
    *("confidencescore", "predictionscore", "classscore", "classconfidence"),
    *("detectionscore", "detectionconfidence", "topscore", "topprobability"),
    *("predictedprobability", "predprob", "accuracy", "predictediou"),
)
_WITH_PLACE: Final = ("text", "tag", "type", "object", "description")
"""These name a class only of what has a place."""
_NESTED: Final = (
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
MANY_BOXES: Final = (
    *("boxes", "bboxes", "xyxy", "xyxyn", "xywh", "xywhn", "boundingboxes", "detectionboxes"),
    *("predboxes", "rois", "box", "bbox", "rectangles", "recpolys", "recboxes", "dtpolys"),
    *("quadboxes",),
)
MANY_LABELS: Final = (
    *("labelnames", "classnames", "labeltexts", "textlabels", "displaynames", "rectexts", "txts"),
    *("labels", "classes", "names", "detectionclassnames", "detectionclasses"),
    *("predlabnames", "predlab", "predlabels", "predclasses", "classids", "categoryids", "cls"),
    *("labelids", "classid", "label", "class"),
)
MANY_SCORES: Final = (
    *("scores", "confidences", "conf", "confs", "confidence", "probabilities", "probs"),
    *("detectionscores", "predscores", "predprob", "predprobs", "predprobabilities", "score"),
    *("recscores", "labelscores"),
)


def things(found: Sequence[Mapping[str, Json]], relative: bool | None = None) -> Things | None:
    """A list of dicts, if one of them speaks of a place."""
    read = [_thing(thing, relative) for thing in chain.from_iterable(map(_instances, found))]
    if all(one.place is None and one.detection.start is None for one in read):
        return None
    return Things(
        tuple(one for one in read if one.place is not None or one.detection.label is not None)
    )


def _instances(thing: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """A thing; of a label with several places each of them (Rekognition), by the label's name."""
    names = spelled(thing)
    if (inner := names.get("instances")) is None:
        return [names]
    places = [each for each in inner if isinstance(each, Mapping)] if is_list(inner) else []
    name, _ = class_of(names, placed=False)
    if not places or name is None:
        return [names]
    return [{"label": name, **spelled(each)} for each in places]


def _thing(names: Mapping[str, Json], relative: bool | None) -> Found:
    names = _studio(names)
    if "regioninfo" in names and isinstance(data := names.get("data"), Mapping):  # Clarifai
        names = {**spelled(data), **names}
    where = place(names, True if names.get("_percent") else relative)
    name, score = class_of(names, placed=where is not None)
    heard = None
    if where is None and name is not None:
        where, heard = unnamed(names, relative), times(names)
    if names.keys().isdisjoint(DETAILS):
        start, end = heard or (None, None)
        if where is not None and names.get("_percent"):
            where = replace(where, scale="percent")
        return Found(Detection(name, score, start=start, end=end), where)
    found, unread = masked(names)
    if (frame := mask_frame(names)) is not None:
        where = replace(where or Place(), four=frame, form="xyxy", scale="pixels")
    points, lost = keypoints(names)
    if (found or unread or points or lost) and (where is not None or name is not None):
        where = where or Place(scale=scale_of(relative))
        where = replace(
            where,
            mask=found,
            keypoints=points or where.keypoints,
            unread=(*where.unread, *unread, *lost),
        )
        if name is None:
            name, score = class_of(names, placed=True)
    if where is not None and names.get("_percent"):
        where = replace(where, scale="percent")
    start, end = heard or (None, None)
    return Found(Detection(name, score, start=start, end=end), where)


def _studio(names: Mapping[str, Json]) -> Mapping[str, Json]:
    """A region of Label Studio, whose numbers are percents, as the others spell it."""
    value, kind = names.get("value"), names.get("type")
    if not (isinstance(value, Mapping) and isinstance(kind, str) and "fromname" in names):
        return names
    said = {name: inner for name, inner in spelled(value).items() if name not in LABELS}
    labels = value.get(kind)
    if "rle" in said or "brushlabels" in said:
        said["mask"] = {"rle": True}
    name = labels[0] if is_list(labels) and labels else None
    return {**said, "label": name, "score": names.get("score"), "_percent": True}


def renamed(found: Things, names: Mapping[str, Json]) -> Things:
    """The same, with the names that the dict around it (`names`) gives to numbered classes.

    `detection_categories` (MegaDetector), `categories` (COCO).
    """
    told = names.get("detectioncategories", names.get("categories"))
    known: dict[str, str] = {}
    if isinstance(told, Mapping):
        known = {number: name for number, name in told.items() if isinstance(name, str)}
    elif is_list(told):
        each = [spelled(one) for one in told if isinstance(one, Mapping)]
        pairs_of = [(label(one.get("id")), label(one.get("name"))) for one in each]
        known = {number: name for number, name in pairs_of if number and name}
    if not known:
        return found
    return Things(
        tuple(
            replace(one, detection=replace(one.detection, label=known.get(name, name)))
            if (name := one.detection.label) is not None
            else one
            for one in found.found
        )
    )


def columns(names: Mapping[str, Json], relative: bool | None = None) -> Things | None:
    """A dict (its names as `spelled`) of parallel lists, one of boxes."""
    for name in MANY_BOXES:
        if is_list(column := names.get(name)):
            if not column and (name in PLURAL or any(is_list(names.get(k)) for k in MANY_SCORES)):
                return Things()
            if (found := _columns(names, name, column, relative)) is not None:
                return found
    return None


def _columns(
    names: Mapping[str, Json], name: str, column: Sequence[Json], relative: bool | None
) -> Things | None:
    plain, normalized = base(name)
    unit = True if normalized else relative
    labels, scores = column_of(names, MANY_LABELS), column_of(names, MANY_SCORES)
    if isinstance(more := names.get("data"), Mapping):  # supervision keeps names there
        labels = column_of(spelled(more), ("classname",)) or labels
    boxes = _unbatched(column)
    if not boxes or not all(is_list(box) or (isinstance(box, Mapping) and labels) for box in boxes):
        return None
    form = BOXES.get(plain, "?list")
    places = [_box(box, form, relative=unit) for box in boxes]
    if all(place is None for place in places):
        return None
    if len(places) == 1 and not labels and not scores:
        return None  # one thing, whose box stands in a list of its own
    outlines = column_of(names, OUTLINES)
    masks = column_of(names, ("masks", "mask", "predmasks"))
    points = column_of(names, ("keypoints", "predkeypoints"))
    numbered = names.get("names")
    found: list[Found] = []
    for row, where in enumerate(places):
        where = where or Place(scale=scale_of(unit))  # noqa: PLW2901 - an empty one
        if len(outlines) == len(places) and not where.outlines:
            where = replace(where, outlines=polygons(outlines[row]))  # noqa: PLW2901
        if len(masks) == len(places):
            kept = mask(masks[row])
            lost = () if kept or masks[row] is None or where.outlines else ("mask",)
            where = replace(where, mask=kept, unread=lost)  # noqa: PLW2901
        if len(points) == len(places):
            kept_points, unread = keypoints({"keypoints": points[row]})
            where = replace(where, keypoints=kept_points, unread=(*where.unread, *unread))  # noqa: PLW2901
        named = _looked_up(_at(labels, row), numbered)
        found.append(Found(Detection(named, number(_at(scores, row))), where))
    return Things(tuple(found))


def _box(value: Json, form: str, relative: bool | None) -> Place | None:
    flat = numbers(value)
    if flat is not None and len(flat) == 8:  # noqa: PLR2004 - four corners in a row
        return Place(outlines=(finite(pairs(flat)),), scale=scale_of(relative))
    return boxed(value, form, relative)  # type: ignore[arg-type]


def rows(value: Sequence[Json]) -> Things | None:
    """A list of rows with a place: YOLO's six numbers; corners, text and score (OCR)."""
    parts = [part for part in value if is_list(part)]
    if len(parts) != len(value) or not parts:
        return None
    if all(_is_yolo(part) for part in parts):
        return Things(
            tuple(
                Found(Detection(label(part[5]), number(part[4])), boxed(part, "xyxy"))
                for part in parts
            )
        )
    read = [_text_row(part) for part in parts]
    found = [one for one in read if one is not None]
    return Things(tuple(found)) if len(found) == len(read) else None


def _text_row(row: Sequence[Json]) -> Found | None:
    """`[corners, text, score]` (EasyOCR, RapidOCR), `[corners, [text, score]]` (PaddleOCR)."""
    match row:
        case [corners, [str(text), score]] | [corners, str(text), score] if is_list(corners):
            where = polygons(corners)
            sure = number(score)
            if len(where) == 1 and sure is not None:
                return Found(Detection(text or None, sure), Place(outlines=where))
    return None


def class_of(
    names: Mapping[str, Json], *, placed: bool, nested: bool = True
) -> tuple[str | None, float | None]:
    """Label and score of a dict (its names as `spelled`); None where there is none."""
    keys = (*LABELS, *_WITH_PLACE) if placed else LABELS
    texts = (value for key in keys if isinstance(value := names.get(key), str) and value)
    others = (label(names.get(key)) for key in LABELS if key != "prediction")
    name = next(texts, None) or next((other for other in others if other is not None), None)
    scores = (number(names.get(key)) for key in SCORES)
    score = next((score for score in scores if score is not None), None)
    if not nested and score is None:
        score = number(names.get("value"))  # Clarifai
    if nested and name is None:
        for key in _NESTED:
            inner = names.get(key)
            first = inner[0] if is_list(inner) and inner else inner
            if isinstance(first, Mapping):
                name, own = class_of(spelled(first), placed=False, nested=False)
                return name, own if score is None else score
    return name, score


def column_of(names: Mapping[str, Json], keys: Iterable[str]) -> Sequence[Json]:
    """The first list under one of the keys that holds something."""
    for key in keys:
        if is_list(value := names.get(key)) and value:
            match value:
                case [inner] if is_list(inner) and key not in OUTLINES:  # a batch of one
                    return inner
                case _:
                    return value
    return ()


def _unbatched(column: Sequence[Json]) -> Sequence[Json]:
    """Boxes in a batch of one: `[[[1, 2, 3, 4], ...]]`."""
    match column:
        case [[[*_] as first, *_] as inner] if len(first) != 2:  # noqa: PLR2004 - no corner
            return inner
        case [[Mapping(), *_] as inner]:
            return inner
        case _:
            return column


def _at(column: Sequence[Json], row: int) -> Json:
    return column[row] if row < len(column) else None


def _looked_up(value: Json, numbered: Json) -> str | None:
    """The label, looked up where a model gives its names apart (`{"0": "person"}`)."""
    name = label(value)
    if isinstance(numbered, Mapping) and name is not None and not isinstance(value, str):
        return label(numbered.get(name)) or name
    return name


def _is_yolo(row: Sequence[Json]) -> bool:
    match numbers(row):
        case [left, top, right, bottom, score, kind]:
            return left < right and top < bottom and 0 <= score <= 1 <= kind + 1 and kind % 1 == 0
        case _:
            return False
