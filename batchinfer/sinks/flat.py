"""One row per detection or class, as R, pandas and QGIS want it; of other items one row each.

Where nothing was found the row's kind is `none`: it is no detection, and easily left out.

The same rows as CSV here and as Parquet and Arrow next door. What the item itself says is repeated
in each of its rows; its prediction stands in `text` where it is neither detections nor classes, and
nowhere else, so that no row is as long as all of them together.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, TypeAlias

from batchinfer.domain import Json, Result
from batchinfer.meaning import (
    Class,
    Classes,
    Data,
    Detection,
    Detections,
    Features,
    Mask,
    Meaning,
    Output,
    Words,
)
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import harmless, harmless_json, json_text, printable
from batchinfer.sinks.left_out import LeftOut
from batchinfer.sinks.rows import Utf8

_ITEM: Final = ("key", "path", "state", "code", "message")
_FOUND: Final = ("number", "label", "score", "left", "top", "right", "bottom", "unit", "outline")
_REST: Final = ("text", "attempts", "seconds", "started_at", "finished_at", "params")
_MORE: Final = ("outlines", "mask", "keypoints", "start", "end")
"""Of a detection, at the end: they came later."""
FIELDS: Final = (*_ITEM, "kind", *_FOUND, *_REST, *_MORE)

Row: TypeAlias = tuple[Any, ...]

_NOTHING: Final = (None,) * len(_FOUND)
_NO_MORE: Final = (None,) * len(_MORE)
_PLACE: Final = len(_FOUND) - 1
"""Cells of a detection before those at the end."""
_KIND: Final = FIELDS.index("kind")
_TEXT: Final = FIELDS.index("text")
_PARAMS: Final = FIELDS.index("params")
_FOREIGN: Final = tuple(map(FIELDS.index, ("key", "path", "code", "message", "label")))
_AS_JSON: Final = frozenset(("features", "data"))
"""Kinds whose text is JSON."""


def write_csv(book: Book, file: BinaryIO) -> int:
    """A header, and the rows; how many."""
    text = Utf8(file, bom=book.options.csv_bom)
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(FIELDS)
    count = 0
    for row in rows(book):
        table.writerow(row if book.options.formulas else _harmless(row))
        count += 1
    text.tell_excel(book)
    return count


def rows(book: Book) -> Iterator[Row]:
    """The rows of all items, in input order, and of each in the model's order."""
    left_out = LeftOut()
    for result in book.results():
        item = (
            printable(result.key),
            _printable(result.path),
            result.state,
            _printable(result.code),
            _printable(result.message),
        )
        rest = (
            result.attempts,
            result.seconds,
            result.started_at,
            result.finished_at,
            json_text(result.params).decode(),
        )
        for found, more in _found(book, result, left_out):
            yield (*item, *found, *rest, *more)
    left_out.tell(book)


def _found(book: Book, result: Result, left_out: LeftOut) -> Iterator[tuple[Row, Row]]:
    """Cells from `kind` to `text`, and those at the end."""
    meaning = None if result.media_type is None else book.meaning(result)
    match meaning:
        case Detections(found=found) if found:
            for number, detection in enumerate(found, 1):
                for part in detection.unread:
                    left_out.add(part, "of a kind that cannot be kept", printable(result.key))
                cells = detected(detection)
                yield ("detection", number, *cells[:_PLACE], None), cells[_PLACE:]
        case Classes(found=found) if found:
            for number, one in enumerate(found, 1):
                yield ("class", number, *classified(one), None), _NO_MORE
        case _ if book.options.found_only:
            pass
        case None:
            yield (None, *_NOTHING, None), _NO_MORE
        case _:
            kind, text = _whole(meaning)
            yield (kind, *_NOTHING, text), _NO_MORE


def detected(detection: Detection) -> Row:
    """Cells from `label` to `outline`, and those at the end."""
    label, box, outlines = detection.label, detection.box, detection.outlines
    points = [(one.x, one.y, one.score) for one in detection.keypoints]
    return (
        label if label is None else printable(label),
        detection.score,
        *((None,) * 4 if box is None else (box.left, box.top, box.right, box.bottom)),
        None if box is None else "relative" if box.relative else "pixels",
        json_text(detection.outline).decode() if outlines else None,
        json_text(outlines).decode() if outlines else None,
        None if detection.mask is None else json_text(_rle(detection.mask)).decode(),
        json_text(points).decode() if points else None,
        detection.start,
        detection.end,
    )


def _rle(mask: Mask) -> Json:
    return {"size": [mask.height, mask.width], "counts": mask.counts}


def classified(one: Class) -> Row:
    """The same cells of a class, but for those at the end."""
    return (printable(one.label), one.score, None, None, None, None, None, None)


def _whole(meaning: Meaning) -> tuple[str, str | None]:
    """What is said in one row: its kind, and its text."""
    match meaning:
        case Detections() | Classes():
            return "none", None
        case Words(text=text):
            return "text", printable(text)
        case Output(path=path):
            return "file", printable(path)
        case Features(collection=value):
            return "features", json_text(value).decode()
        case Data(value=value):
            return "data", json_text(value).decode()


def _harmless(row: Row) -> list[Any]:
    cells = list(row)
    for at in _FOREIGN:
        if cells[at]:
            cells[at] = harmless(cells[at])
    if cells[_TEXT]:
        made = harmless_json if cells[_KIND] in _AS_JSON else harmless
        cells[_TEXT] = made(cells[_TEXT])
    cells[_PARAMS] = harmless_json(cells[_PARAMS])
    return cells


def _printable(text: str | None) -> str | None:
    return None if text is None else printable(text)
