"""Excel workbooks as manifests: the first row that is not blank names the columns, as in CSV.

Cells keep their types: a number without fraction is an integer, dates and times become texts in ISO
8601, a formula is what Excel computed. What would be read wrongly is a mistake: a formula that was
never computed, an error such as #N/A, merged cells.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from batchinfer.domain import Json
from batchinfer.errors import SourceError
from batchinfer.sources.excel_workbook import OPENING_ERRORS, MergedRange, Sheet, open_sheet
from batchinfer.sources.input_files import normalize_path
from batchinfer.sources.manifest_columns import ColumnNames, check_columns, parse_column_names
from batchinfer.sources.manifest_lines import (
    ManifestEntry,
    ManifestMistake,
    ManifestReader,
    ReportMistake,
)

WHOLE_SHEET: Final = 0
"""The "line" of a mistake that is not one of a row."""


@dataclass(frozen=True, slots=True)
class ExcelSheet:
    """A sheet of a workbook."""

    title: str
    """Empty: the only one that is not empty."""
    displayed: str
    """The file, for people."""

    def make_reader(self) -> ManifestReader:
        """What reads it; a "line" is a row as Excel numbers it, from 1."""
        return ManifestReader(self.read_entries, open=self._open, describe_place=self.describe_row)

    def describe_row(self, name: str, row: int) -> str:
        """What a row is called in messages."""
        sheet = f", sheet {self.title!r}" if self.title and f"#{self.title}" not in name else ""
        return f"{name}{sheet}" if row == WHOLE_SHEET else f"{name}{sheet}, row {row}"

    def _open(self, path: str) -> AbstractContextManager[Sheet]:
        return open_sheet(path, self.title, self.displayed)

    def read_entries(
        self, sheet: Sheet, file_param: str, report: ReportMistake
    ) -> Iterator[ManifestEntry]:
        """Every good row; `report` is called for each of the others."""
        row = WHOLE_SHEET
        rows: _Rows | None = None
        for row, cells, formulas in _iter_rows(sheet):
            if not any(_has_content(cell) for cell in (*cells, *formulas)):
                continue
            try:
                if rows is None:
                    rows = _Rows.from_header(cells, row, file_param, sheet.merged_ranges)
                    continue
                entry = rows.parse(row, cells, formulas)
            except ManifestMistake as mistake:
                report(row, str(mistake))
                if rows is None:
                    return
            else:
                yield entry


def _iter_rows(sheet: Sheet) -> Iterator[tuple[int, Sequence[Any], Sequence[Any]]]:
    """The number of each row, its cells, and, where there are any, the cells with formulas."""
    formula_rows = iter(()) if sheet.formulas is None else sheet.formulas.iter_rows()
    try:
        numbered = enumerate(zip_longest(sheet.rows.iter_rows(), formula_rows, fillvalue=()), 1)
        for row, (cells, formulas) in numbered:
            yield row, cells, formulas
    except OPENING_ERRORS as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise SourceError(f"The sheet {sheet.title!r} is damaged: {reason}.") from error


def _has_content(cell: Any) -> bool:
    value = cell.value
    return value is not None and not (isinstance(value, str) and not value.strip())


@dataclass(frozen=True, slots=True)
class _Rows:
    """What the header says, as places in a row."""

    names: Mapping[int, str]
    """Of the columns that have one."""
    columns: ColumnNames
    merged_ranges: tuple[MergedRange, ...]
    """Those that reach into rows of items."""

    @classmethod
    def from_header(
        cls,
        cells: Sequence[Any],
        row: int,
        file_param: str,
        merged_ranges: Sequence[MergedRange],
    ) -> _Rows:
        """From the first row. Raises ManifestMistake."""
        names = {at: str(cell.value).strip() for at, cell in enumerate(cells) if _has_content(cell)}
        columns = parse_column_names(names.items(), file_param)
        hint = ""
        if any(name.lower() in {"path", "key"} for name in names.values()):
            hint = " (write them in small letters)"
        check_columns(list(names.values()), columns, hint)
        merged = tuple([each for each in merged_ranges if each.last_row > row])
        return cls(names, columns, merged)

    def parse(self, row: int, cells: Sequence[Any], formulas: Sequence[Any]) -> ManifestEntry:
        """Read one row. Raises ManifestMistake."""
        self._check_cells(row, cells, formulas)
        values = [cell.value for cell in cells]
        files = tuple(
            [
                (param, path)
                for param, at in self.columns.files
                if (path := _get_text(values, at, self.names[at], row)) is not None
            ]
        )
        params = {
            param: _to_json(cells[at], row)
            for param, at in self.columns.params
            if at < len(cells) and values[at] is not None and values[at] != ""
        }
        key = self._get_key(values, row) or (normalize_path(files[0][1]) if files else None)
        if key is None:
            raise ManifestMistake("neither key nor path: an item without a file needs a key")
        if not files and not params:
            raise ManifestMistake("neither file nor parameter: there is nothing to send")
        return ManifestEntry(row, key, files, params)

    def _get_key(self, values: Sequence[Any], row: int) -> str | None:
        at = self.columns.key
        if at is None or at >= len(values):
            return None
        value = _to_integer(values[at])
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return _get_text(values, at, "key", row)

    def _check_cells(self, row: int, cells: Sequence[Any], formulas: Sequence[Any]) -> None:
        for merged in self.merged_ranges:
            if merged.first_row <= row <= merged.last_row and any(
                merged.first_column <= at + 1 <= merged.last_column for at in self.names
            ):
                raise ManifestMistake(
                    f"the cells {merged.name} are merged: unmerge them, and fill each of them"
                )
        for at, cell in enumerate(cells):
            if at not in self.names:
                if _has_content(cell):
                    raise ManifestMistake(
                        f"{_name_cell(at, row)} holds {cell.value!r}, and its column has no name "
                        "in the first row"
                    )
            elif cell.value is not None and cell.data_type == "e":
                raise ManifestMistake(f"{_name_cell(at, row)} is the error {cell.value}")
        for at, cell in enumerate(formulas):
            computed = cells[at].value if at < len(cells) else None
            if at in self.names and cell.data_type == "f" and computed is None:
                raise ManifestMistake(
                    f"{_name_cell(at, row)} holds a formula that was never computed: open the "
                    "workbook in Excel or LibreOffice, and save it"
                )


def _get_text(values: Sequence[Any], at: int, name: str, row: int) -> str | None:
    """The text of a cell; None: it is blank. Raises ManifestMistake."""
    value = values[at] if at < len(values) else None
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ManifestMistake(
            f"{_name_cell(at, row)} holds {value}, and {name!r} must be text: format the column as "
            "Text, and type it again"
        )
    return value


def _to_integer(value: Any) -> Any:
    """A number without a fraction as an integer: Excel knows one kind of number."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53
    return int(value) if is_whole else value


def _to_json(cell: Any, row: int) -> Json:
    value = _to_integer(cell.value)
    match value:
        case float() if not math.isfinite(value):
            pass
        case bool() | int() | float() | str():
            return value
        case dt.datetime() if value.time() == dt.time() and not _shows_time(cell):
            return value.date().isoformat()
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case _:
            pass
    raise ManifestMistake(
        f"{_name_cell(cell.column - 1, row)} holds {value}, which no parameter can be: make it a "
        "number or a text"
    )


def _shows_time(cell: Any) -> bool:
    return "h" in str(cell.number_format).lower()


def _name_cell(at: int, row: int) -> str:
    """A cell as Excel names it: "B7"."""
    letters, number = "", at + 1
    while number:
        number, digit = divmod(number - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return f"{letters}{row}"
