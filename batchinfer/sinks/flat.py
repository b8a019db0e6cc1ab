"""One row per detection or class, as R, pandas and QGIS want it; of other items one row each.

The same rows as CSV here and as Parquet and Arrow next door. What the item itself says is repeated
in each of its rows; its prediction stands in `text` where it is neither detections nor classes, and
nowhere else, so that no row is as long as all of them together.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, TypeAlias

from batchinfer.domain import Result
from batchinfer.meaning import (
    Class,
    Classes,
    Data,
    Detection,
    Detections,
    Features,
    Meaning,
    Output,
    Words,
)
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import harmless, harmless_json, json_text, printable
from batchinfer.sinks.rows import Utf8

_ITEM: Final = ("key", "path", "state", "code", "message")
_FOUND: Final = ("number", "label", "score", "left", "top", "right", "bottom", "unit", "outline")
_REST: Final = ("text", "attempts", "seconds", "started_at", "finished_at", "params")
FIELDS: Final = (*_ITEM, "kind", *_FOUND, *_REST)

Row: TypeAlias = tuple[Any, ...]

_NOTHING: Final = (None,) * len(_FOUND)
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
        for found in _found(book, result):
            yield (*item, *found, *rest)


def _found(book: Book, result: Result) -> Iterator[Row]:
    """Cells from `kind` to `text`."""
    if result.media_type is None:
        yield (None, *_NOTHING, None)
        return
    meaning = book.meaning(result)
    match meaning:
        case Detections(found=found) if found:
            for number, detection in enumerate(found, 1):
                yield ("detection", number, *detected(detection), None)
        case Classes(found=found) if found:
            for number, one in enumerate(found, 1):
                yield ("class", number, *classified(one), None)
        case _:
            kind, text = _whole(meaning)
            yield (kind, *_NOTHING, text)


def detected(detection: Detection) -> Row:
    """Cells from `label` to `outline`."""
    label, box, outline = detection.label, detection.box, detection.outline
    return (
        label if label is None else printable(label),
        detection.score,
        *((None,) * 4 if box is None else (box.left, box.top, box.right, box.bottom)),
        None if box is None else "relative" if box.relative else "pixels",
        json_text(outline).decode() if outline else None,
    )


def classified(one: Class) -> Row:
    """The same cells of a class."""
    return (printable(one.label), one.score, None, None, None, None, None, None)


def _whole(meaning: Meaning) -> tuple[str, str | None]:
    """What is said in one row: its kind, and its text."""
    match meaning:
        case Detections():
            return "detection", None
        case Classes():
            return "class", None
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
