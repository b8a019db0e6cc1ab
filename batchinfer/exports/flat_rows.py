"""One row per detection or class, for R, pandas and QGIS; of other items one row each.

An item without detections has one row of kind `none`, which is easily filtered out. The same rows
are written as CSV, Parquet and Arrow (`arrow.py`). The item's own fields are repeated in each of
its rows. A prediction that is neither detections nor classes is in `text`, and nowhere else, so
that no row is as long as all of them together.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, TypeAlias

from batchinfer.domain import Json, Result
from batchinfer.exports.export_format import INTERPRETATION_OPTIONS, FileExport
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.exports.item_rows import Utf8Writer
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.exports.safe_text import encode_strict_json, escape_formula, escape_formula_in_json
from batchinfer.predictions import (
    Classification,
    ClassScore,
    Detection,
    Detections,
    FeatureCollection,
    Interpretation,
    Mask,
    OtherData,
    PlainText,
    PredictionFile,
)
from batchinfer.text_format import escape_undecodable

_ITEM_COLUMN_NAMES: Final = ("key", "path", "state", "code", "message")
_DETECTION_COLUMNS: Final = (
    "number",
    "label",
    "score",
    "left",
    "top",
    "right",
    "bottom",
    "unit",
    "outline",
)
_TRAILING_COLUMNS: Final = ("text", "attempts", "seconds", "started_at", "finished_at", "params")
_EXTRA_DETECTION_COLUMNS: Final = ("outlines", "mask", "keypoints", "start", "end")
"""Of a detection; at the end, as they were added later."""
FLAT_COLUMNS: Final = (
    *_ITEM_COLUMN_NAMES,
    "kind",
    *_DETECTION_COLUMNS,
    *_TRAILING_COLUMNS,
    *_EXTRA_DETECTION_COLUMNS,
    "reused",
)

FlatRow: TypeAlias = tuple[Any, ...]

_EMPTY_DETECTION_CELLS: Final = (None,) * len(_DETECTION_COLUMNS)
_EMPTY_EXTRA_CELLS: Final = (None,) * len(_EXTRA_DETECTION_COLUMNS)
_FIRST_EXTRA_CELL: Final = len(_DETECTION_COLUMNS) - 1
"""Cells of a detection before those at the end."""
_KIND_INDEX: Final = FLAT_COLUMNS.index("kind")
_TEXT_INDEX: Final = FLAT_COLUMNS.index("text")
_FLAT_PARAMS_INDEX: Final = FLAT_COLUMNS.index("params")
_UNTRUSTED_FLAT_INDEXES: Final = tuple(
    map(FLAT_COLUMNS.index, ("key", "path", "code", "message", "label", "reused"))
)
_JSON_TEXT_KINDS: Final = frozenset(("features", "data"))
"""Kinds whose text is JSON."""


class FlatCsvExport(FileExport):
    """A header and the flat rows."""

    name = "csv-flat"
    description = "a row per detection or class"
    consumers = "Excel, R, QGIS"
    options = INTERPRETATION_OPTIONS | {"formulas", "found_only", "csv_bom"}

    def write(self, source: ExportSource, file: BinaryIO, options: ExportOptions) -> int:
        """See `FileExport`."""
        text = Utf8Writer(file, bom=options.csv_bom)
        table = csv.writer(text, lineterminator="\r\n")
        table.writerow(FLAT_COLUMNS)
        count = 0
        for row in iter_rows(source, found_only=options.found_only):
            table.writerow(row if options.formulas else _escape_row(row))
            count += 1
        text.warn_for_excel(source)
        return count


def iter_rows(source: ExportSource, *, found_only: bool = False) -> Iterator[FlatRow]:
    """The rows of all items, in input order, and of each in the model's order."""
    omissions = ExportOmissions()
    for result in source.iter_results():
        item_cells = (
            escape_undecodable(result.key),
            _escape_optional(result.path),
            result.state,
            _escape_optional(result.code),
            _escape_optional(result.message),
        )
        trailing_cells = (
            result.attempts,
            result.seconds,
            result.started_at,
            result.finished_at,
            encode_strict_json(result.params).decode(),
        )
        reused = _escape_optional(result.reused)
        for detection_cells, extra_cells in _iter_prediction_cells(
            source, result, omissions, found_only=found_only
        ):
            yield (*item_cells, *detection_cells, *trailing_cells, *extra_cells, reused)
    omissions.report(source)


def _iter_prediction_cells(
    source: ExportSource, result: Result, omissions: ExportOmissions, *, found_only: bool
) -> Iterator[tuple[FlatRow, FlatRow]]:
    """Cells from `kind` to `text`, and those at the end."""
    interpretation = None if result.media_type is None else source.interpret_result(result)
    match interpretation:
        case Detections(detections=found) if found:
            for number, detection in enumerate(found, 1):
                for part in detection.unsupported_parts:
                    omissions.add(
                        part, "of a kind that cannot be kept", escape_undecodable(result.key)
                    )
                cells = make_detection_cells(detection)
                yield (
                    ("detection", number, *cells[:_FIRST_EXTRA_CELL], None),
                    cells[_FIRST_EXTRA_CELL:],
                )
        case Classification(classes=found) if found:
            for number, one in enumerate(found, 1):
                yield ("class", number, *make_class_cells(one), None), _EMPTY_EXTRA_CELLS
        case _ if found_only:
            pass
        case None:
            yield (None, *_EMPTY_DETECTION_CELLS, None), _EMPTY_EXTRA_CELLS
        case _:
            kind, text = _make_kind_and_text(interpretation)
            yield (kind, *_EMPTY_DETECTION_CELLS, text), _EMPTY_EXTRA_CELLS


def make_detection_cells(detection: Detection) -> FlatRow:
    """Cells from `label` to `outline`, and those at the end."""
    label, box, outlines = detection.label, detection.box, detection.outlines
    keypoints = [(one.x, one.y, one.score) for one in detection.keypoints]
    return (
        label if label is None else escape_undecodable(label),
        detection.score,
        *((None,) * 4 if box is None else (box.left, box.top, box.right, box.bottom)),
        None if box is None else "relative" if box.relative else "pixels",
        encode_strict_json(detection.largest_outline).decode() if outlines else None,
        encode_strict_json(outlines).decode() if outlines else None,
        None
        if detection.mask is None
        else encode_strict_json(_encode_rle(detection.mask)).decode(),
        encode_strict_json(keypoints).decode() if keypoints else None,
        detection.start,
        detection.end,
    )


def _encode_rle(mask: Mask) -> Json:
    return {"size": [mask.height, mask.width], "counts": mask.counts}


def make_class_cells(predicted_class: ClassScore) -> FlatRow:
    """The same cells of a class, but for those at the end."""
    return (
        escape_undecodable(predicted_class.label),
        predicted_class.score,
        None,
        None,
        None,
        None,
        None,
        None,
    )


def _make_kind_and_text(interpretation: Interpretation) -> tuple[str, str | None]:
    """The kind and the text of an item with one row."""
    match interpretation:
        case Detections() | Classification():
            return "none", None
        case PlainText(text=text):
            return "text", escape_undecodable(text)
        case PredictionFile(path=path):
            return "file", escape_undecodable(path)
        case FeatureCollection(collection=value):
            return "features", encode_strict_json(value).decode()
        case OtherData(value=value):
            return "data", encode_strict_json(value).decode()


def _escape_row(row: FlatRow) -> list[Any]:
    cells = list(row)
    for at in _UNTRUSTED_FLAT_INDEXES:
        if cells[at]:
            cells[at] = escape_formula(cells[at])
    if cells[_TEXT_INDEX]:
        escape = (
            escape_formula_in_json if cells[_KIND_INDEX] in _JSON_TEXT_KINDS else escape_formula
        )
        cells[_TEXT_INDEX] = escape(cells[_TEXT_INDEX])
    cells[_FLAT_PARAMS_INDEX] = escape_formula_in_json(cells[_FLAT_PARAMS_INDEX])
    return cells


def _escape_optional(text: str | None) -> str | None:
    return None if text is None else escape_undecodable(text)
