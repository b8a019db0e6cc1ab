"""The folders and listings that are watched: what the system tells of them, and a look at one path.

Everything here but `wait` blocks, and is called in a thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

import anyio

from batchinfer.domain import Item, RemoteFile
from batchinfer.errors import ConfigError
from batchinfer.extras import import_optional
from batchinfer.inputs import stat_input
from batchinfer.ports import Notice
from batchinfer.sources import CombinedSource
from batchinfer.sources.folder_events import FolderEvents
from batchinfer.sources.folder_source import FolderSource
from batchinfer.sources.own_files import FileIdentity, get_identity
from batchinfer.store.network_file_systems import find_network_file_system
from batchinfer.text_format import escape_undecodable

_LIBRARY: Final = "watchfiles"


class WatchedRoots:
    """The folders of a source, and the events of those that the system can tell of."""

    def __init__(
        self,
        folders: Sequence[FolderSource],
        network_types: dict[str, str],
        events: FolderEvents | None,
        notices: Sequence[Notice],
        ignored_folder: str,
    ) -> None:
        """Use `open`."""
        self.notices = notices
        """What a person should know of how it is watched."""
        self._folders, self._network_types, self._events = folders, network_types, events
        self._ignored_prefix = ignored_folder.rstrip("/") + "/"
        self._identities = _get_identities(folders)
        self._wakeup = asyncio.Event()

    @classmethod
    def open(
        cls,
        source: CombinedSource,
        uses_events: bool,
        ignored_folder: str,
        loop: asyncio.AbstractEventLoop,
    ) -> Self:
        """Begin to watch. Raises nothing: what cannot be told is scanned."""
        folders = [part for part in source.parts if isinstance(part, FolderSource)]
        network_types = {
            folder.path: kind
            for folder in folders
            if (kind := find_network_file_system(Path(folder.path))) is not None
        }
        reason = None
        if len(folders) < len(source.parts):
            reason = "a listing of a server is read again and again"
        elif network_types:
            path, kind = next(iter(network_types.items()))
            reason = (
                f"{escape_undecodable(path)} is on a network file system ({kind}), of which no "
                "system tells what others write"
            )
        elif not uses_events:
            reason = "events are switched off"
        watched, notices = None, []
        if reason is None:
            try:
                library = import_optional(_LIBRARY, "Being told of new files", "watch")
            except ConfigError as error:
                reason = str(error)
            else:
                roots = cls(folders, network_types, None, (), ignored_folder)
                watched = FolderEvents(
                    library,
                    [folder.path for folder in folders],
                    roots._make_waker(loop),
                )
                roots._events = watched
                watched.start()
                return roots
        notices.append(Notice("scanned", f"New inputs are found by scans: {reason}."))
        return cls(folders, network_types, None, notices, ignored_folder)

    def _make_waker(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._wakeup.set)

        return wake

    @property
    def has_events(self) -> bool:
        """Whether the system tells of everything that is watched."""
        return self._events is not None

    @property
    def error(self) -> str | None:
        """Why it tells nothing any more; None: it does, or was never asked to."""
        return None if self._events is None else self._events.error

    async def wait(self, seconds: float) -> None:
        """Wait for an event, so long at most."""
        with anyio.move_on_after(seconds):
            await self._wakeup.wait()
        self._wakeup.clear()

    def stop_events(self) -> None:
        """Ask the system no longer."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def close(self) -> None:
        """End."""
        self.stop_events()

    def take(self) -> tuple[Sequence[str], bool]:
        """Paths that were told of since the last time, and whether a scan is needed."""
        return ((), False) if self._events is None else self._events.take()

    def have_changed(self) -> bool:
        """Whether a folder is not the one any more that it was, or has gone."""
        now = _get_identities(self._folders)
        has_changed, self._identities = now != self._identities, now
        return has_changed

    def has_local_clock(self, path: str) -> bool:
        """Whether the times of a file are by the clock of this machine."""
        folder = self._find_folder(path)
        return folder is not None and folder.path not in self._network_types

    def look_at(
        self, paths: Iterable[str], waiting: Sequence[Item]
    ) -> tuple[Sequence[Item], Sequence[str], bool]:
        """The inputs as they are now, each once; the keys of those waited for that have gone; and
        whether one of the paths is a folder.
        """  # noqa: D205 - one thought
        found: dict[str, Item] = {}
        gone = []
        has_folders = False
        for path in paths:
            folder = None if path.startswith(self._ignored_prefix) else self._find_folder(path)
            if folder is None:
                continue
            if (item := folder.find_item(path)) is not None:
                found[item.key] = item
            elif os.path.isdir(path):  # noqa: PTH112 - paths are plain strings here
                has_folders = True
        for item in waiting:
            now = self._look_again(item)
            if now is None:
                gone.append(item.key)
            else:
                found.setdefault(item.key, now)
        return list(found.values()), gone, has_folders

    def _look_again(self, item: Item) -> Item | None:
        file = item.files[0]
        if not isinstance(file, RemoteFile):
            folder = self._find_folder(file.path)
            return None if folder is None else folder.find_item(file.path)
        with suppress(OSError, ValueError):
            size, mtime_ns, fingerprint, _ = stat_input(file.path)
            now = replace(file, size=size, mtime_ns=mtime_ns, fingerprint=fingerprint)
            return replace(item, files=(now, *item.files[1:]))
        return None

    def _find_folder(self, path: str) -> FolderSource | None:
        return next(
            (each for each in self._folders if path.startswith(each.path.rstrip("/") + "/")), None
        )


def _get_identities(folders: Iterable[FolderSource]) -> Sequence[FileIdentity | None]:
    return [get_identity(folder.path) for folder in folders]
