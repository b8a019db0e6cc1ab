r"""CSV manifests: the first row names the columns, every further row is an item.

Columns: `path` (the default file parameter's file), `files.<param>` (further files), `key`, and
`params.<name>` or any other name: a parameter. An empty cell is no value. A parameter's cell that
is the exact spelling of a number (`42`, `-1.5`, `1e-05`) becomes that number, everything else stays
text as it stands (`007`, `1.50`, `true`), so that the model gets what the cell says.

Columns are separated by commas, semicolons or tabs: what the first row is divided by, or what a
line `sep=;` before it says. `"` quotes, quoted cells may span lines; LF, CRLF or CR, BOM, empty
lines are accepted. Rows whose cells are all blank are ignored, and so are columns without a name
and without content: spreadsheets leave them behind.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, compress, islice
from typing import BinaryIO, Final

from batchinfer.domain import Json
from batchinfer.errors import option
from batchinfer.sources.input_files import normalize_path
from batchinfer.sources.manifest_columns import check_columns, is_known_column, parse_column_names
from batchinfer.sources.manifest_lines import (
    BATCH_ENTRIES,
    EntryBatch,
    ManifestEntry,
    ManifestMistake,
    ManifestReader,
    ReportMistake,
    batch_entries,
    iter_text_lines,
)

_CSV_NUMBER_PATTERN = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,17})?(e[+-][0-9]{1,3})?")
_NUMBER_STARTS: Final = frozenset("-0123456789")
_INT64_RANGE = range(-(1 << 63), 1 << 63)
_SEPARATORS: Final = (",", ";", "\t")
_SEPARATOR_LINE_PATTERN = re.compile(r'"?sep=([,;|\t])"?[,;\t\s]*', re.IGNORECASE)
"""What Excel reads, and writes, before the first row."""


def read_entries(
    stream: BinaryIO, file_param: str, report: ReportMistake
) -> Iterator[ManifestEntry]:
    """Every good row; `report` is called for each of the others."""
    for columns, lines, rows in _iter_rows(stream, file_param, report):
        yield from columns.parse_rows(lines, rows, report)


def read_batches(stream: BinaryIO, file_param: str, report: ReportMistake) -> Iterator[EntryBatch]:
    """The same, many at a time."""
    for columns, lines, rows in _iter_rows(stream, file_param, report):
        batch = columns.batch_rows(lines, rows)
        yield batch or batch_entries([*columns.parse_rows(lines, rows, report)])


CSV_READER: Final = ManifestReader(read_entries, read_batches)


def _iter_rows(
    stream: BinaryIO, file_param: str, report: ReportMistake
) -> Iterator[tuple[_ColumnLayout, Sequence[int], Sequence[list[str]]]]:
    """The rows behind the header, many at a time, and the lines where they begin."""
    separator, text_lines = _detect_separator(iter_text_lines(stream, report))
    reader = csv.reader(text_lines, delimiter=separator, strict=True)
    end = 0
    try:
        header = next(filter(_has_content, reader), None)
        end = reader.line_num
        if header is None:
            return
        columns = _parse_header(header, file_param)
        for rows in _iter_row_batches(reader):
            lines, end = _number_lines(rows, end + 1, reader.line_num)
            yield columns, lines, rows
    except ManifestMistake as mistake:
        report(end, str(mistake))
    except csv.Error as error:
        report(end + 1, f"broken quoting in the row that begins here ({error}); rest not read")


def _iter_row_batches(reader: Iterator[list[str]]) -> Iterator[Sequence[list[str]]]:
    """Rows, many at a time, also those before a csv.Error."""
    while True:
        rows: list[list[str]] = []
        try:
            for row in islice(reader, BATCH_ENTRIES):
                rows.append(row)  # noqa: PERF402 - an error must leave them here
        except csv.Error:
            yield rows
            raise
        if not rows:
            return
        yield rows


def _number_lines(rows: Sequence[list[str]], first: int, last: int) -> tuple[Sequence[int], int]:
    """Where rows begin that begin at line `first`, and where they end; `last` was read last."""
    if last - first + 1 == len(rows):
        return range(first, last + 1), last
    lines = []
    for row in rows:
        lines.append(first)
        first += 1 + sum(map(_count_line_ends, row))
    return lines, first - 1


def _count_line_ends(cell: str) -> int:
    return cell.count("\n") + cell.count("\r") - cell.count("\r\n")


def is_header_line(line: str) -> bool:
    """Whether a line can be the first row of a CSV manifest."""
    return any(_count_known_columns(line, separator) for separator in _SEPARATORS)


def _detect_separator(rows: Iterator[str]) -> tuple[str, Iterator[str]]:
    """What divides the columns, and all rows."""
    leading_rows: list[str] = []
    for row in rows:
        if match := _SEPARATOR_LINE_PATTERN.fullmatch(row):
            return match[1], chain(leading_rows, ["\n"], rows)  # so that lines keep their numbers
        leading_rows.append(row)
        if row.strip(" ,;\t\r\n"):
            break
    first = leading_rows[-1] if leading_rows else ""
    # The one that names most of the columns we know; of equals, the one that makes most columns.
    separator = max(
        _SEPARATORS,
        key=lambda each: (_count_known_columns(first, each), len(_split_cells(first, each))),
    )
    return separator, chain(leading_rows, rows)


def _count_known_columns(line: str, separator: str) -> int:
    return sum(map(is_known_column, _split_cells(line, separator)))


def _split_cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _has_content(row: Sequence[str]) -> bool:
    return any(cell and not cell.isspace() for cell in row)


@dataclass(frozen=True, slots=True)
class _ColumnLayout:
    """What the header says, as places in a row."""

    width: int
    unnamed: tuple[int, ...]
    """Columns that have no name, and should have no content."""
    key: int | None
    files: tuple[tuple[str, int], ...]
    params: tuple[tuple[str, int], ...]

    def batch_rows(self, lines: Sequence[int], rows: Sequence[list[str]]) -> EntryBatch | None:
        """The rows column by column; None: one of them has to be looked at by itself."""
        if not self.files or {*map(len, rows)} != {self.width}:
            return None
        columns = tuple(zip(*rows, strict=True))
        (_, first), *others = self.files
        paths: Sequence[str] = columns[first]
        if not all(paths) or any(map(str.isspace, paths)):
            return None
        if any(any(columns[at]) for at in self.unnamed):
            return None
        keys = _make_keys(paths) if self.key is None else columns[self.key]
        if not all(keys):
            return None
        path_lines = lines
        for _, at in others:
            paths = (*paths, *filter(None, columns[at]))
            path_lines = (*path_lines, *compress(lines, columns[at]))
        return EntryBatch(lines, keys, paths, path_lines)

    def parse_rows(
        self, lines: Sequence[int], rows: Sequence[list[str]], report: ReportMistake
    ) -> Iterator[ManifestEntry]:
        """The entries of rows that are not blank; `report` is called for those that are wrong."""
        for line, row in zip(lines, rows, strict=True):
            if not (text := "".join(row)) or text.isspace():  # for every row: no generator
                continue
            try:
                entry = self.parse_row(line, row)
            except ManifestMistake as mistake:
                report(line, str(mistake))
            else:
                yield entry

    def parse_row(self, line: int, row: list[str]) -> ManifestEntry:
        """Read one row. Raises ManifestMistake."""
        if len(row) != self.width:
            row = self._fit_row(row)
        for at in self.unnamed:
            if row[at] and not row[at].isspace():
                raise ManifestMistake(
                    f"column {at + 1} has no name in the first row, and holds {row[at]!r}"
                )
        files = self._get_files(row) if self.files else ()
        params = self._get_params(row) if self.params else {}
        key = row[self.key] if self.key is not None else ""
        if not key:
            if not files:
                raise ManifestMistake("neither key nor path: an item without a file needs a key")
            key = normalize_path(files[0][1])
        if not files and not params:
            raise ManifestMistake("neither file nor parameter: there is nothing to send")
        return ManifestEntry(line, key, files, params)

    def _get_files(self, row: list[str]) -> tuple[tuple[str, str], ...]:
        files: tuple[tuple[str, str], ...] = ()
        for param, at in self.files:
            if path := row[at]:
                files = (*files, (param, path))
        return files

    def _get_params(self, row: list[str]) -> dict[str, Json]:
        params: dict[str, Json] = {}
        for name, at in self.params:
            if cell := row[at]:
                params[name] = _parse_cell(cell) if cell[0] in _NUMBER_STARTS else cell
        return params

    def _fit_row(self, row: list[str]) -> list[str]:
        """The row without blank cells beyond the header, and with those that may be missing."""
        missing = range(len(row), self.width)
        if _has_content(row[self.width :]) or any(at not in self.unnamed for at in missing):
            raise ManifestMistake(f"{len(row)} cells, but the header names {self.width} columns")
        return row[: self.width] + [""] * len(missing)


def _make_keys(paths: Sequence[str]) -> Sequence[str]:
    """The keys of entries that have none: their normalized paths."""
    text = "\n".join(paths)
    if "//" in text or "./" in text or "/." in text:
        return [*map(normalize_path, paths)]
    return paths


def _parse_header(header: list[str], file_param: str) -> _ColumnLayout:
    unnamed = tuple([index for index, name in enumerate(header) if not name.strip()])
    named = [(at, name.strip()) for at, name in enumerate(header) if at not in unnamed]
    columns = parse_column_names(named, file_param)
    check_columns(header, columns, _suggest_fix(header))
    return _ColumnLayout(len(header), unnamed, columns.key, columns.files, columns.params)


def _suggest_fix(header: list[str]) -> str:
    if any(name.strip().lower() in {"path", "key"} for name in header):
        return " (write them in small letters)"
    if len(header) == 1:
        return f" (a list of paths without a first row is given with {option('files_from')})"
    return ""


@lru_cache(maxsize=1024)  # columns have few values, or cells that are no numbers
def _parse_cell(cell: str) -> Json:
    """The number, if `cell` is exactly how it is spelled; else the text."""
    if match := _CSV_NUMBER_PATTERN.fullmatch(cell):
        if match.lastindex:
            number = float(cell)
            return number if repr(number) == cell else cell
        integer = int(cell)
        return integer if str(integer) == cell and integer in _INT64_RANGE else cell
    return cell
