"""Refuses a single source that looks like a list: sending the list itself would waste the run.

Only the name decides.
"""

from __future__ import annotations

import os
from typing import Final

from batchinfer.errors import option
from batchinfer.text_format import escape_undecodable

FILES_FROM_PREFIX: Final = "files-from:"
"""Before the name of a list of paths, in a spec."""
AS_FILE_PREFIX: Final = "as-file:"
"""Before the name of a file that is sent itself, whatever it is called."""

_COMPRESSED_EXTENSIONS: Final = (".gz", ".bz2", ".xz", ".zst", ".zip")
_TABLE_ADVICE: Final = "If it lists what is to be sent, save it as CSV with a column 'path'"
_ARCHIVE_ADVICE: Final = "If it holds what is to be sent, unpack it and name the folder"
_PATH_LIST_ADVICE: Final = "If it lists what is to be sent, a path a line: {}"
_JSON_ADVICE: Final = (
    "If it lists what is to be sent, make JSON lines of it, an object a line: `jq -c '.[]' {} >"
    " list.jsonl`"
)
_ADVICE_BY_EXTENSION: Final = {
    **dict.fromkeys((".txt", ".lst", ".list", ".text"), _PATH_LIST_ADVICE),
    ".json": _JSON_ADVICE,
    **dict.fromkeys((".yaml", ".yml", ".xml"), _TABLE_ADVICE),
    **dict.fromkeys(
        (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers", ".tab", ".psv"), _TABLE_ADVICE
    ),
    **dict.fromkeys((".parquet", ".arrow", ".feather", ".sqlite", ".db"), _TABLE_ADVICE),
    **dict.fromkeys((".7z", ".rar"), _ARCHIVE_ADVICE),
    **dict.fromkeys((".csv", ".tsv", ".jsonl", ".ndjson"), "Packed manifests end in .gz"),
}


def split_prefix(spec: str) -> tuple[str, str]:
    """What stands before the path in a spec, and the path."""
    for prefix in (FILES_FROM_PREFIX, AS_FILE_PREFIX):
        if spec.startswith(prefix) and not os.path.lexists(spec):
            return prefix, spec.removeprefix(prefix)
    return "", spec


def explain_likely_list(spec: str) -> str | None:
    """The question to ask about a single source of this name; None: it is clear what it is."""
    from batchinfer.sources.input_files import find_on_disk  # noqa: PLC0415 - most want prefixes only

    spec = find_on_disk(spec)
    name = spec.lower()
    extension = os.path.splitext(name)[1]  # noqa: PTH122 - a string
    inner_extension = (
        os.path.splitext(name.removesuffix(extension))[1]  # noqa: PTH122
        if extension in _COMPRESSED_EXTENSIONS
        else ""
    )
    if spec.startswith((FILES_FROM_PREFIX, AS_FILE_PREFIX)) or not os.path.isfile(spec):  # noqa: PTH113
        return None
    if inner_extension in {".csv", ".tsv", ".jsonl", ".ndjson"} and extension == ".gz":
        return None
    if not inner_extension and extension in {".csv", ".tsv", ".jsonl", ".ndjson"}:
        return None
    advice = _ADVICE_BY_EXTENSION.get(inner_extension) or _ADVICE_BY_EXTENSION.get(extension)
    if advice is None:
        return None
    displayed = escape_undecodable(spec)
    is_path_list = advice == _PATH_LIST_ADVICE
    named = option("files_from", displayed) if is_path_list else displayed
    return (
        f"{displayed} looks like a list, not like an input, and was not sent. "
        f"{advice.format(named)}. If the file itself is the model's input, add "
        f"{option('as_file', displayed)}."
    )
