"""JSONL and CSV: one row per item, the fields of `domain.Result` in their order.

CSV is RFC 4180 in UTF-8, lines end in CR LF (as there; and a lone CR in a cell is only safe with
it). `prediction` and `params` hold JSON, None is an empty cell. Excel takes a CSV for UTF-8 only if
it begins with a mark, which most programs for data do not expect: it stands there if asked for.
"""

from __future__ import annotations

import csv
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import fields
from operator import attrgetter
from typing import Any, BinaryIO

import orjson

from batchinfer.domain import Result
from batchinfer.exports.export_source import ExportSource
from batchinfer.exports.safe_text import (
    encode_strict_json,
    escape_formula,
    escape_formula_in_json,
    escape_line_ends,
    escape_undecodable,
)

ITEM_COLUMNS = tuple(field.name for field in fields(Result))
_JSON_COLUMNS = frozenset(("prediction", "params"))
_UNTRUSTED_ITEM_INDEXES = tuple(
    map(ITEM_COLUMNS.index, ("key", "media_type", "code", "message", "path"))
)
"""Fields whose text comes from outside."""
_JSON_COLUMN_INDEXES = tuple(map(ITEM_COLUMNS.index, ("prediction", "params")))
_get_all_fields = attrgetter(*ITEM_COLUMNS)


def write_jsonl(source: ExportSource, file: BinaryIO) -> int:
    """One object a line; how many."""
    count = 0
    for result in source.iter_results():
        file.write(encode_line(result))
        count += 1
    return count


def encode_line(result: Result) -> bytes:
    """A result as a line of JSONL."""
    return escape_line_ends(_encode_row(result))


def _encode_row(result: Result) -> bytes:
    row: dict[str, Any] = {name: getattr(result, name) for name in ITEM_COLUMNS}
    for name in _JSON_COLUMNS:
        row[name] = orjson.Fragment(encode_strict_json(row[name]))
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # surrogates
        for name, value in row.items():
            row[name] = escape_undecodable(value) if isinstance(value, str) else value
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def write_csv(source: ExportSource, file: BinaryIO) -> int:
    """A header, and one row per item; how many."""
    text = Utf8Writer(file, bom=source.options.csv_bom)
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(ITEM_COLUMNS)
    count = 0
    for row in iter_rows(source):
        if not source.options.formulas:
            for index in _UNTRUSTED_ITEM_INDEXES:
                if row[index]:
                    row[index] = escape_formula(row[index])
            for index in _JSON_COLUMN_INDEXES:
                if row[index]:
                    row[index] = escape_formula_in_json(row[index])
        table.writerow(row)
        count += 1
    text.warn_for_excel(source)
    return count


def iter_rows(source: ExportSource) -> Iterator[list[Any]]:
    """The fields of each item as a table holds them: JSON as text, text as UTF-8 can hold it."""
    for result in source.iter_results():
        row = list(_get_all_fields(result))
        for index in _UNTRUSTED_ITEM_INDEXES:
            if row[index]:
                row[index] = escape_undecodable(row[index])
        for index in _JSON_COLUMN_INDEXES:
            if row[index] is not None:
                row[index] = encode_strict_json(row[index]).decode()
        yield row


class Utf8Writer:
    """What the csv module writes to; unlike a TextIOWrapper it never closes the file."""

    def __init__(self, file: BinaryIO, *, bom: bool = False) -> None:
        """`bom`: begin with the mark by which Excel knows UTF-8."""
        self._file = file
        self._bom = bom
        self._first_non_ascii = ""
        if bom:
            file.write(BOM_UTF8)

    def write(self, text: str) -> None:
        """Write it."""
        if not self._first_non_ascii and not text.isascii():
            self._first_non_ascii = next(char for char in text if not char.isascii())
        self._file.write(text.encode())

    def warn_for_excel(self, source: ExportSource) -> None:
        """Tell who would open the file with Excel what to do, if it matters."""
        if (
            self._first_non_ascii and not self._bom and source.scratch_folder is not None
        ):  # no stream
            char = (
                self._first_non_ascii
                if self._first_non_ascii.isprintable()
                else ascii(self._first_non_ascii)
            )
            source.on_notice(f"For Excel, add --csv-bom: without it, Excel shows {char} wrong.")
