"""JSONL and CSV: one row per item, with the fields of `domain.Result` in their order.

The JSON text of a prediction and of parameters is passed on as it is stored; it is neither decoded
nor encoded again. CSV is RFC 4180 in UTF-8 with lines that end in CR LF, which also keeps a lone CR
in a cell safe; None is an empty cell. Excel reads a CSV as UTF-8 only if it begins with a byte
order mark, which most data programs do not expect: it is written only if asked for.
"""

from __future__ import annotations

import csv
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import repeat
from operator import attrgetter
from typing import Any, BinaryIO, Final, TypeAlias, cast

import orjson

from batchinfer.domain import Result
from batchinfer.exports.export_format import FileExport
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.exports.safe_text import (
    encode_strict_json,
    escape_formula,
    escape_formula_in_json,
    escape_line_ends,
)
from batchinfer.exports.stored_text import decode_cell, encode_csv_line, encode_jsonl_line
from batchinfer.store.time_text import format_time
from batchinfer.text_format import escape_undecodable

ITEM_COLUMNS: Final = tuple(field.name for field in fields(Result))
_PREDICTION_INDEX: Final = ITEM_COLUMNS.index("prediction")
_ITEM_PARAMS_INDEX: Final = ITEM_COLUMNS.index("params")
_TIME_INDEXES: Final = tuple(map(ITEM_COLUMNS.index, ("started_at", "finished_at")))
_UNTRUSTED_ITEM_INDEXES: Final = tuple(
    map(ITEM_COLUMNS.index, ("key", "media_type", "code", "message", "path", "reused"))
)
"""Fields whose text comes from outside."""
_get_all_fields = attrgetter(*ITEM_COLUMNS)
_JSON_NULL: Final = orjson.Fragment(b"null")

ItemRow: TypeAlias = list[Any]
"""The cells of an item: `prediction` and `params` are JSON text, all text is valid UTF-8."""


class JsonlExport(FileExport):
    """One JSON object per line."""

    name = "jsonl"
    extensions = (".jsonl", ".ndjson")
    description = "a row per item"
    consumers = "jq, pandas, anything"

    def write(self, source: ExportSource, file: BinaryIO, options: ExportOptions) -> int:  # noqa: ARG002
        """See `FileExport`."""
        if source.iter_stored_rows is None:
            return _write_lines(map(encode_row, map(make_row, source.iter_results())), file.write)
        return _write_lines(map(encode_jsonl_line, source.iter_stored_rows()), file.write)


class CsvExport(FileExport):
    """A header and one line per item."""

    name = "csv"
    extensions = (".csv",)
    description = "a row per item"
    consumers = "Excel, R, anything"
    options = frozenset(("formulas", "csv_bom"))

    def write(self, source: ExportSource, file: BinaryIO, options: ExportOptions) -> int:
        """See `FileExport`."""
        text = Utf8Writer(file, bom=options.csv_bom)
        if source.iter_stored_rows is None:
            rows = map(make_row, source.iter_results())
            count = write_csv_rows(rows, text, formulas=options.formulas)
        else:
            count = write_csv_rows((), text, formulas=options.formulas)
            stored_rows = source.iter_stored_rows()
            count += text.write_lines(map(encode_csv_line, stored_rows, repeat(options.formulas)))
        text.warn_for_excel(source)
        return count


def iter_rows(source: ExportSource) -> Iterator[ItemRow]:
    """The row of each item."""
    if source.iter_stored_rows is None:
        yield from map(make_row, source.iter_results())
        return
    for cells in source.iter_stored_rows():
        row = [decode_cell(cell) if cell.__class__ is bytes else cell for cell in cells]
        if row[_PREDICTION_INDEX] == "null":
            row[_PREDICTION_INDEX] = None
        for index in _TIME_INDEXES:
            row[index] = format_time(cast("float | None", cells[index]))
        yield row


def make_row(result: Result) -> ItemRow:
    """The row of a result."""
    row = list(_get_all_fields(result))
    if row[_PREDICTION_INDEX] is not None:
        row[_PREDICTION_INDEX] = encode_strict_json(row[_PREDICTION_INDEX]).decode()
    row[_ITEM_PARAMS_INDEX] = encode_strict_json(row[_ITEM_PARAMS_INDEX]).decode()
    return _make_text_valid(row)


def encode_row(row: Sequence[Any]) -> bytes:
    """A row as a line of JSONL, with its end."""
    record = dict(zip(ITEM_COLUMNS, row, strict=True))
    prediction = row[_PREDICTION_INDEX]
    record["prediction"] = _JSON_NULL if prediction is None else orjson.Fragment(prediction)
    record["params"] = orjson.Fragment(row[_ITEM_PARAMS_INDEX])
    return escape_line_ends(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def write_csv_rows(rows: Iterable[ItemRow], text: Utf8Writer, *, formulas: bool) -> int:
    """Write a header and the rows as CSV; how many rows.

    `formulas`: leave cells as they are that a spreadsheet would take for formulas.
    """
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(ITEM_COLUMNS)
    count = 0
    for row in rows:
        table.writerow(row if formulas else _escape_row(row))
        count += 1
    return count


def _write_lines(lines: Iterable[bytes], write: Callable[[bytes], object]) -> int:
    """Write lines; how many."""
    count = 0
    for line in lines:
        write(line)
        count += 1
    return count


def _make_text_valid(row: ItemRow) -> ItemRow:
    for index in _UNTRUSTED_ITEM_INDEXES:
        if row[index]:
            row[index] = escape_undecodable(row[index])
    return row


def _escape_row(row: ItemRow) -> ItemRow:
    for index in _UNTRUSTED_ITEM_INDEXES:
        if row[index]:
            row[index] = escape_formula(row[index])
    for index in (_PREDICTION_INDEX, _ITEM_PARAMS_INDEX):
        if row[index]:
            row[index] = escape_formula_in_json(row[index])
    return row


class Utf8Writer:
    """What the csv module writes to; unlike a TextIOWrapper it never closes the file."""

    def __init__(self, file: BinaryIO, *, bom: bool = False) -> None:
        """`bom`: begin with the byte order mark by which Excel recognizes UTF-8."""
        self._file = file
        self._bom = bom
        self._first_non_ascii = ""
        if bom:
            file.write(BOM_UTF8)

    def write(self, text: str) -> None:
        """Write it as UTF-8."""
        self.write_lines([text.encode()])

    def write_lines(self, lines: Iterable[bytes]) -> int:
        """Write lines that are UTF-8 already; how many."""
        count, write = 0, self._file.write
        for line in lines:
            if not line.isascii() and not self._first_non_ascii:
                self._first_non_ascii = next(char for char in line.decode() if not char.isascii())
            write(line)
            count += 1
        return count

    def warn_for_excel(self, source: ExportSource) -> None:
        """Notify who would open the file with Excel what to do, if the text needs it."""
        char = self._first_non_ascii
        is_stream = source.scratch_folder is None
        if char and not self._bom and not is_stream:
            shown = char if char.isprintable() else ascii(char)
            source.on_notice(f"For Excel, add --csv-bom: without it, Excel shows {shown} wrong.")
