"""Names of the cells of tables: `table:///data/t.parquet#column=image&row=17&name=cat.jpg`.

Rows count from 0, as in pandas and polars. `name` is what the table calls the file in the cell, if
it does; it stands last, so that its ending is that of the URI.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote

SCHEME: Final = "table"
_PREFIX: Final = f"{SCHEME}://"
_PATH_PATTERN: Final = re.compile(r"[%#\x00-\x1f\x7f\ud800-\udfff]")
_FIELD_PATTERN: Final = re.compile(r"[%#&/?\x00-\x1f\x7f\ud800-\udfff]")
_CELL_PATTERN: Final = re.compile(r"column=([^&]+)&row=(\d{1,18})(?:&name=(.+))?")


class Cell(NamedTuple):
    """A cell of a table that holds a file."""

    path: str
    """Of the table; absolute."""
    column: str
    row: int
    """From 0."""
    name: str = ""
    """What the table calls the file; empty: nothing."""

    def __str__(self) -> str:
        """For people."""
        return f"{self.path}, row {self.row}, column {self.column!r}"


def make_cell_prefix(path: str, column: str) -> str:
    """What the URIs of all cells of a column begin with; the row follows."""
    return f"{_PREFIX}{_quote(_PATH_PATTERN, path)}#column={_quote(_FIELD_PATTERN, column)}&row="


def make_cell_suffix(name: str) -> str:
    """What follows the row in the URI of a cell whose file has a name."""
    return f"&name={_quote(_FIELD_PATTERN, name.rpartition('/')[2])}" if name else ""


def make_cell_uri(cell: Cell) -> str:
    """The URI of a cell."""
    return f"{make_cell_prefix(cell.path, cell.column)}{cell.row}{make_cell_suffix(cell.name)}"


def parse_cell_uri(uri: str) -> Cell:
    """The cell that a URI names. Raises FileNotFoundError when it names none."""
    path, _, rest = uri[len(_PREFIX) :].partition("#")
    if not uri.lower().startswith(_PREFIX) or (match := _CELL_PATTERN.fullmatch(rest)) is None:
        raise FileNotFoundError(uri)
    return Cell(
        _unquote(path), _unquote(match[1]), int(match[2]), _unquote(match[3]) if match[3] else ""
    )


def parse_table_uri(uri: str) -> str:
    """The path of the table that a URI without a cell names. Raises FileNotFoundError."""
    path, _, rest = uri[len(_PREFIX) :].partition("#")
    if not uri.lower().startswith(_PREFIX) or rest or not path.startswith("/"):
        raise FileNotFoundError(uri)
    return _unquote(path)


def _quote(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape")),
        text,
    )


def _unquote(text: str) -> str:
    return unquote(text, errors="surrogateescape")
