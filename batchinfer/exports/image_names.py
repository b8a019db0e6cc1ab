"""The name by which a program opens an image: its path below a folder common to all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from batchinfer.domain import ResultDetails
from batchinfer.exports.export_source import FileNameStyle
from batchinfer.exports.image_items import ImageItem, is_valid_unicode, make_absolute
from batchinfer.exports.omissions import ExportOmissions
from batchinfer.inputs import is_local
from batchinfer.text_format import escape_undecodable


@dataclass(frozen=True, slots=True)
class ImageNamer:
    """How the images of one export are named."""

    root: str | None
    """The folder below which all names are paths; None: they are absolute, or keys."""
    make_name: Callable[[ImageItem], str]

    def name_for(self, image: ImageItem, omissions: ExportOmissions) -> str:
        """The image's name, `/`-separated. What JSON cannot hold is escaped and reported."""
        name = self.make_name(image)
        if not is_valid_unicode(name):
            omissions.add("path", "bytes that are not UTF-8 (spelled \\xNN)", image.key)
        return escape_undecodable(name)


def make_image_namer(style: FileNameStyle, items: Iterable[ResultDetails]) -> ImageNamer:
    """Names of this kind; for `path` all items are looked through once."""
    if style == "key":
        return ImageNamer(None, lambda image: image.key)
    root = _find_common_folder(items) if style == "path" else None
    if root is None:
        return ImageNamer(None, lambda image: _to_posix(make_absolute(image.path)))
    return ImageNamer(
        root, lambda image: _to_posix(os.path.relpath(make_absolute(image.path), root))
    )


def _find_common_folder(items: Iterable[ResultDetails]) -> str | None:
    """The folder that all keys are paths below, else the deepest that holds all the files.

    None when there is none: on different drives of Windows, or without any file.
    """
    folder_by_keys: str | None = ""
    common_parent: str | None = None
    for details in items:
        if not details.files:
            continue
        path = make_absolute(details.files[0].path)
        parent = os.path.dirname(path)  # noqa: PTH120 - paths are plain strings in this package
        if folder_by_keys is not None:
            root = _find_key_root(path, details.result.key)
            folder_by_keys = root if folder_by_keys in {"", root} else None
        if common_parent is None:
            common_parent = parent
        elif common_parent != parent:
            common_parent = _find_common_parent(common_parent, parent)
            if common_parent is None:
                return None
    return folder_by_keys or common_parent


def _find_common_parent(one: str, other: str) -> str | None:
    if not (is_local(one) or is_local(other)):
        prefix = os.path.commonprefix((f"{one}/", f"{other}/"))  # noqa: RUF071 - cut at a slash below
        return prefix.rpartition("/")[0] or None
    try:
        return os.path.commonpath((one, other))
    except ValueError:  # one of them is a URI, or on another drive of Windows
        return None


def _find_key_root(path: str, key: str) -> str | None:
    """The folder below which `key` is this path."""
    if not escape_undecodable(_to_posix(path)).endswith(escape_undecodable(f"/{key}")):
        return None
    for _ in range(key.count("/") + 1):
        path = os.path.dirname(path)  # noqa: PTH120
    return path


def _to_posix(path: str) -> str:
    return path.replace(os.sep, "/")
