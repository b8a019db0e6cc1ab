"""COCO data sets: the pictures that an annotation file lists in `images[].file_name`.

The file is read as a stream, one picture in memory at a time; of the annotations, which may be a
gigabyte, nothing is kept. The pictures lie in a folder beside the file, as COCO, Roboflow, CVAT and
others lay them out: the one that has most of the first pictures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, BinaryIO, Final

from batchinfer.errors import SourceError, SourceUnavailable
from batchinfer.extras import import_optional
from batchinfer.sources.input_files import find_on_disk, normalize_path
from batchinfer.sources.manifest_lines import (
    ManifestEntry,
    ManifestReader,
    ReportMistake,
    open_manifest_stream,
)
from batchinfer.text_format import escape_undecodable

_SAMPLE_IMAGES: Final = 20
"""Pictures by which their folder is told."""
_IMAGE_FOLDERS: Final = ("", "images", "data", "img", "imgs")
_STEM_PREFIXES: Final = ("instances_", "person_keypoints_", "captions_", "panoptic_", "image_info_")
_BEFORE_IMAGES: Final = -1
"""The "line" of a mistake that is not one of a picture."""


def find_images_folder(path: str, given: str = "") -> str:
    """The folder that the pictures of an annotation file are in.

    `given`: the one that was named, relative to the file; empty: none. Raises SourceError when the
    file cannot be read, or its pictures are in none of the usual places.
    """
    folder = os.path.dirname(path)  # noqa: PTH120
    named = os.path.normpath(os.path.join(folder, given))  # noqa: PTH118
    candidates = [named] if given else _list_candidates(path)
    names = list(islice(_iter_names(path), _SAMPLE_IMAGES))
    if not names:
        return candidates[0]
    hits = {each: sum(_is_there(each, name) for name in names) for each in candidates}
    best = max(candidates, key=lambda each: hits[each])
    if hits[best]:
        return best
    listed = ", ".join(dict.fromkeys(map(escape_undecodable, candidates)))
    raise SourceUnavailable(
        f"{escape_undecodable(path)}: its first picture, {escape_undecodable(names[0])}, is in "
        f"none of {listed}. Say where the pictures are, relative to the file: "
        f"{escape_undecodable(os.path.basename(path))}#FOLDER."  # noqa: PTH119
    )


def _list_candidates(path: str) -> list[str]:
    folder, name = os.path.split(path)
    stem = name.partition(".")[0]
    for prefix in _STEM_PREFIXES:
        stem = stem.removeprefix(prefix)
    parent = os.path.dirname(folder)  # noqa: PTH120
    below = [*_IMAGE_FOLDERS, stem, f"images/{stem}"]
    joined = [os.path.join(base, each) for base in (folder, parent) for each in below]  # noqa: PTH118
    return list(dict.fromkeys(each.rstrip("/") or "/" for each in joined))


def _is_there(folder: str, name: str) -> bool:
    try:
        return os.path.isfile(find_on_disk(name, folder))  # noqa: PTH113
    except ValueError:
        return False


def _iter_names(path: str) -> Iterator[str]:
    ijson = _import_ijson()
    try:
        with open_manifest_stream(path) as stream:
            for _, image in _iter_images(stream):
                name = image.get("file_name") if isinstance(image, dict) else None
                if isinstance(name, str) and name:
                    yield name
    except ijson.JSONError:  # said when the pictures are read
        return
    except (OSError, EOFError) as error:
        raise SourceError(f"{escape_undecodable(path)}: it cannot be read ({error}).") from error


def make_coco_reader() -> ManifestReader:
    """What reads annotation files; an entry is a picture, its "line" the number of it, from 0."""
    return ManifestReader(read_entries, open=_open, describe_place=_describe_place)


def read_entries(
    stream: BinaryIO, file_param: str, report: ReportMistake
) -> Iterator[ManifestEntry]:
    """Every picture that has a name; `report` is called for each of the others."""
    number = _BEFORE_IMAGES
    ijson = _import_ijson()
    try:
        for number, image in _iter_images(stream):
            name = image.get("file_name") if isinstance(image, dict) else None
            if not isinstance(name, str) or not name or "\0" in name:
                report(number, "there is no 'file_name' that is a text")
            else:
                yield ManifestEntry(number, normalize_path(name), ((file_param, name),), {})
    except ijson.JSONError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        report(number, f"behind this the file is damaged, or no JSON ({reason}); rest not read")


def _iter_images(stream: BinaryIO) -> Iterator[tuple[int, Any]]:
    ijson = _import_ijson()
    return enumerate(ijson.items(stream, "images.item", use_float=True))


def _import_ijson() -> Any:
    return import_optional("ijson", "Reading COCO annotations", "datasets")


def _open(path: str) -> AbstractContextManager[BinaryIO]:
    return open_manifest_stream(path)


def _describe_place(name: str, number: int) -> str:
    return name if number == _BEFORE_IMAGES else f"{name}, images[{number}]"
