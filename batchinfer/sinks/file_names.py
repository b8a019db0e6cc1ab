"""What a program opens a picture by: its path below a folder that is the same for all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from batchinfer.domain import Dossier
from batchinfer.sinks.book import FileNames
from batchinfer.sinks.cells import printable
from batchinfer.sinks.left_out import LeftOut
from batchinfer.sinks.pictures import Picture, absolute, is_unicode


@dataclass(frozen=True, slots=True)
class Naming:
    """How the pictures of one export are named."""

    root: str | None
    """The folder below which all names are paths; None: they are absolute, or keys."""
    name: Callable[[Picture], str]

    def of(self, picture: Picture, left_out: LeftOut) -> str:
        """The picture's name, `/`-separated. A name that JSON cannot hold is spelled, and told."""
        name = self.name(picture)
        if not is_unicode(name):
            left_out.add("path", "bytes that are not UTF-8 (spelled \\xNN)", picture.key)
        return printable(name)


def naming(kind: FileNames, dossiers: Iterable[Dossier]) -> Naming:
    """Names of this kind; for `path` all items are looked through once."""
    if kind == "key":
        return Naming(None, lambda picture: picture.key)
    root = _root(dossiers) if kind == "path" else None
    if root is None:
        return Naming(None, lambda picture: _slashed(absolute(picture.path)))
    return Naming(root, lambda picture: _slashed(os.path.relpath(absolute(picture.path), root)))


def _root(dossiers: Iterable[Dossier]) -> str | None:
    """The folder that all keys are paths below, else the deepest that holds all the files.

    None when there is none: on different drives of Windows, or without any file.
    """
    by_keys: str | None = ""
    common: str | None = None
    for dossier in dossiers:
        if not dossier.files:
            continue
        path = absolute(dossier.files[0].path)
        above = os.path.dirname(path)  # noqa: PTH120 - paths are plain strings in this room
        if by_keys is not None:
            root = _above(path, dossier.result.key)
            by_keys = root if by_keys in {"", root} else None
        if common is None:
            common = above
        elif common != above:
            try:
                common = os.path.commonpath((common, above))
            except ValueError:
                return None
    return by_keys or common


def _above(path: str, key: str) -> str | None:
    """The folder below which `key` is this path."""
    if not printable(_slashed(path)).endswith(printable(f"/{key}")):
        return None
    for _ in range(key.count("/") + 1):
        path = os.path.dirname(path)  # noqa: PTH120
    return path


def _slashed(path: str) -> str:
    return path.replace(os.sep, "/")
