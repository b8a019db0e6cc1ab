"""Parquet and Arrow manifests, and data sets of several such tables.

Every row is an item. A null is no value; but each row has a file, if the table has a column of
them. Rows count from 0, as in pandas and polars. The table is read in batches of bounded size, and
of files that are in it nothing but their names.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from batchinfer.domain import Json
from batchinfer.inputs.table_errors import TableError
from batchinfer.inputs.table_files import Table, open_table
from batchinfer.inputs.table_uris import make_cell_prefix, make_cell_suffix
from batchinfer.sources.input_files import normalize_path
from batchinfer.sources.manifest_lines import (
    ManifestEntry,
    ManifestMistake,
    ManifestReader,
    ReportMistake,
)
from batchinfer.sources.table_columns import (
    FileColumn,
    ParamColumn,
    TableColumns,
    find_table_columns,
)

WHOLE_TABLE: Final = -1
"""The "line" of a mistake that is not one of a row."""
_CHUNK_ROWS: Final = 4_096


class _Unreadable(NamedTuple):
    """Stands for a value that could not be read."""

    reason: str


class TablePart(NamedTuple):
    """One table of a manifest."""

    path: str
    """Absolute."""
    name: str
    """For people, and in the keys of rows without a name."""
    row_count: int
    split: str = ""
    """What keys begin with; of a data set "train", say."""


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of one or several tables, one after the other. Rows of all have one numbering."""

    parts: tuple[TablePart, ...]
    is_dataset: bool = False
    """Only columns that have a meaning here are read; no other is a parameter."""
    has_unique_names: bool = True
    """Whether the names of files in the table can be keys."""

    def make_reader(self) -> ManifestReader:
        """What reads them."""
        return ManifestReader(
            self.read_entries,
            open=_open_nothing,
            describe_place=self.describe_row,
            estimate_max_entries=lambda _: sum(part.row_count for part in self.parts),
        )

    def describe_row(self, name: str, row: int) -> str:
        """What a row is called in messages."""
        if row == WHOLE_TABLE:
            return name
        if len(self.parts) == 1:
            return f"{name}, row {row}"
        starts = [0]
        for part in self.parts[:-1]:
            starts.append(starts[-1] + part.row_count)
        index = bisect_right(starts, row) - 1
        return f"{self.parts[index].name}, row {row - starts[index]}"

    def read_entries(
        self, _opened: object, file_param: str, report: ReportMistake
    ) -> Iterator[ManifestEntry]:
        """Every good row; `report` is called for each of the others."""
        first_row = 0
        for part in self.parts:
            try:
                with open_table(part.path) as table:
                    yield from self._read_table(table, part, first_row, file_param, report)
            except TableError as error:
                raise TableError(f"{part.name}: {error}") from error
            first_row += part.row_count

    def _read_table(
        self, table: Table, part: TablePart, first: int, file_param: str, report: ReportMistake
    ) -> Iterator[ManifestEntry]:
        try:
            columns = find_table_columns(table.schema, file_param, is_dataset=self.is_dataset)
        except ManifestMistake as mistake:
            where = f"{part.name}: " if len(self.parts) > 1 else ""
            report(WHOLE_TABLE, f"{where}{mistake}")
            return
        maker = _EntryMaker(part, columns, first, has_unique_names=self.has_unique_names)
        with closing(_iter_chunks(table, columns)) as chunks:
            for chunk in chunks:
                yield from maker.make_entries(chunk, report)


def iter_names(
    parts: Iterable[TablePart], file_param: str, *, is_dataset: bool
) -> Iterator[Sequence[str]]:
    """What keys the names of files would be that are in tables, many at a time; of those without
    a name none. Raises OSError, TableError.
    """  # noqa: D205 - one thought
    for part in parts:
        with open_table(part.path) as table:
            try:
                columns = find_table_columns(table.schema, file_param, is_dataset=is_dataset)
            except ManifestMistake:  # said when the rows are read
                continue
            if columns.key is not None or not columns.files:
                continue
            if (leaf := columns.files[0].names) is None:
                continue
            with closing(table.iter_batches([leaf])) as batches:
                for batch in batches:
                    names = filter(None, _to_list(batch.columns[0]))
                    yield [make_name_key(part.split, name) for name in names if _is_text(name)]


def make_name_key(split: str, name: str) -> str:
    """The key of a file that is in a table under a name. Of an absolute one the last part."""
    is_elsewhere = name.startswith("/") or "://" in name
    key = name.rpartition("/")[2] if is_elsewhere else normalize_path(name)
    return f"{split}/{key}" if split else key


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some rows, column by column."""

    first_row: int
    """In its table."""
    row_count: int
    values: Mapping[str, Sequence[Any]]
    """By what was read: a column, the names of its files."""
    null_flags: Mapping[str, Sequence[bool]]
    """Of contents: which are null; missing: none."""


class _EntryMaker:
    """Makes the entries of one table."""

    def __init__(
        self, part: TablePart, columns: TableColumns, first: int, *, has_unique_names: bool
    ) -> None:
        self._part = part
        self._columns = columns
        self._first = first
        self._has_unique_names = has_unique_names
        self._prefixes = {
            file.column: make_cell_prefix(part.path, file.column) for file in columns.files
        }

    def make_entries(self, chunk: _Chunk, report: ReportMistake) -> Iterator[ManifestEntry]:
        """The entries of some rows; `report` is called for those that are wrong."""
        for index in range(chunk.row_count):
            try:
                entry = self._make_entry(chunk, index)
            except ManifestMistake as mistake:
                report(self._first + chunk.first_row + index, str(mistake))
            else:
                yield entry

    def _make_entry(self, chunk: _Chunk, index: int) -> ManifestEntry:
        files: list[tuple[str, str]] = []
        for column in self._columns.files:
            if (path := self._get_path(chunk, index, column)) is not None:
                files.append((column.param, path))
            elif not files and column is self._columns.files[0]:
                raise ManifestMistake(f"column {column.column!r} is null: the row has no file")
        params = {
            each.param: _convert(each, value)
            for each in self._columns.params
            if (value := chunk.values[each.column][index]) is not None
        }
        key = self._get_key(chunk, index, files)
        if not files and not params:
            raise ManifestMistake("neither file nor parameter: there is nothing to send")
        row = self._first + chunk.first_row + index
        return ManifestEntry(row, key, tuple(files), params)

    def _get_path(self, chunk: _Chunk, index: int, column: FileColumn) -> str | None:
        if column.content is None:
            return _check_text(chunk.values[column.column][index], column.column)
        name = None if column.names is None else chunk.values[column.names][index]
        name = _check_text(name, f"{column.column}.path") if name else None
        nulls = chunk.null_flags.get(column.content)
        if nulls is not None and nulls[index]:
            return name  # then the table says where the file is, and does not hold it
        row = chunk.first_row + index
        return f"{self._prefixes[column.column]}{row}{make_cell_suffix(name or '')}"

    def _get_key(self, chunk: _Chunk, index: int, files: Sequence[tuple[str, str]]) -> str:
        if self._columns.key is not None:
            value = chunk.values[self._columns.key][index]
            key = str(value) if isinstance(value, int) else _check_text(value, "key")
            if key is not None:
                return key
        if not files:
            raise ManifestMistake("neither key nor path: an item without a file needs a key")
        column = self._columns.files[0]
        if column.content is None:
            return (
                make_name_key(self._part.split, files[0][1])
                if self._part.split
                else (normalize_path(files[0][1]))
            )
        name = chunk.values[column.names][index] if column.names is not None else None
        if name and self._has_unique_names:
            return make_name_key(self._part.split, name)
        return f"{self._part.name}#{chunk.first_row + index}"


def _convert(column: ParamColumn, value: Any) -> Json:
    if isinstance(value, _Unreadable):
        raise ManifestMistake(f"column {column.column!r} {value.reason}")
    try:
        return column.convert(value)
    except ManifestMistake as mistake:
        raise ManifestMistake(f"column {column.column!r} {mistake}") from None


def _check_text(value: Any, column: str) -> str | None:
    """The text of a key or a path; None: there is none. Raises ManifestMistake."""
    if value is None:
        return None
    if isinstance(value, _Unreadable):
        raise ManifestMistake(f"column {column!r} {value.reason}")
    if not value or "\0" in value:
        raise ManifestMistake(f"column {column!r} is {'empty' if not value else 'no name: a NUL'}")
    text: str = value
    return text


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _iter_chunks(table: Table, columns: TableColumns) -> Generator[_Chunk]:
    wanted = [columns.key] if columns.key is not None else []
    wanted += [file.column for file in columns.files if file.content is None]
    wanted += [file.names for file in columns.files if file.names is not None]
    wanted += [param.column for param in columns.params]
    contents = [
        file.content
        for file in columns.files
        if file.content is not None and table.has_nulls(file.content) is not False
    ]
    if not wanted and not contents:
        for first in range(0, table.row_count, _CHUNK_ROWS):
            yield _Chunk(first, min(_CHUNK_ROWS, table.row_count - first), {}, {})
        return
    with closing(table.iter_batches([*wanted, *contents])) as batches:
        for batch in batches:
            values = zip(wanted, batch.columns, strict=False)
            nulls = zip(contents, batch.columns[len(wanted) :], strict=True)
            yield _Chunk(
                batch.first_row,
                len(batch.columns[0]),
                {name: _to_list(column) for name, column in values},
                {name: column.is_null().to_pylist() for name, column in nulls},
            )


def _to_list(column: Any) -> Sequence[Any]:
    """The values of a column; of those that cannot be read, why."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError, IndexError):
        return [_read_value(cell) for cell in column]
    return values


def _read_value(cell: Any) -> Any:
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        return _Unreadable("is not UTF-8")
    except (ValueError, OverflowError, IndexError) as error:
        return _Unreadable(f"cannot be read ({str(error).splitlines()[0]})")


def _open_nothing(_path: str) -> AbstractContextManager[None]:
    return nullcontext()


def name_table(path: str) -> str:
    """What the rows of a table that stands alone are called by."""
    return posixpath.basename(path)
