"""What batchinfer itself wrote or reads is never an input.

The configuration in use, its file of secrets and this run's directory are known by device and
inode, however a path to them is spelled; all else by its content (`artifacts`), also through
links.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from batchinfer.artifacts import detect_artifact, may_be_artifact

FileIdentity: TypeAlias = tuple[int, int]
"""Device and inode."""

_MAX_CACHED_FOLDERS: Final = 4_096
"""Folders of which it is remembered whether they lie in one of ours."""


@dataclass(slots=True)
class OwnFiles:
    """What must not be sent."""

    identities: frozenset[FileIdentity] = frozenset()
    _folder_cache: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Iterable[str]) -> OwnFiles:
        """With these files and folders, those of them that are there."""
        identities = (get_identity(path) for path in paths)
        return cls(frozenset(each for each in identities if each is not None))

    def describe_file(
        self,
        path: str,
        status: os.stat_result | None,
        *,
        may_be_linked: bool = True,
        is_link: bool | None = None,
    ) -> str | None:
        """What of batchinfer's a file is, for people; None: it is not ours.

        `may_be_linked`: the path may lead through a link, or was typed, so that the folders it
        really lies in have to be checked, too. `is_link`: whether it is a link; None: not known.
        """
        if status is not None and (status.st_dev, status.st_ino) in self.identities:
            return "a file of batchinfer's that is in use"
        if may_be_artifact(path[path.rfind("/") + 1 :]) and (mark := detect_artifact(path)):
            return f"a {mark} of batchinfer's"
        if not may_be_linked:
            return None
        if is_link is None:
            is_link = os.path.islink(path)  # noqa: PTH114 - paths are plain strings in this package
        if is_link:
            real = os.path.realpath(path)
            if real != path and (
                description := self.describe_file(real, status, may_be_linked=True)
            ):
                return description
        return self._describe_typed_folder(os.path.dirname(path))  # noqa: PTH120

    def describe_folder(self, path: str, *, may_be_linked: bool = True) -> str | None:
        """The same for a folder with all that is in it."""
        return self._describe_exact_folder(path) or (
            self._describe_real_folder(os.path.realpath(path)) if may_be_linked else None
        )

    def _describe_exact_folder(self, path: str) -> str | None:
        if get_identity(path) in self.identities:
            return "the directory that is written to now"
        mark = detect_artifact(path)
        return f"a {mark} of batchinfer's" if mark else None

    def _describe_typed_folder(self, folder: str) -> str | None:
        """The same as `_describe_real_folder` for a path that may lead through links."""
        cache_key = f"{folder}/"  # unlike any real path
        if cache_key not in (cache := self._folder_cache):
            cache[cache_key] = self._describe_real_folder(os.path.realpath(folder))
        return cache[cache_key]

    def _describe_real_folder(self, folder: str) -> str | None:
        """What the folder lies in, or is. Also called by several threads at once."""
        if folder in (cache := self._folder_cache):
            return cache[folder]
        parent = os.path.dirname(folder)  # noqa: PTH120
        description = self._describe_exact_folder(folder)
        if description is None and parent != folder:
            parent_description = self._describe_real_folder(parent)
            description = (
                f"in {parent_description.removeprefix('in ')}" if parent_description else None
            )
        if len(cache) >= _MAX_CACHED_FOLDERS:
            self._folder_cache = {}
        self._folder_cache[folder] = description
        return description


def get_identity(path: str) -> FileIdentity | None:
    """What a path leads to, links followed; None: to nothing."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a name may be of any bytes
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def describe_refusal(path: str, description: str) -> str:
    """Why something that was named is not sent."""
    return (
        f"{path} is {description}, which is never an input: it may hold secrets. Copy what you "
        "want to send to another place"
    )
