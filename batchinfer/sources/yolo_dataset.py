"""YOLO data sets: the pictures of `train`, `val` and `test` in a `data.yaml`.

Each of the three is a folder, a pattern, a list of paths (`.txt`), or several of them, below
`path`, as Ultralytics reads them. Keys are paths below the data set's folder; labels are not read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

from batchinfer.errors import SourceError, SourceUnavailable
from batchinfer.extras import import_optional
from batchinfer.sources import glob_patterns
from batchinfer.sources.folder_source import FolderSource
from batchinfer.sources.input_files import find_on_disk, name_to_key
from batchinfer.sources.manifest_lines import (
    ManifestEntry,
    ManifestReader,
    ReportMistake,
    ignore_mistake,
    open_manifest_stream,
)
from batchinfer.sources.own_files import OwnFiles
from batchinfer.sources.path_list import iter_paths
from batchinfer.sources.selection import Selection
from batchinfer.text_format import escape_undecodable

SPLITS: Final = ("train", "val", "test")
_MAX_YAML_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class YoloDataset:
    """The places that a `data.yaml` names."""

    path: str
    """Of the file; absolute."""
    root: str
    """The folder that keys are paths below; absolute."""
    places: tuple[str, ...]
    """Folders, patterns and lists; absolute, each once."""
    own_files: OwnFiles

    def make_reader(self) -> ManifestReader:
        """What reads it; an entry is a picture, its "line" the number of it, from 1."""
        return ManifestReader(self.read_entries, open=_open_nothing, describe_place=_describe_place)

    def read_entries(
        self, _opened: object, file_param: str, _report: ReportMistake
    ) -> Iterator[ManifestEntry]:
        """Every picture."""
        numbers = count(1)
        for place in self.places:
            for path in self._iter_pictures(place):
                key = name_to_key(os.path.relpath(path, self.root))
                yield ManifestEntry(next(numbers), key, ((file_param, path),), {})

    def _iter_pictures(self, place: str) -> Iterator[str]:
        if place.lower().endswith(".txt"):
            yield from _read_list(place, self.root)
            return
        selection = Selection.of(only=("images",))
        if os.path.isdir(place):  # noqa: PTH112
            folder = FolderSource(place, "", selection, self.own_files)
        else:
            base, pattern = glob_patterns.split_pattern(place)
            folder = FolderSource(
                base,
                "",
                replace(selection, literal_names=frozenset()),
                self.own_files,
                glob_patterns.compile_pattern(pattern),
                glob_patterns.max_depth(pattern),
            )
        for item in folder:
            yield item.files[0].path


def open_yolo_dataset(path: str, own_files: OwnFiles) -> YoloDataset:
    """The data set of a `data.yaml`, or of the folder that has one. Raises SourceError."""
    path = _find_yaml(path)
    displayed = escape_undecodable(path)
    data = _read_yaml(path)
    if not any(data.get(split) for split in SPLITS):
        raise SourceError(f"{displayed} names no pictures: none of train, val and test is in it.")
    folder = os.path.dirname(path)  # noqa: PTH120
    root = _find_root(folder, data.get("path"), displayed)
    places: dict[str, None] = {}
    missing: list[str] = []
    for split in SPLITS:
        for given in _list_texts(data.get(split), split, displayed):
            if (found := _find_place(given, root, folder)) is None:
                missing.append(f"{split}: {given}")
            else:
                places[found] = None
    if missing:
        raise SourceUnavailable(
            f"{displayed}: there is nothing at {', '.join(map(escape_undecodable, missing))}, "
            f"neither below {escape_undecodable(root)} nor below {escape_undecodable(folder)}."
        )
    return YoloDataset(path, root, tuple(places), own_files)


def _find_yaml(path: str) -> str:
    if not os.path.isdir(path):  # noqa: PTH112
        return path
    names = [name for name in sorted(os.listdir(path)) if name.endswith((".yaml", ".yml"))]  # noqa: PTH208
    if "data.yaml" in names:
        return os.path.join(path, "data.yaml")  # noqa: PTH118
    if len(names) == 1:
        return os.path.join(path, names[0])  # noqa: PTH118
    raise SourceError(
        f"{escape_undecodable(path)} has no data.yaml: name the YAML file of the data set."
    )


def _read_yaml(path: str) -> Mapping[str, Any]:
    yaml = import_optional("yaml", "Reading YOLO's data.yaml", "datasets")
    displayed = escape_undecodable(path)
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            text = file.read(_MAX_YAML_BYTES + 1)
        if len(text) > _MAX_YAML_BYTES:
            raise SourceError(f"{displayed} is too large for a data.yaml: is it one?")
        data = yaml.safe_load(text)
    except OSError as error:
        raise SourceError(f"{displayed}: it cannot be read ({error.strerror or error}).") from error
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{displayed} is no YAML: {reason}.") from error
    if not isinstance(data, dict):
        raise SourceError(f"{displayed} is no data.yaml: it must have keys such as train and val.")
    return data


def _find_root(folder: str, given: object, displayed: str) -> str:
    if given is None:
        return folder
    if not isinstance(given, str):
        raise SourceError(f"{displayed}: 'path' must be the path of a folder, and is {given!r}.")
    root = os.path.normpath(os.path.join(folder, os.path.expanduser(given)))  # noqa: PTH111, PTH118
    # Ultralytics looks below a folder of its settings; the file mostly lies in the data set itself.
    return root if os.path.isdir(root) else folder  # noqa: PTH112


def _list_texts(given: object, split: str, displayed: str) -> list[str]:
    listed: list[Any] = given if isinstance(given, list) else [] if given is None else [given]
    for each in listed:
        if not isinstance(each, str) or not each or "\0" in each:
            raise SourceError(
                f"{displayed}: {split!r} must be a path or several, and has {each!r}."
            )
    return listed


def _find_place(given: str, root: str, folder: str) -> str | None:
    """Where a split is; None: nowhere. Roboflow writes `../train` for what lies beside the file."""
    for base in (root, folder):
        for each in (given, given.removeprefix("../")):
            place = os.path.normpath(find_on_disk(each, base))
            if os.path.lexists(place):
                return place
            if glob_patterns.has_magic(each) and os.path.isdir(  # noqa: PTH112
                glob_patterns.split_pattern(place)[0]
            ):
                return place
    return None


def _read_list(path: str, root: str) -> Iterator[str]:
    """The pictures of a list: those that begin with `./` below its folder, others below `root`."""
    folder = os.path.dirname(path)  # noqa: PTH120
    with open_manifest_stream(path) as stream:
        for _, line in iter_paths(stream, ignore_mistake):
            name = os.fsdecode(line).strip()
            base = folder if name.startswith("./") else root
            found = find_on_disk(name, base)
            if not os.path.lexists(found) and base != folder:
                found = find_on_disk(name, folder)
            yield os.path.normpath(found)


def _open_nothing(_path: str) -> AbstractContextManager[None]:
    return nullcontext()


def _describe_place(name: str, number: int) -> str:
    return f"{name}, picture {number}"
