"""COCO JSON, for pycocotools, CVAT, Detectron2: detections in pixels of the upright picture.

`file_name` is the picture's path below a folder that is told, for programs open pictures by it; the
item's key stands beside it, and an image's `id` is the item's position. The score stands in each
annotation, as in COCO's results: `COCO(file).loadRes(annotations)` takes them as they are. Only
pictures on which the model looked for things are images; that folder, what is left out, and how
predictions were read, stands in `info`. A detection with a mask has it as it was given, run-length
encoded; else all its polygons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import BinaryIO, Final

from batchinfer.domain import Json
from batchinfer.meaning import Keypoint, Mask, area_within
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import json_text, printable
from batchinfer.sinks.file_names import Naming, naming
from batchinfer.sinks.left_out import LeftOut
from batchinfer.sinks.pictures import Picture, Placed, detected, in_pixels, is_no_negative
from batchinfer.sinks.scratch import Spool, open_spool

_DIGITS: Final = 4
"""Of a pixel."""


def write(book: Book, file: BinaryIO) -> int:
    """One JSON object; how many annotations."""
    left_out, categories = LeftOut(), dict[str, int]()
    points: dict[str, dict[str, Json]] = {}
    numbers, names = count(1), naming(book.options.file_names, book.dossiers())
    with open_spool(book.scratch) as spool:  # annotations, until all images are written
        images, annotations = _List(file), _List(spool)
        file.write(b'{"images":[')
        for picture in detected(book, left_out):
            found = in_pixels(picture, book, left_out)
            if is_no_negative(picture, found, left_out):
                continue
            images.write(_image(picture, names.of(picture, left_out)))
            for placed in found:
                category = categories.setdefault(placed.label, len(categories) + 1)
                if placed.keypoints:
                    points[placed.label] = _skeleton(placed, points.get(placed.label))
                annotations.write(_annotation(next(numbers), picture, category, placed))
                if placed.mask is not None:
                    more = len(placed.outlines)
                    left_out.add("outline", "beside a mask", picture.key, count=more)
        file.write(b'],\n"annotations":[')
        spool.copy_to(file)
    file.write(b'],\n"categories":[')
    classes = _List(file)
    for label, number in categories.items():
        classes.write({"id": number, "name": label, "supercategory": "", **points.get(label, {})})
    file.write(b'],\n"licenses":[],\n"info":' + json_text(_info(book, names, left_out)) + b"}\n")
    left_out.tell(book)
    if names.root is not None:
        book.notice(f"file_name of each image is its path below {printable(names.root)}")
    return next(numbers) - 1


class _List:
    """The elements of a JSON array, written one after the other."""

    def __init__(self, file: BinaryIO | Spool) -> None:
        self._write = file.write
        self._between = b"\n"

    def write(self, value: Json) -> None:
        self._write(self._between + json_text(value))
        self._between = b",\n"


def _image(picture: Picture, name: str) -> Json:
    facts = picture.facts
    return {
        "id": picture.dossier.position,
        "file_name": name,
        "width": facts.width,
        "height": facts.height,
        "key": picture.key,
    }


def _annotation(number: int, picture: Picture, category: int, placed: Placed) -> Json:
    box = placed.box
    score = {} if placed.score is None else {"score": placed.score}
    area, segmentation = _segmentation(placed)
    return {
        "id": number,
        "image_id": picture.dossier.position,
        "category_id": category,
        "bbox": [round(value, _DIGITS) for value in (box.left, box.top, box.width, box.height)],
        "area": area,
        "segmentation": segmentation,
        "iscrowd": 0,  # also with a mask: 1 would make evaluations pass over it
        **score,
        **_keypoints(placed.keypoints),
    }


def _segmentation(placed: Placed) -> tuple[float, Json]:
    """The area in pixels, and all polygons, or the mask as it is, or nothing."""
    if placed.mask is not None:
        return placed.mask.area, _rle(placed.mask)
    box = placed.box
    area = sum(map(area_within, placed.outlines)) if placed.outlines else box.width * box.height
    flat = [
        [round(value, _DIGITS) for point in outline for value in point]
        for outline in placed.outlines
    ]
    return round(area, _DIGITS), flat


def _rle(mask: Mask) -> Json:
    counts = mask.counts if isinstance(mask.counts, str) else list(mask.counts)
    return {"size": [mask.height, mask.width], "counts": counts}


def _keypoints(points: Sequence[Keypoint]) -> dict[str, Json]:
    if not points:
        return {}
    seen = [0 if point.score == 0 else 2 for point in points]
    flat: list[Json] = []
    for point, visible in zip(points, seen, strict=True):
        flat += [round(point.x, _DIGITS), round(point.y, _DIGITS), visible]
    return {"keypoints": flat, "num_keypoints": sum(map(bool, seen))}


def _skeleton(placed: Placed, before: dict[str, Json] | None) -> dict[str, Json]:
    """The names of a category's keypoints, which are numbers: the model gives none."""
    names = before["keypoints"] if before else []
    most = max(len(placed.keypoints), len(names) if isinstance(names, list) else 0)
    return {"keypoints": [str(number) for number in range(1, most + 1)], "skeleton": []}


def _info(book: Book, names: Naming, left_out: LeftOut) -> Json:
    root: dict[str, Json] = {}
    if names.root is not None:
        root["images_root"] = printable(names.root)
    return {
        "description": f"Predictions of the run {book.info.id}",
        "version": "1.0",
        "contributor": "batchinfer",
        **root,
        "left_out": left_out.counts(),
        "read_as": list(book.reading.sentences()) if book.reading is not None else [],
    }
