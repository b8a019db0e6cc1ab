"""The formats of sources that list what is sent, and which a name alone tells.

A format may stand before the path in a spec, as `files-from:` does: `coco:annotations.json`. A run
keeps it so, and reads its source in the same way when it goes on, whatever is there by then.
"""

from __future__ import annotations

import os
from typing import Final

SOURCE_FORMATS: Final = ("csv", "jsonl", "parquet", "arrow", "xlsx", "coco", "yolo", "hf")
AUTO_FORMAT: Final = "auto"
"""By the name of a source, and by what is in it."""
FORMAT_PREFIXES: Final = tuple(f"{name}:" for name in SOURCE_FORMATS)
"""Before the path, in a spec."""

_TEXT_EXTENSIONS: Final = {
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
}
"""Of manifests that are texts; `.gz` may follow."""
_BINARY_EXTENSIONS: Final = {
    ".parquet": "parquet",
    **dict.fromkeys((".arrow", ".feather"), "arrow"),
    **dict.fromkeys((".xlsx", ".xlsm"), "xlsx"),
}


def detect_format(name: str) -> str | None:
    """The format of a manifest of this name; None: it is no manifest's. Case does not count."""
    path = split_sheet(name)[0].lower()
    extension = os.path.splitext(path)[1]  # noqa: PTH122 - a string
    if extension in _BINARY_EXTENSIONS:
        return _BINARY_EXTENSIONS[extension]
    return _TEXT_EXTENSIONS.get(os.path.splitext(path.removesuffix(".gz"))[1])  # noqa: PTH122


def split_mark(spec: str, source_format: str = "") -> tuple[str, str]:
    """A path, and what follows it with its `#`: the sheet of a workbook, the pictures of a COCO."""
    if source_format == "coco" and not os.path.lexists(spec):
        path, mark, folder = spec.partition("#")
        return path, mark + folder
    path, sheet = split_sheet(spec)
    return path, f"#{sheet}" if sheet else ""


def split_sheet(spec: str) -> tuple[str, str]:
    """The path of a workbook, and the name of a sheet or nothing, of `list.xlsx#Sheet2`."""
    path, mark, sheet = spec.rpartition("#")
    is_workbook = mark and path.lower().endswith((".xlsx", ".xlsm"))
    return (path, sheet) if is_workbook and not os.path.lexists(spec) else (spec, "")
