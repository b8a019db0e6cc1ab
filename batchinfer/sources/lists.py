"""An only source that looks like a list is asked about: a list that is sent itself is a wasted run.

Pure: it goes by names.
"""

from __future__ import annotations

import os
from typing import Final

from batchinfer.sources.files import printable, spelled_on_disk

FILES_FROM: Final = "files-from:"
"""Before the name of a list of paths, in a spec."""
AS_FILE: Final = "as-file:"
"""Before the name of a file that is sent itself, whatever it is called."""

_PACKED: Final = (".gz", ".bz2", ".xz", ".zst", ".zip")
_TABLE: Final = "If it lists what is to be sent, save it as CSV with a column 'path'"
_ARCHIVE: Final = "If it holds what is to be sent, unpack it and name the folder"
_LINES: Final = "If it lists what is to be sent, a path a line: --files-from {}"
_JSON: Final = (
    "If it lists what is to be sent, make JSON lines of it, an object a line: `jq -c '.[]' {} >"
    " list.jsonl`"
)
_ADVICE: Final = {
    **dict.fromkeys((".txt", ".lst", ".list", ".text"), _LINES),
    ".json": _JSON,
    **dict.fromkeys((".yaml", ".yml", ".xml"), _TABLE),
    **dict.fromkeys(
        (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers", ".tab", ".psv"), _TABLE
    ),
    **dict.fromkeys((".parquet", ".arrow", ".feather", ".sqlite", ".db"), _TABLE),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar"), _ARCHIVE),
    **dict.fromkeys((".csv", ".tsv", ".jsonl", ".ndjson"), "Packed manifests end in .gz"),
}


def unprefixed(spec: str) -> tuple[str, str]:
    """What stands before the path in a spec, and the path."""
    for prefix in (FILES_FROM, AS_FILE):
        if spec.startswith(prefix) and not os.path.lexists(spec):
            return prefix, spec.removeprefix(prefix)
    return "", spec


def question(spec: str) -> str | None:
    """What is asked about an only source of this name; None: it is clear what it is."""
    spec = spelled_on_disk(spec)
    name = spec.lower()
    last = os.path.splitext(name)[1]  # noqa: PTH122 - a string
    inner = os.path.splitext(name.removesuffix(last))[1] if last in _PACKED else ""  # noqa: PTH122
    if spec.startswith((FILES_FROM, AS_FILE)) or not os.path.isfile(spec):  # noqa: PTH113
        return None
    if inner in {".csv", ".tsv", ".jsonl", ".ndjson"} and last == ".gz":
        return None
    if not inner and last in {".csv", ".tsv", ".jsonl", ".ndjson"}:
        return None
    advice = _ADVICE.get(inner) or _ADVICE.get(last)
    if advice is None:
        return None
    shown = printable(spec)
    return (
        f"{shown} looks like a list, not like an input, and was not sent. {advice.format(shown)}."
        " If the file itself is the model's input, add --as-file."
    )
