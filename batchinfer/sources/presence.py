"""Whether a source is there, asked when one of its files is not.

A disk that was unplugged, a mount point with nothing mounted, a folder that moved: then no file is
to be found, and none of their items is at fault. Signs of it, first match wins:

1. the source's folder is gone, no folder, empty, cannot be read, or on another device than before;
2. a link to a folder on the way to the file leads nowhere;
3. the source is a list (a manifest, single files), and with the file a whole folder is gone that
   held others, too (`FEW` of those that are known);
4. none of the other files that are known is there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final

from batchinfer.sources import patterns
from batchinfer.sources.files import printable
from batchinfer.sources.lists import unprefixed
from batchinfer.sources.manifest import manifest_format

FEW: Final = 3


class SourcePresence:
    """Of the source that `specs` name, as a run keeps them. Blocks: for a thread."""

    def __init__(self, specs: Sequence[str]) -> None:
        roots = (root_of(spec) for spec in specs)
        self._devices = {root: _device(root) for root in roots if root is not None}

    def why_away(self, path: str, others: Sequence[str]) -> str | None:
        """Why the source of a file that cannot be read is away; None: it is there.

        `others`: paths of some other files of the run.
        """
        root = self._root(path)
        if root is not None:
            if why := self._why_gone(root):
                return why
            others = [other for other in others if other.startswith(_below(root))]
        gone = _missing_folder(path)
        if gone is not None and os.path.islink(gone):  # noqa: PTH114 - paths are strings in here
            return f"the link {printable(gone)} leads nowhere"
        if gone is not None and root is None:
            lost = [other for other in others if other.startswith(_below(gone))]
            if len(lost) >= FEW:
                return f"the folder {printable(gone)} is not there"
        others = [other for other in others if other != path]
        if len(others) >= FEW and not any(map(os.path.lexists, others)):
            where = f" in {printable(root)}" if root is not None else ""
            return f"none of {len(others)} files of this run that were looked for{where} is there"
        return None

    def all_there(self) -> bool:
        """Whether all folders that were named are there."""
        return not any(self._why_gone(root) for root in self._devices)

    def _root(self, path: str) -> str | None:
        inside = [root for root in self._devices if path.startswith(_below(root))]
        return max(inside, key=len, default=None)

    def _why_gone(self, root: str) -> str | None:
        name = f"the source {printable(root)}"
        try:
            device = os.stat(root).st_dev  # noqa: PTH116
            with os.scandir(root) as entries:
                empty = next(entries, None) is None
        except FileNotFoundError:
            return f"{name} is not there"
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
                return None  # that is our own trouble, and says nothing
            return f"{name} cannot be read ({error.strerror})"
        if empty:
            return f"{name} is empty (is its disk mounted?)"
        before = self._devices[root]
        if before is None:
            self._devices[root] = device
        elif device != before:
            return f"{name} is on another disk than before (is its own mounted?)"
        return None


def root_of(spec: str) -> str | None:
    """The folder that a spec names, absolute; None for a list, a single file, standard input."""
    if spec == "-" or "/./" in spec or unprefixed(spec)[0]:
        return None
    if not os.path.lexists(spec):
        if patterns.has_magic(spec):
            return patterns.split(spec)[0]
        return None if manifest_format(spec) else spec
    return spec if os.path.isdir(spec) else None  # noqa: PTH112


def _below(folder: str) -> str:
    return folder.rstrip("/") + "/"


def _device(root: str) -> int | None:
    try:
        with os.scandir(root) as entries:
            empty = next(entries, None) is None
        return None if empty else os.stat(root).st_dev  # noqa: PTH116
    except OSError:
        return None


def _missing_folder(path: str) -> str | None:
    """The first folder on the way to a file that is not there; None: all are."""
    gone, folder = None, os.path.dirname(path)  # noqa: PTH120
    while folder not in {"", "/"} and not os.path.isdir(folder):  # noqa: PTH112
        gone, folder = folder, os.path.dirname(folder)  # noqa: PTH120
    return gone
