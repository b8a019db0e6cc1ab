"""Refuses a single source that looks like a list: sending the list itself would waste the run.

The name decides; of a data set also the beginning of its file.
"""

from __future__ import annotations

import os
import re
from typing import Final

from batchinfer.errors import option
from batchinfer.inputs.uri_scheme import get_scheme_name
from batchinfer.inputs.uri_secrets import hide_uri_secrets
from batchinfer.sources.source_formats import FORMAT_PREFIXES, detect_format
from batchinfer.text_format import escape_undecodable

FILES_FROM_PREFIX: Final = "files-from:"
"""Before the name of a list of paths, in a spec."""
AS_FILE_PREFIX: Final = "as-file:"
"""Before the name of a file that is sent itself, whatever it is called."""

_PACKED_TABLE_ADVICE: Final = "If it holds a table, unpack it first"
_COMPRESSED_EXTENSIONS: Final = (".gz", ".bz2", ".xz", ".zst", ".zip")
_MANIFEST_EXTENSIONS: Final = (".csv", ".tsv", ".jsonl", ".ndjson")
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
    **dict.fromkeys((".xls", ".xlsb", ".ods", ".numbers", ".tab", ".psv"), _TABLE_ADVICE),
    **dict.fromkeys((".parquet", ".arrow", ".feather", ".xlsx", ".xlsm"), _PACKED_TABLE_ADVICE),
    **dict.fromkeys((".orc", ".avro", ".sqlite", ".db"), _TABLE_ADVICE),
    **dict.fromkeys((".7z", ".rar"), _ARCHIVE_ADVICE),
    **dict.fromkeys((".csv", ".tsv", ".jsonl", ".ndjson"), "Packed manifests end in .gz"),
}

_DATASET_MARK_BYTES: Final = 1 << 16
_COCO_MARK: Final = re.compile(rb'"(?:file_name|annotations|coco_url|image_id)"\s*:')
_YOLO_MARK: Final = re.compile(rb"(?m)^(?:train|val)\s*:")
_DATASET_MARKS: Final = {
    ".json": (_COCO_MARK, "coco", "COCO data set"),
    **dict.fromkeys((".yaml", ".yml"), (_YOLO_MARK, "yolo", "YOLO data set")),
}


def split_prefix(spec: str) -> tuple[str, str]:
    """What stands before the path in a spec, and the path."""
    for prefix in (FILES_FROM_PREFIX, AS_FILE_PREFIX, *FORMAT_PREFIXES):
        # Of an `hf://...` no part is a prefix.
        is_uri = spec.startswith(f"{prefix}//")
        if spec.startswith(prefix) and not is_uri and not os.path.lexists(spec):
            return prefix, spec.removeprefix(prefix)
    return "", spec


def _explain_remote_list(uri: str) -> str | None:
    name = hide_uri_secrets(uri)
    path = name.partition("?")[0] if name.startswith("http") else name
    if not path.lower().removesuffix(".gz").endswith(_MANIFEST_EXTENSIONS):
        return None
    return (
        f"{escape_undecodable(name)} looks like a list, not like an input, and was not sent. Lists "
        "are read from this machine: fetch it, then name the copy. If the file itself is the "
        f"model's input, add {option('as_file', escape_undecodable(name))}."
    )


def explain_likely_list(spec: str) -> str | None:
    """The question to ask about a single source of this name; None: it is clear what it is."""
    from batchinfer.sources.input_files import find_on_disk  # noqa: PLC0415 - most want prefixes only

    if get_scheme_name(spec) is not None:
        return _explain_remote_list(spec)
    spec = find_on_disk(spec)
    name = spec.lower()
    extension = os.path.splitext(name)[1]  # noqa: PTH122 - a string
    inner_extension = (
        os.path.splitext(name.removesuffix(extension))[1]  # noqa: PTH122
        if extension in _COMPRESSED_EXTENSIONS
        else ""
    )
    if split_prefix(spec)[0] or not os.path.isfile(spec):  # noqa: PTH113
        return None
    if detect_format(name) is not None:
        return None
    advice = _find_dataset_advice(spec, extension) or (
        _ADVICE_BY_EXTENSION.get(inner_extension) or _ADVICE_BY_EXTENSION.get(extension)
    )
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


def _find_dataset_advice(path: str, extension: str) -> str | None:
    """What to do about a file that looks like the list of a data set; None: it does not."""
    pattern, source_format, what = _DATASET_MARKS.get(extension, (None, "", ""))
    if pattern is None:
        return None
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a string
            head = file.read(_DATASET_MARK_BYTES)
    except OSError:
        return None
    if not pattern.search(head):
        return None
    return f"To send the pictures of this {what}, add {option('source_format', source_format)}"
