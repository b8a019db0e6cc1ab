"""What the system tells of folders that are watched (inotify, FSEvents): paths that changed.

Only hints: an event may come late, twice, or never. On a network file system nothing is told of
what other machines write, and then scans find it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Final

MAX_PENDING_PATHS: Final = 10_000
"""Paths that are kept until they are asked for; if there are more, everything has to be scanned."""

_DEBOUNCE_MS: Final = 400
_STEP_MS: Final = 50
"""Events are told together that come within so many ms, each within the other of the next."""
_WAKE_MS: Final = 500
"""How long it takes at most to end."""


class FolderEvents:
    """Collects the paths that change below some folders, in a thread of its own.

    `library`: `watchfiles`. `on_change`: called in that thread when there is something to take.
    """

    def __init__(
        self, library: ModuleType, roots: Sequence[str], on_change: Callable[[], None]
    ) -> None:
        self._library, self._roots, self._on_change = library, roots, on_change
        self._lock = threading.Lock()
        self._paths: dict[str, None] = {}
        self._has_overflowed = False
        self._stop_event = threading.Event()
        self.error: str | None = None
        """Why nothing is told any more."""
        self._thread = threading.Thread(target=self._watch, name="batchinfer-events", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def take(self) -> tuple[Sequence[str], bool]:
        """The paths since the last time; and whether there were more than could be kept."""
        with self._lock:
            paths, self._paths = list(self._paths), {}
            overflowed, self._has_overflowed = self._has_overflowed, False
        return paths, overflowed

    def close(self) -> None:
        """End; it is not waited for."""
        self._stop_event.set()

    def _watch(self) -> None:
        try:
            for changes in self._library.watch(
                *self._roots,
                watch_filter=None,
                debounce=_DEBOUNCE_MS,
                step=_STEP_MS,
                rust_timeout=_WAKE_MS,
                yield_on_timeout=True,
                stop_event=self._stop_event,
                raise_interrupt=False,
                ignore_permission_denied=True,
                force_polling=False,
            ):
                if changes:
                    self._add([path for _, path in changes])
        except Exception as error:  # noqa: BLE001 - whatever it is: scans do without
            self.error = f"{type(error).__name__}: {error}"
            self._on_change()

    def _add(self, paths: Sequence[str]) -> None:
        with self._lock:
            self._paths.update(dict.fromkeys(paths))
            if len(self._paths) > MAX_PENDING_PATHS:
                self._paths, self._has_overflowed = {}, True
        self._on_change()
