"""Data sets in the folders that the library `datasets` and the Hugging Face Hub make.

=========================  =======================================================================
what is in the folder      its tables
=========================  =======================================================================
``dataset_dict.json``      those of the folder of each split that it lists (`save_to_disk`)
``state.json``             the Arrow streams that it lists
``*.parquet``, anywhere    all of them; the split is in their names (a copy of the Hub's)
=========================  =======================================================================
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from batchinfer.errors import SourceError
from batchinfer.inputs.table_errors import TableError
from batchinfer.inputs.table_files import open_table
from batchinfer.sources.table_manifest import TablePart
from batchinfer.text_format import escape_undecodable

DATASET_DICT_NAME: Final = "dataset_dict.json"
STATE_NAME: Final = "state.json"
_SPLIT_PATTERN: Final = re.compile(r"(.+?)(?:-\d{5}-of-\d{5}.*)?\.parquet", re.IGNORECASE)
_TABLE_SHARD_PATTERN: Final = re.compile(r".+-\d{5}-of-\d{5}.*\.parquet", re.IGNORECASE)
_SPLIT_NAMES: Final = frozenset(
    ("train", "test", "validation", "valid", "val", "dev", "eval", "unsupervised", "data")
)
_FILE_FEATURES: Final = frozenset(("Image", "Audio", "Video", "Pdf"))


def is_saved_dataset(folder: str) -> bool:
    """Whether a folder is surely a data set: `datasets` saved it, or it is a copy of the Hub's."""
    if os.path.isfile(os.path.join(folder, DATASET_DICT_NAME)):  # noqa: PTH113, PTH118
        return True
    if os.path.isfile(os.path.join(folder, STATE_NAME)):  # noqa: PTH113, PTH118
        return any(name.endswith(".arrow") for name in _list_names(folder))
    data = os.path.join(folder, "data")  # noqa: PTH118
    names = [name for name in _list_names(data) if not name.startswith(".")]
    return bool(names) and all(map(_TABLE_SHARD_PATTERN.fullmatch, names))


def has_file_features(schema: Any) -> bool:
    """Whether a table says that it is of a data set of pictures, sounds or the like."""
    text = (schema.metadata or {}).get(b"huggingface")
    try:
        features = orjson.loads(text)["info"]["features"] if text else {}
        return any(
            isinstance(each, dict) and each.get("_type") in _FILE_FEATURES
            for each in features.values()
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return False


def find_dataset_tables(folder: str) -> tuple[TablePart, ...]:
    """The tables of a data set, each opened once. Raises SourceError."""
    displayed = escape_undecodable(folder)
    paths = list(_iter_table_paths(folder))
    if not paths:
        raise SourceError(
            f"{displayed} is no data set that can be read: there is neither {DATASET_DICT_NAME} "
            f"nor {STATE_NAME}, nor any .parquet file in it."
        )
    return tuple([_open_part(folder, path, split) for path, split in paths])


def _open_part(folder: str, path: str, split: str) -> TablePart:
    name = os.path.relpath(path, folder)
    try:
        with open_table(path) as table:
            return TablePart(path, name, table.row_count, split)
    except OSError as error:
        raise explain_table_error(os.path.join(folder, name), error) from error  # noqa: PTH118


def explain_table_error(path: str, error: OSError) -> SourceError:
    """The error for a table that cannot be opened."""
    reason = str(error) if isinstance(error, TableError) else (error.strerror or str(error))
    return SourceError(f"{escape_undecodable(path)}: {reason.rstrip('.')}.")


def _iter_table_paths(folder: str) -> Iterator[tuple[str, str]]:
    """The path and the split of each table."""
    if os.path.isfile(listing := os.path.join(folder, DATASET_DICT_NAME)):  # noqa: PTH113, PTH118
        for split in _read_names(listing, "splits"):
            below = os.path.join(folder, split)  # noqa: PTH118
            for path in _list_saved_tables(below):
                yield path, split
    elif os.path.isfile(os.path.join(folder, STATE_NAME)):  # noqa: PTH113, PTH118
        for path in _list_saved_tables(folder):
            yield path, ""
    else:
        yield from _find_parquet_files(folder)


def _list_saved_tables(folder: str) -> Sequence[str]:
    state = os.path.join(folder, STATE_NAME)  # noqa: PTH118
    return [
        os.path.join(folder, name)  # noqa: PTH118
        for name in _read_names(state, "_data_files")
    ]


def _read_names(path: str, key: str) -> Sequence[str]:
    """File names or folder names that a JSON file lists: texts, or objects with `filename`."""
    displayed = escape_undecodable(path)
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            listed = orjson.loads(file.read())[key]
        names = [each["filename"] if isinstance(each, dict) else each for each in listed]
    except OSError as error:
        raise SourceError(f"{displayed}: it cannot be read ({error.strerror or error}).") from error
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise SourceError(f"{displayed} does not list {key!r}: it is damaged.") from error
    for name in names:
        if not isinstance(name, str) or os.path.isabs(name) or ".." in name.split("/"):  # noqa: PTH117
            raise SourceError(f"{displayed} lists {name!r}, which is no file below its folder.")
    return names


def _find_parquet_files(folder: str) -> Iterator[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        tables = sorted(
            name for name in names if name.lower().endswith(".parquet") and not name.startswith(".")
        )
        if tables:
            found[parent] = tables
    others = [each for each in found if os.path.basename(each) not in _SPLIT_NAMES]  # noqa: PTH119
    if len(found) > 1 and others:
        listed = ", ".join(sorted(escape_undecodable(each) for each in found)[:10])
        raise SourceError(
            f"{escape_undecodable(folder)} holds several data sets: {listed}. Name one of them."
        )
    for parent, names in found.items():
        folder_name = os.path.basename(parent)  # noqa: PTH119
        by_folder = folder_name if folder_name in _SPLIT_NAMES - {"data"} else ""
        for name in names:
            match = _SPLIT_PATTERN.fullmatch(name)
            is_shard = _TABLE_SHARD_PATTERN.fullmatch(name) is not None
            by_name = match[1] if match and (is_shard or match[1] in _SPLIT_NAMES) else ""
            yield os.path.join(parent, name), by_folder or by_name  # noqa: PTH118


def _list_names(folder: str) -> Sequence[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []
