"""Opens sources by their format: manifests, tables, workbooks, data sets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from batchinfer.errors import SourceError
from batchinfer.ports import Notice
from batchinfer.sources.duplicate_keys import KeyBatch, find_duplicate_keys
from batchinfer.sources.manifest import TEXT_READERS, ManifestSource
from batchinfer.sources.manifest_lines import ManifestMistake, ManifestReader
from batchinfer.sources.own_files import OwnFiles
from batchinfer.sources.source_formats import split_mark, split_sheet
from batchinfer.text_format import escape_undecodable

if TYPE_CHECKING:
    from batchinfer.sources.table_manifest import TablePart, TableRows


@dataclass(frozen=True, slots=True)
class FormatOpener:
    """Opens sources whose format is known."""

    file_param: str
    own_files: OwnFiles
    find_path: Callable[[str], str]
    """A path as the disk spells it. Raises SourceError when nothing is there."""

    def open(self, source_format: str, given: str) -> tuple[str, ManifestSource]:
        """What reads a source, and its spec. Raises SourceError, ConfigError."""
        spec, source = _OPENERS[source_format](self, given)
        return f"{source_format}:{spec}", source

    def open_detected(self, source_format: str, given: str) -> tuple[str, ManifestSource]:
        """The same of a source whose name tells its format."""
        if source_format in {"parquet", "arrow"} and self._is_dataset_table(given):
            return self.open("hf", given)
        return _OPENERS[source_format](self, given)

    def make_manifest(
        self, given: str, reader: ManifestReader, *, base_folder: str | None = None
    ) -> ManifestSource:
        """A manifest that is called as it was typed."""
        path = os.path.abspath(given)  # noqa: PTH100 - not resolve(): links are kept as typed
        folder = os.path.dirname(path) if base_folder is None else base_folder  # noqa: PTH120
        return ManifestSource(escape_undecodable(given), path, folder, self.file_param, reader)

    def _is_dataset_table(self, given: str) -> bool:
        from batchinfer.inputs.table_files import open_table  # noqa: PLC0415
        from batchinfer.sources.hf_dataset import explain_table_error, has_file_features  # noqa: PLC0415

        path = self.find_path(given)
        try:
            with open_table(path) as table:
                return has_file_features(table.schema)
        except OSError as error:
            raise explain_table_error(given, error) from error

    def open_text(self, given: str, source_format: str) -> tuple[str, ManifestSource]:
        """A CSV, or JSON lines."""
        source = self.make_manifest(self.find_path(given), TEXT_READERS[source_format])
        return source.path, source

    def open_table(self, given: str) -> tuple[str, ManifestSource]:
        """A Parquet or Arrow table as a manifest."""
        from batchinfer.sources.table_manifest import TableRows  # noqa: PLC0415

        path = os.path.abspath(self.find_path(given))  # noqa: PTH100
        return self._open_rows(TableRows((_open_part(path, given),)), given, path)

    def open_dataset(self, given: str) -> tuple[str, ManifestSource]:
        """A folder that is a data set, or one table of it."""
        from batchinfer.sources.hf_dataset import find_dataset_tables  # noqa: PLC0415
        from batchinfer.sources.table_manifest import TableRows  # noqa: PLC0415

        path = os.path.abspath(self.find_path(given))  # noqa: PTH100
        is_folder = os.path.isdir(path)  # noqa: PTH112
        parts = find_dataset_tables(path) if is_folder else (_open_part(path, given),)
        return self._open_rows(TableRows(parts, is_dataset=True), given, path)

    def _open_rows(self, rows: TableRows, given: str, path: str) -> tuple[str, ManifestSource]:
        from batchinfer.inputs.table_errors import TableError  # noqa: PLC0415

        notices = list(_describe_ignored(rows, self.file_param))
        try:
            repeated = _find_repeated_name(rows, self.file_param)
        except TableError as error:
            raise SourceError(f"{escape_undecodable(given)}: {error}.") from error
        if repeated is not None:
            rows = replace(rows, has_unique_names=False)
            notices.append(
                Notice(
                    "named_by_row",
                    f"In {escape_undecodable(given)} several files are called {repeated}: items "
                    "are called by their rows, as table#row.",
                )
            )
        folder = path if os.path.isdir(path) else None  # noqa: PTH112
        source = self.make_manifest(given, rows.make_reader(), base_folder=folder)
        return path, replace(source, path=path, notices=tuple(notices))

    def open_workbook(self, given: str) -> tuple[str, ManifestSource]:
        """A sheet of an Excel workbook."""
        from batchinfer.sources.excel_manifest import ExcelSheet  # noqa: PLC0415

        path, title = split_sheet(given)
        found = self.find_path(path)
        sheet = ExcelSheet(title, escape_undecodable(path))
        source = self.make_manifest(found, sheet.make_reader())
        named = replace(source, name=escape_undecodable(given))
        return f"{source.path}#{title}" if title else source.path, named

    def open_coco(self, given: str) -> tuple[str, ManifestSource]:
        """A COCO annotation file; behind `#` the folder of its pictures."""
        from batchinfer.sources.coco_dataset import find_images_folder, make_coco_reader  # noqa: PLC0415

        path, mark = split_mark(given, "coco")
        folder = mark.removeprefix("#")
        found = os.path.abspath(self.find_path(path))  # noqa: PTH100
        base = find_images_folder(found, folder)
        source = self.make_manifest(path, make_coco_reader(), base_folder=base)
        spec = f"{found}#{os.path.abspath(base)}" if folder else found  # noqa: PTH100
        return spec, replace(source, path=found)

    def open_yolo(self, given: str) -> tuple[str, ManifestSource]:
        """A YOLO data set by its `data.yaml`, or the folder that has one."""
        from batchinfer.sources.yolo_dataset import open_yolo_dataset  # noqa: PLC0415

        dataset = open_yolo_dataset(os.path.abspath(self.find_path(given)), self.own_files)  # noqa: PTH100
        source = self.make_manifest(given, dataset.make_reader(), base_folder=dataset.root)
        return dataset.path, replace(source, path=dataset.path)


_OPENERS: Final[Mapping[str, Callable[[FormatOpener, str], tuple[str, ManifestSource]]]] = {
    "csv": lambda opener, given: opener.open_text(given, "csv"),
    "jsonl": lambda opener, given: opener.open_text(given, "jsonl"),
    "parquet": FormatOpener.open_table,
    "arrow": FormatOpener.open_table,
    "xlsx": FormatOpener.open_workbook,
    "coco": FormatOpener.open_coco,
    "yolo": FormatOpener.open_yolo,
    "hf": FormatOpener.open_dataset,
}


def find_dataset_format(folder: str) -> str | None:
    """The format of a folder that is surely a data set; None: it is a folder of files."""
    from batchinfer.sources.hf_dataset import is_saved_dataset  # noqa: PLC0415

    return "hf" if is_saved_dataset(folder) else None


def _open_part(path: str, given: str) -> TablePart:
    from batchinfer.inputs.table_files import open_table  # noqa: PLC0415
    from batchinfer.sources.hf_dataset import explain_table_error  # noqa: PLC0415
    from batchinfer.sources.table_manifest import TablePart  # noqa: PLC0415

    try:
        with open_table(path) as table:
            return TablePart(path, os.path.basename(path), table.row_count)  # noqa: PTH119
    except OSError as error:
        raise explain_table_error(given, error) from error


def _describe_ignored(rows: TableRows, file_param: str) -> Iterator[Notice]:
    from batchinfer.inputs.table_files import open_table  # noqa: PLC0415
    from batchinfer.sources.table_columns import describe_ignored, find_table_columns  # noqa: PLC0415

    if not rows.is_dataset:
        return
    with open_table(rows.parts[0].path) as table:
        try:
            columns = find_table_columns(table.schema, file_param, is_dataset=True)
        except ManifestMistake:  # said when the rows are read
            return
    if columns.ignored:
        yield Notice("columns_ignored", describe_ignored(columns.ignored))


def _find_repeated_name(rows: TableRows, file_param: str) -> str | None:
    """A name that two files in the tables have; None: all names differ. Raises OSError."""
    from batchinfer.sources.table_manifest import iter_names  # noqa: PLC0415

    def iter_keys() -> Iterator[KeyBatch]:
        first = 0
        for names in iter_names(rows.parts, file_param, is_dataset=rows.is_dataset):
            yield KeyBatch(0, range(first, first + len(names)), names)
            first += len(names)

    count = sum(part.row_count for part in rows.parts)
    return next((key for key, _, _ in find_duplicate_keys(iter_keys, count)), None)
