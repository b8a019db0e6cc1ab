r"""CSV manifests: the first row names the columns, every further row is an item.

Columns: `path` (the default file parameter's file), `files.<param>` (further files), `key`, and
`params.<name>` or any other name: a parameter. An empty cell is no value. A parameter's cell that
is the exact spelling of a number (`42`, `-1.5`, `1e-05`) becomes that number, everything else stays
text as it stands (`007`, `1.50`, `true`), so what arrives at the model is what the cell says.

Columns are separated by commas, semicolons or tabs: what the first row is divided by, or what a
line `sep=;` before it says. `"` quotes, quoted cells may span lines; LF, CRLF or CR, BOM, empty
lines are fine. What spreadsheets leave behind is nothing: rows whose cells are all blank, and
columns without a name and without content.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, Final

from batchinfer.domain import Json
from batchinfer.sources.entry import Entry, Mistake, Report
from batchinfer.sources.files import tidy
from batchinfer.sources.lines import texts

_NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,17})?(e[+-][0-9]{1,3})?")
_INT64 = range(-(1 << 63), 1 << 63)
_SEPARATORS: Final = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r'"?sep=([,;|\t])"?[,;\t\s]*', re.IGNORECASE)
"""What Excel reads, and writes, before the first row."""


def entries(stream: BinaryIO, file_param: str, report: Report) -> Iterator[Entry]:
    """Every good row; `report` is told of the others."""
    separator, rows = _separated(texts(stream, report))
    reader = csv.reader(rows, delimiter=separator, strict=True)
    end = 0
    try:
        header = next(filter(_is_filled, reader), None)
        end = reader.line_num
        if header is None:
            return
        columns = _columns(header, file_param)
        for row in reader:
            line, end = end + 1, reader.line_num
            if not _is_filled(row):
                continue
            try:
                entry = columns.entry(line, row)
            except Mistake as mistake:
                report(line, str(mistake))
            else:
                yield entry
    except Mistake as mistake:
        report(end, str(mistake))
    except csv.Error as error:
        report(end + 1, f"broken quoting in the row that begins here ({error}); rest not read")


def is_column(name: str) -> bool:
    """Whether a cell of the first row names a column that every manifest has one of."""
    return (name := name.strip()) in {"key", "path"} or name.startswith("files.")


def names_columns(line: str) -> bool:
    """Whether a line can be the first row of a CSV manifest."""
    return any(_named(line, separator) for separator in _SEPARATORS)


def _separated(rows: Iterator[str]) -> tuple[str, Iterator[str]]:
    """What divides the columns, and all rows."""
    before: list[str] = []
    for row in rows:
        if found := _SEPARATOR_LINE.fullmatch(row):
            return found[1], chain(before, ["\n"], rows)  # so that lines keep their numbers
        before.append(row)
        if row.strip(" ,;\t\r\n"):
            break
    first = before[-1] if before else ""
    # The one that names most of the columns we know; of equals, the one that makes most columns.
    best = max(_SEPARATORS, key=lambda each: (_named(first, each), len(_cells(first, each))))
    return best, chain(before, rows)


def _named(line: str, separator: str) -> int:
    return sum(map(is_column, _cells(line, separator)))


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _is_filled(row: Sequence[str]) -> bool:
    return any(cell and not cell.isspace() for cell in row)


@dataclass(frozen=True, slots=True)
class _Columns:
    """What the header says, as places in a row."""

    width: int
    nameless: tuple[int, ...]
    """Columns that have no name, and should have no content."""
    key: int | None
    files: tuple[tuple[str, int], ...]
    params: tuple[tuple[str, int], ...]

    def entry(self, line: int, row: list[str]) -> Entry:
        """Read one row. Raises Mistake."""
        if len(row) != self.width:
            row = self._fitted(row)
        for at in self.nameless:
            if row[at] and not row[at].isspace():
                raise Mistake(
                    f"column {at + 1} has no name in the first row, and holds {row[at]!r}"
                )
        files = tuple([(param, row[at]) for param, at in self.files if row[at]])
        params: dict[str, Json] = {}
        for name, at in self.params:
            if row[at]:
                params[name] = _value(row[at])
        key = row[self.key] if self.key is not None else ""
        if not key:
            if not files:
                raise Mistake("neither key nor path: an item without a file needs a key")
            key = tidy(files[0][1])
        if not files and not params:
            raise Mistake("neither file nor parameter: there is nothing to send")
        return Entry(line, key, files, params)

    def _fitted(self, row: list[str]) -> list[str]:
        """The row without blank cells beyond the header, and with those that may be missing."""
        missing = range(len(row), self.width)
        if _is_filled(row[self.width :]) or any(at not in self.nameless for at in missing):
            raise Mistake(f"{len(row)} cells, but the header names {self.width} columns")
        return row[: self.width] + [""] * len(missing)


def _columns(header: list[str], file_param: str) -> _Columns:
    nameless = tuple([at for at, name in enumerate(header) if not name.strip()])
    places: dict[tuple[str, str], int] = {}
    for at, name in enumerate(header):
        if at in nameless:
            continue
        meaning = _meaning(name.strip(), file_param, at + 1)
        if (first := places.setdefault(meaning, at)) != at:
            raise Mistake(f"columns {first + 1} and {at + 1} both mean {' '.join(meaning)!r}")
    files = [(name, at) for (what, name), at in places.items() if what == "file"]
    params = [(name, at) for (what, name), at in places.items() if what == "parameter"]
    files.sort(key=lambda file: file[0] != file_param)
    key = places.get(("key", ""))
    _judge(header, key, dict(files), dict(params))
    return _Columns(len(header), nameless, key, tuple(files), tuple(params))


def _meaning(name: str, file_param: str, at: int) -> tuple[str, str]:
    match name.partition("."):
        case ("key", "", _):
            return ("key", "")
        case ("path", "", _):
            return ("file", file_param)
        case ("files", ".", param) if param:
            return ("file", param)
        case ("params", ".", param) if param:
            return ("parameter", param)
        case ("files" | "params", ".", _):
            raise Mistake(f"column {at} of the header has no name ({name!r})")
        case _:
            return ("parameter", name)


def _judge(
    header: list[str], key: int | None, files: Collection[str], params: Collection[str]
) -> None:
    for name in params:
        if name in files:
            raise Mistake(
                f"{name!r} is a file parameter here, and a column of the same name gives it as a"
                " plain parameter; the column with the path is called 'path'"
            )
    if key is None and not files:
        raise Mistake(
            "the first row must name the columns, among them 'path' or 'key'; it reads"
            f" {','.join(header)[:100]!r}{_hint(header)}"
        )


def _hint(header: list[str]) -> str:
    if any(name.strip().lower() in {"path", "key"} for name in header):
        return " (write them in small letters)"
    if len(header) == 1:
        return " (a list of paths without a first row is given with --files-from)"
    return ""


def _value(cell: str) -> Json:
    """The number, if `cell` is exactly how it is spelled; else the text."""
    if found := _NUMBER.fullmatch(cell):
        if found.lastindex:
            number = float(cell)
            return number if repr(number) == cell else cell
        whole = int(cell)
        return whole if str(whole) == cell and whole in _INT64 else cell
    return cell
