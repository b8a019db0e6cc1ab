"""What a query answers: a table for people, CSV, JSON, JSON lines. Row by row, memory flat.

Nothing that acts on a terminal is in a table, and no line of it is wider than was asked for.
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

from batchinfer.sinks.cells import harmless, json_text, one_line
from batchinfer.sinks.rows import Utf8

_LOOKED_AT: Final = 200
"""Rows that tell how wide the columns of a table are."""
_WIDEST: Final = 60
_NARROWEST: Final = 8
_LARGE: Final = 1e6
"""From here on digits before the point matter more than those behind it."""
_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Look:
    """How rows are to be written."""

    width: int = 100
    """Signs that a line of a table has at most."""
    formulas: bool = False
    """As in `Options`."""
    csv_bom: bool = False
    """As in `Options`."""


Rows: TypeAlias = Iterable[Sequence[Any]]


def write_table(columns: Sequence[str], rows: Rows, file: BinaryIO, look: Look) -> int:
    """Columns beside each other; what is too long for its column ends in "…"."""
    told = (tuple(map(_shown, row)) for row in rows)
    first = [tuple(map(_shown, columns)), *islice(told, _LOOKED_AT)]
    # Further rows may have larger numbers.
    least = _NARROWEST if len(first) > _LOOKED_AT else 0
    wanted = [max(least, *map(_width, cells)) for cells in zip(*first, strict=True)]
    widths = _widths(wanted, look.width)
    rule = ["─" * width for width in widths]
    count = -2  # the head, and the line under it
    for cells in chain(first[:1], [rule], first[1:], told):
        shown = _GAP.join(_fitted(cell, width) for cell, width in zip(cells, widths, strict=True))
        file.write(_cut(shown, look.width).rstrip().encode() + b"\n")
        count += 1
    return count


def write_csv(columns: Sequence[str], rows: Rows, file: BinaryIO, look: Look) -> int:
    """As the exports' CSV: RFC 4180, no formulas."""
    table = csv.writer(Utf8(file, bom=look.csv_bom), lineterminator="\r\n")
    count = -1
    for row in chain([columns], rows):
        cells = [_plain(cell) for cell in row]
        if not look.formulas:
            cells = [harmless(cell) if isinstance(cell, str) else cell for cell in cells]
        table.writerow(cells)
        count += 1
    return count


def write_json(columns: Sequence[str], rows: Rows, file: BinaryIO, _: Look) -> int:
    """One list of objects."""
    count = 0
    for text in _objects(columns, rows):
        file.write((b",\n" if count else b"[\n") + text)
        count += 1
    file.write(b"\n]\n" if count else b"[]\n")
    return count


def write_jsonl(columns: Sequence[str], rows: Rows, file: BinaryIO, _: Look) -> int:
    """One object a line."""
    count = 0
    for text in _objects(columns, rows):
        file.write(one_line(text) + b"\n")
        count += 1
    return count


FORMATS: Mapping[str, Callable[[Sequence[str], Rows, BinaryIO, Look], int]] = MappingProxyType(
    {"table": write_table, "csv": write_csv, "json": write_json, "jsonl": write_jsonl}
)
"""Every format by its name; each returns how many rows it wrote."""


def _objects(columns: Sequence[str], rows: Rows) -> Iterator[bytes]:
    for row in rows:
        yield json_text(dict(zip(columns, map(_plain, row), strict=True)))


def _plain(value: Any) -> Any:
    """Bytes as SQLite itself would write them, infinities as in the exports."""
    match value:
        case bytes():
            return f"x'{value.hex()}'"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case _:
            return value


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}" if abs(value) < _LARGE else f"{value:.15g}"
        case bytes():
            return f"{len(value)} bytes"
        case _:
            text = str(value)[: 2 * _WIDEST]
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def _fitted(cell: str, width: int) -> str:
    shown = cell if _width(cell) <= width else f"{_cut(cell, width - 1)}…"
    return shown + " " * (width - _width(shown))


def _cut(text: str, width: int) -> str:
    """As much of it as fits."""
    if text.isascii():
        return text[:width]
    while (over := _width(text) - width) > 0:
        text = text[: -((over + 1) // 2)]
    return text


def _width(text: str) -> int:
    """Places that it takes on a terminal: two for a sign of Chinese, none for an accent."""
    return len(text) if text.isascii() else sum(map(_places, text))


@lru_cache(4096)
def _places(sign: str) -> int:
    if unicodedata.category(sign) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def _widths(wanted: Sequence[int], whole: int) -> list[int]:
    """What each column gets: the widest give way first."""
    room, most = whole - len(_GAP) * (len(wanted) - 1), _WIDEST
    while most > _NARROWEST and sum([min(each, most) for each in wanted]) > room:
        most -= 1
    return [min(each, most) for each in wanted]
