r"""CSV manifests: the first row names the columns, every further row is an item.

Columns: `path` (the default file parameter's file), `files.<param>` (further files), `key`, and
`params.<name>` or any other name: a parameter. An empty cell is no value. A parameter's cell that
is the exact spelling of a number (`42`, `-1.5`, `1e-05`) becomes that number, everything else stays
text as it stands (`007`, `1.50`, `true`), so what arrives at the model is what the cell says.

Comma-separated, `"` quotes, quoted cells may span lines; LF or CRLF, BOM, empty lines are fine.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from batchinfer.domain import Json
from batchinfer.sources.entry import Entry, Mistake, Report
from batchinfer.sources.files import tidy
from batchinfer.sources.lines import texts

_NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,17})?(e[+-][0-9]{1,3})?")
_INT64 = range(-(1 << 63), 1 << 63)


def entries(stream: BinaryIO, file_param: str, report: Report) -> Iterator[Entry]:
    """Every good row; `report` is told of the others."""
    reader = csv.reader(texts(stream, report), strict=True)
    end = 0
    try:
        header = next(filter(None, reader), None)
        end = reader.line_num
        if header is None:
            return
        columns = _columns(header, file_param)
        for row in reader:
            line, end = end + 1, reader.line_num
            if len(row) != columns.width:
                if row:
                    report(line, f"{len(row)} cells, but the header names {columns.width} columns")
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


@dataclass(frozen=True, slots=True)
class _Columns:
    """What the header says, as places in a row."""

    width: int
    key: int | None
    files: tuple[tuple[str, int], ...]
    params: tuple[tuple[str, int], ...]

    def entry(self, line: int, row: list[str]) -> Entry:
        """Read one row of the right width."""
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


def _columns(header: list[str], file_param: str) -> _Columns:
    meanings = [_meaning(name.strip(), file_param, at) for at, name in enumerate(header, 1)]
    for at, meaning in enumerate(meanings):
        first = meanings.index(meaning)
        if first != at:
            raise Mistake(f"columns {first + 1} and {at + 1} both mean {' '.join(meaning)!r}")
    places = {meaning: at for at, meaning in enumerate(meanings)}
    files = [(name, at) for (what, name), at in places.items() if what == "file"]
    params = [(name, at) for (what, name), at in places.items() if what == "parameter"]
    files.sort(key=lambda file: file[0] != file_param)
    key = places.get(("key", ""))
    _judge(header, key, dict(files), dict(params))
    return _Columns(len(header), key, tuple(files), tuple(params))


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
        case ("files" | "params", ".", _) | ("", "", _):
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
        joined = ",".join(header)
        hint = " (separate columns with commas)" if ";" in joined or "\t" in joined else ""
        raise Mistake(
            "the first row must name the columns, among them 'path' or 'key'; it reads"
            f" {joined[:100]!r}{hint}"
        )


def _value(cell: str) -> Json:
    """The number, if `cell` is exactly how it is spelled; else the text."""
    if found := _NUMBER.fullmatch(cell):
        if found.lastindex:
            number = float(cell)
            return number if repr(number) == cell else cell
        whole = int(cell)
        return whole if str(whole) == cell and whole in _INT64 else cell
    return cell
