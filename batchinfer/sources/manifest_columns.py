"""What the columns of a manifest mean, by their names: of CSV, of workbooks, of tables.

`path` (the default file parameter's file), `files.<param>` (further files), `key`, and
`params.<name>` or any other name: a parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from batchinfer.sources.manifest_lines import ManifestMistake

_MAX_SHOWN_CHARS = 100


class ColumnNames(NamedTuple):
    """Which column is what; each is named by its place in a row."""

    key: int | None
    files: tuple[tuple[str, int], ...]
    """(parameter, place); the default file parameter's first."""
    params: tuple[tuple[str, int], ...]


def is_known_column(name: str) -> bool:
    """Whether a name is that of a column that every manifest has one of."""
    return (name := name.strip()) in {"key", "path"} or name.startswith("files.")


def parse_column_names(named_columns: Iterable[tuple[int, str]], file_param: str) -> ColumnNames:
    """What columns mean, given as (place, name). Raises ManifestMistake."""
    index_by_target: dict[tuple[str, str], int] = {}
    for at, name in named_columns:
        target = parse_column_name(name, file_param, at + 1)
        if (first := index_by_target.setdefault(target, at)) != at:
            raise ManifestMistake(
                f"columns {first + 1} and {at + 1} both mean {' '.join(target)!r}"
            )
    files = [(name, at) for (kind, name), at in index_by_target.items() if kind == "file"]
    params = [(name, at) for (kind, name), at in index_by_target.items() if kind == "parameter"]
    files.sort(key=lambda file: file[0] != file_param)
    return ColumnNames(index_by_target.get(("key", "")), tuple(files), tuple(params))


def parse_column_name(name: str, file_param: str, number: int) -> tuple[str, str]:
    """Of a column its kind ("key", "file", "parameter") and the parameter that it is for.

    `number`: of the column, from 1, for messages. Raises ManifestMistake.
    """
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
            raise ManifestMistake(f"column {number} of the header has no name ({name!r})")
        case _:
            return ("parameter", name)


def check_columns(header: Sequence[str], columns: ColumnNames, advice: str) -> None:
    """Raise ManifestMistake when a parameter is given twice, or neither key nor path is."""
    files = dict(columns.files)
    for name, _ in columns.params:
        if name in files:
            raise ManifestMistake(
                f"{name!r} is a file parameter here, and a column of the same name gives it as a "
                "plain parameter; the column with the path is called 'path'"
            )
    if columns.key is None and not files:
        raise ManifestMistake(
            "the first row must name the columns, among them 'path' or 'key'; it reads "
            f"{','.join(header)[:_MAX_SHOWN_CHARS]!r}{advice}"
        )
