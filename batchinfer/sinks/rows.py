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
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import harmless, harmless_json, json_text, one_line, printable

FIELDS = tuple(field.name for field in fields(Result))
_JSON_FIELDS = frozenset(("prediction", "params"))
_FOREIGN = tuple(map(FIELDS.index, ("key", "media_type", "code", "message", "path")))
"""Fields whose text comes from outside."""
_JSON = tuple(map(FIELDS.index, ("prediction", "params")))
_all = attrgetter(*FIELDS)


def write_jsonl(book: Book, file: BinaryIO) -> int:
    """One object a line; how many."""
    count = 0
    for result in book.results():
        file.write(line(result))
        count += 1
    return count


def line(result: Result) -> bytes:
    """A result as a line of JSONL."""
    return one_line(_line(result))


def _line(result: Result) -> bytes:
    row: dict[str, Any] = {name: getattr(result, name) for name in FIELDS}
    for name in _JSON_FIELDS:
        row[name] = orjson.Fragment(json_text(row[name]))
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # surrogates
        for name, value in row.items():
            row[name] = printable(value) if isinstance(value, str) else value
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def write_csv(book: Book, file: BinaryIO) -> int:
    """A header, and one row per item; how many."""
    text = Utf8(file, bom=book.options.csv_bom)
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(FIELDS)
    count = 0
    for row in rows(book):
        if not book.options.formulas:
            for at in _FOREIGN:
                if row[at]:
                    row[at] = harmless(row[at])
            for at in _JSON:
                if row[at]:
                    row[at] = harmless_json(row[at])
        table.writerow(row)
        count += 1
    text.tell_excel(book)
    return count


def rows(book: Book) -> Iterator[list[Any]]:
    """The fields of each item as a table holds them: JSON as text, text as UTF-8 can hold it."""
    for result in book.results():
        row = list(_all(result))
        for at in _FOREIGN:
            if row[at]:
                row[at] = printable(row[at])
        for at in _JSON:
            if row[at] is not None:
                row[at] = json_text(row[at]).decode()
        yield row


class Utf8:
    """What the csv module writes to; unlike a TextIOWrapper it never closes the file."""

    def __init__(self, file: BinaryIO, *, bom: bool = False) -> None:
        """`bom`: begin with the mark by which Excel knows UTF-8."""
        self._file = file
        self._bom = bom
        self._foreign = ""
        if bom:
            file.write(BOM_UTF8)

    def write(self, text: str) -> None:
        """Write it."""
        if not self._foreign and not text.isascii():
            self._foreign = next(sign for sign in text if not sign.isascii())
        self._file.write(text.encode())

    def tell_excel(self, book: Book) -> None:
        """Tell who would open the file with Excel what to do, if it matters."""
        if self._foreign and not self._bom and book.scratch is not None:  # no stream
            sign = self._foreign if self._foreign.isprintable() else ascii(self._foreign)
            book.notice(f"For Excel, add --csv-bom: without it, Excel shows {sign} wrong.")
