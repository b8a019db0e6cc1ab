"""The result of a query as a table for people, CSV, JSON or JSON lines, row by row.

A table contains no character that acts on a terminal, and no line that is wider than asked for.
"""

from __future__ import annotations

import csv
import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from types import MappingProxyType
from typing import Any, BinaryIO, Final, TypeAlias

from batchinfer.exports.item_rows import Utf8Writer
from batchinfer.exports.safe_text import encode_strict_json, escape_formula, escape_line_ends

_SAMPLED_ROWS: Final = 200
"""Rows from which the widths of a table's columns are chosen."""
_MAX_COLUMN_WIDTH: Final = 60
_MIN_COLUMN_WIDTH: Final = 8
_LARGE_NUMBER: Final = 1e6
"""From here on the digits before the decimal point matter more than those after it."""
_COLUMN_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class QueryOutputOptions:
    """How rows are to be written."""

    max_width: int = 100
    """Characters of a line of a table at most."""
    formulas: bool = False
    """As in `ExportOptions`."""
    csv_bom: bool = False
    """As in `ExportOptions`."""


QueryRows: TypeAlias = Iterable[Sequence[Any]]


def write_table(
    columns: Sequence[str], rows: QueryRows, file: BinaryIO, options: QueryOutputOptions
) -> int:
    """Columns side by side; text that is too long for its column ends in "…"."""
    remaining_rows = (tuple(map(_format_cell, row)) for row in rows)
    sampled_rows = [tuple(map(_format_cell, columns)), *islice(remaining_rows, _SAMPLED_ROWS)]
    # Further rows may have larger numbers.
    min_width = _MIN_COLUMN_WIDTH if len(sampled_rows) > _SAMPLED_ROWS else 0
    wanted = [
        max(min_width, *map(_display_width, cells)) for cells in zip(*sampled_rows, strict=True)
    ]
    widths = _allot_widths(wanted, options.max_width)
    rule = ["─" * width for width in widths]
    count = -2  # the head, and the line under it
    for cells in chain(sampled_rows[:1], [rule], sampled_rows[1:], remaining_rows):
        line = _COLUMN_GAP.join(
            _fit_cell(cell, width) for cell, width in zip(cells, widths, strict=True)
        )
        file.write(_truncate_to_width(line, options.max_width).rstrip().encode() + b"\n")
        count += 1
    return count


def write_csv(
    columns: Sequence[str], rows: QueryRows, file: BinaryIO, options: QueryOutputOptions
) -> int:
    """CSV as in exports: RFC 4180, no formulas."""
    table = csv.writer(Utf8Writer(file, bom=options.csv_bom), lineterminator="\r\n")
    count = -1
    for row in chain([columns], rows):
        cells = [_to_plain_value(cell) for cell in row]
        if not options.formulas:
            cells = [escape_formula(cell) if isinstance(cell, str) else cell for cell in cells]
        table.writerow(cells)
        count += 1
    return count


def write_json(
    columns: Sequence[str], rows: QueryRows, file: BinaryIO, _: QueryOutputOptions
) -> int:
    """One list of objects."""
    count = 0
    for text in _iter_json_objects(columns, rows):
        file.write((b",\n" if count else b"[\n") + text)
        count += 1
    file.write(b"\n]\n" if count else b"[]\n")
    return count


def write_jsonl(
    columns: Sequence[str], rows: QueryRows, file: BinaryIO, _: QueryOutputOptions
) -> int:
    """One object a line."""
    count = 0
    for text in _iter_json_objects(columns, rows):
        file.write(escape_line_ends(text) + b"\n")
        count += 1
    return count


QUERY_FORMATS: Mapping[
    str, Callable[[Sequence[str], QueryRows, BinaryIO, QueryOutputOptions], int]
] = MappingProxyType(
    {"table": write_table, "csv": write_csv, "json": write_json, "jsonl": write_jsonl}
)
"""Every format by its name; each returns how many rows it wrote."""


def _iter_json_objects(columns: Sequence[str], rows: QueryRows) -> Iterator[bytes]:
    for row in rows:
        yield encode_strict_json(dict(zip(columns, map(_to_plain_value, row), strict=True)))


def _to_plain_value(value: Any) -> Any:
    """Bytes as SQLite itself would write them, infinities as in the exports."""
    match value:
        case bytes():
            return f"x'{value.hex()}'"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case _:
            return value


def _format_cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}" if abs(value) < _LARGE_NUMBER else f"{value:.15g}"
        case bytes():
            return f"{len(value)} bytes"
        case _:
            text = str(value)[: 2 * _MAX_COLUMN_WIDTH]
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _fit_cell(cell: str, width: int) -> str:
    text = cell if _display_width(cell) <= width else f"{_truncate_to_width(cell, width - 1)}…"
    return text + " " * (width - _display_width(text))


def _truncate_to_width(text: str, width: int) -> str:
    """As much of it as fits."""
    if text.isascii():
        return text[:width]
    while (over := _display_width(text) - width) > 0:
        text = text[: -((over + 1) // 2)]
    return text


def _display_width(text: str) -> int:
    """Columns of a terminal that it needs: two for a Chinese character, none for an accent."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


@lru_cache(4096)
def _char_width(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _allot_widths(wanted: Sequence[int], total_width: int) -> list[int]:
    """The width of each column: the widest are narrowed first."""
    available, max_column_width = (
        total_width - len(_COLUMN_GAP) * (len(wanted) - 1),
        _MAX_COLUMN_WIDTH,
    )
    while (
        max_column_width > _MIN_COLUMN_WIDTH
        and sum([min(each, max_column_width) for each in wanted]) > available
    ):
        max_column_width -= 1
    return [min(each, max_column_width) for each in wanted]
