"""Exports: a run's results as files and folders that people and other programs read.

Items come in input order, one at a time in memory. A file or folder is written completely or not at
all. Text from outside can neither break a format nor become a spreadsheet formula. A new format is
one class (`export_format.py` says how); the libraries that a format needs are imported when it is
used.
"""

from batchinfer.exports.export_format import (
    EXPORT_FORMATS,
    INTERPRETATION_OPTIONS,
    ExportFormat,
    FileExport,
    FolderExport,
    describe_kind,
    find_format,
    find_format_by_path,
    list_formats,
    make_format_table,
)
from batchinfer.exports.export_source import (
    FILE_NAME_STYLES,
    ExportOptions,
    ExportSource,
    FileNameStyle,
)
from batchinfer.exports.export_writer import write_export

__all__ = [
    "EXPORT_FORMATS",
    "FILE_NAME_STYLES",
    "INTERPRETATION_OPTIONS",
    "ExportFormat",
    "ExportOptions",
    "ExportSource",
    "FileExport",
    "FileNameStyle",
    "FolderExport",
    "describe_kind",
    "find_format",
    "find_format_by_path",
    "list_formats",
    "make_format_table",
    "write_export",
]
