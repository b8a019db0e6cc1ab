"""A folder in FiftyOne's own format: `from_dir(dataset_type=fo.types.FiftyOneDataset)` reads it.

`samples.json` holds a sample per picture, whatever became of it: its state is a tag, and what the
model said stands in `detections`, `outlines`, `classes` or `text`. Without a `version`, in
`metadata.json`, FiftyOne takes the folder for one of its older, plainer form, and finds the fields
for itself. Boxes and outlines are in fractions; pictures stay where they lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from batchinfer.domain import Json, State
from batchinfer.images import Facts
from batchinfer.meaning import Classes, Detections, Words
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import json_text, printable
from batchinfer.sinks.left_out import LeftOut
from batchinfer.sinks.pictures import (
    Picture,
    Placed,
    absolute,
    in_fractions,
    is_no_negative,
    is_unicode,
    leave_out,
    pictures,
)
from batchinfer.sinks.scores import Scores, scores_of

SAMPLES: Final = "samples.json"
METADATA: Final = "metadata.json"
_DIGITS: Final = 8


def write(book: Book, folder: Path) -> int:
    """The folder; how many samples."""
    left_out, written, scores = LeftOut(), 0, scores_of(book)
    with (folder / SAMPLES).open("xb") as file:
        file.write(b'{"samples":[')
        for picture in pictures(book, left_out):
            if not is_unicode(picture.path):
                left_out.add("item", "a path that JSON cannot hold", picture.key)
                continue
            sample = json_text(_sample(picture, book, scores, left_out))
            file.write((b",\n" if written else b"\n") + sample)
            written += 1
        file.write(b"\n]}\n")
    info: Json = {"run": book.info.id, "sources": list(book.info.sources)}
    (folder / METADATA).write_bytes(json_text({"media_type": "image", "info": info}) + b"\n")
    left_out.tell(book)
    return written


def _sample(picture: Picture, book: Book, scores: Scores, left_out: LeftOut) -> Json:
    result, seen = picture.dossier.result, picture.facts
    known: dict[str, Json] = {
        "code": result.code,
        "message": result.message,
        "seconds": result.seconds,
        "location": _location(seen),
    }
    return {
        "filepath": absolute(picture.path),
        "tags": [result.state.value],
        "metadata": {"_cls": "ImageMetadata", "width": seen.width, "height": seen.height},
        "key": picture.key,
        "position": picture.dossier.position,
        **{name: value for name, value in known.items() if value is not None},
        **_said(picture, book, scores, left_out),
    }


def _location(seen: Facts) -> Json:
    if seen.longitude is None or seen.latitude is None:
        return None
    return {"_cls": "GeoLocation", "point": [seen.longitude, seen.latitude]}


def _said(picture: Picture, book: Book, scores: Scores, left_out: LeftOut) -> dict[str, Json]:
    """The fields of what the model said."""
    if picture.dossier.result.state is not State.SUCCEEDED:
        return {}

    def fitted(score: float | None) -> float | None:
        return scores.of(score, picture.key, left_out)

    match picture.meaning:
        case Detections():
            placed = in_fractions(picture, book, left_out)
            if is_no_negative(picture, placed, left_out):
                return {}
            leave_out(placed, picture, left_out)
            placed = [replace(one, score=fitted(one.score)) for one in placed]
            outlined = [one for one in placed if one.outlines]
            fields = {"detections": _list("Detections", "detections", list(map(_box, placed)))}
            if outlined:
                lines = list(map(_outline, outlined))
                fields["outlines"] = _list("Polylines", "polylines", lines)
            return fields
        case Classes(found):
            classes = [
                _labelled("Classification", one.label, fitted(one.score), {}) for one in found
            ]
            return {"classes": _list("Classifications", "classifications", classes)}
        case Words(text):
            return {"text": printable(text)}
        case _:
            left_out.add("prediction", "nothing that FiftyOne has a label for", picture.key)
            return {}


def _list(kind: str, name: str, labels: Sequence[Json]) -> Json:
    return {"_cls": kind, name: labels}


def _box(placed: Placed) -> Json:
    box = placed.box
    values = (box.left, box.top, box.width, box.height)
    place = {"bounding_box": [round(value, _DIGITS) for value in values]}
    return _labelled("Detection", placed.label, placed.score, place)


def _outline(placed: Placed) -> Json:
    points: list[Json] = [
        [[round(x, _DIGITS), round(y, _DIGITS)] for x, y in outline] for outline in placed.outlines
    ]
    place: dict[str, Json] = {"points": points, "closed": True, "filled": False}
    return _labelled("Polyline", placed.label, placed.score, place)


def _labelled(kind: str, label: str, score: float | None, place: Mapping[str, Json]) -> Json:
    confidence = {} if score is None else {"confidence": score}
    return {"_cls": kind, "label": label, **confidence, **place}
