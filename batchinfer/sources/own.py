"""What batchinfer itself wrote or reads is never an input.

The configuration in use, its file of secrets and this run's directory are known by device and
inode, however a path to them is spelled; all else by what it is (`marks`), also through links.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from batchinfer.marks import mark_of, may_be_ours

Identity: TypeAlias = tuple[int, int]
"""Device and inode."""

_REMEMBERED: Final = 4_096
"""Folders of which it is remembered whether they lie in one of ours."""


@dataclass(slots=True)
class Own:
    """What must not be sent."""

    identities: frozenset[Identity] = frozenset()
    _known: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Iterable[str]) -> Own:
        """With these files and folders, those of them that are there."""
        found = (identity(path) for path in paths)
        return cls(frozenset(each for each in found if each is not None))

    def file(self, path: str, seen: os.stat_result | None, *, linked: bool = True) -> str | None:
        """What of batchinfer's a file is, for people; None: it is not ours.

        `linked`: the path may lead through a link, or was typed, so that the folders it really lies
        in have to be looked at, too.
        """
        if seen is not None and (seen.st_dev, seen.st_ino) in self.identities:
            return "a file of batchinfer's that is in use"
        folder, name = os.path.split(path)
        if may_be_ours(name) and (mark := mark_of(path)):
            return f"a {mark} of batchinfer's"
        if not linked:
            return None
        if os.path.islink(path):  # noqa: PTH114 - paths are plain strings in this package
            real = os.path.realpath(path)
            if real != path and (found := self.file(real, seen, linked=True)):
                return found
        return self._around_typed(folder)

    def folder(self, path: str, *, linked: bool = True) -> str | None:
        """The same for a folder with all that is in it."""
        return self._here(path) or (self._around(os.path.realpath(path)) if linked else None)

    def _here(self, path: str) -> str | None:
        if identity(path) in self.identities:
            return "the directory that is written to now"
        mark = mark_of(path)
        return f"a {mark} of batchinfer's" if mark else None

    def _around_typed(self, folder: str) -> str | None:
        """The same as `_around` for a path that may lead through links; remembered, too."""
        spelled = f"{folder}/"  # unlike any real path
        if spelled not in (known := self._known):
            known[spelled] = self._around(os.path.realpath(folder))
        return known[spelled]

    def _around(self, folder: str) -> str | None:
        """What the folder lies in, or is. Also called by several threads at once."""
        if folder in (known := self._known):
            return known[folder]
        above = os.path.dirname(folder)  # noqa: PTH120
        found = self._here(folder)
        if found is None and above != folder:
            around = self._around(above)
            found = f"in {around.removeprefix('in ')}" if around else None
        if len(known) >= _REMEMBERED:
            self._known = {}
        self._known[folder] = found
        return found


def identity(path: str) -> Identity | None:
    """What a path leads to, links followed; None: to nothing."""
    try:
        seen = os.stat(path)  # noqa: PTH116 - a name may be of any bytes
    except (OSError, ValueError):
        return None
    return seen.st_dev, seen.st_ino


def refusal(path: str, what: str) -> str:
    """Why something that was named is not sent."""
    return (
        f"{path} is {what}, which is never an input: it may hold secrets. Copy what you want to"
        " send to another place"
    )
