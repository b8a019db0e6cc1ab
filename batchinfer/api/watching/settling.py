"""Whether an input is whole, as far as can be seen: it has stayed as it is for a while.

An input is taken

* at once, if it is an object of a store that tells contents apart (an ETag): such are whole or not
  there;
* at once, if its file was last written long enough ago by the clock of this machine, as one that
  was renamed into its place. Not on a network file system, whose server has a clock of its own;
* else when it was seen unchanged after it had that long.

An empty file is waited for: it is about to be written. Pure: knows no clock and no disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from batchinfer.domain import InputFile, Item, RemoteFile

MAX_WAITING: Final = 10_000
"""Inputs that are waited for at a time; others are seen again by the next scan."""

_FileState: TypeAlias = tuple[int | None, int | None, str | None]


@dataclass(slots=True)
class _Waiting:
    item: Item
    state: _FileState
    since: float
    """When it was first seen like that."""


class Settling:
    """The inputs that are waited for. Times are seconds: `now` monotonic, `wall_time` since the
    epoch.
    """  # noqa: D205 - one thought

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[str, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_due(self) -> float | None:
        """When the first of them should be looked at again."""
        first = next(iter(self._waiting.values()), None)
        return None if first is None else first.since + self._seconds

    def take_due(self, now: float, limit: int) -> Sequence[Item]:
        """Those that should be looked at again now; they stay until they are found settled."""
        due: list[Item] = []
        for waiting in self._waiting.values():  # in the order of `since`
            if waiting.since + self._seconds > now or len(due) >= limit:
                break
            due.append(waiting.item)
        return due

    def forget(self, key: str) -> None:
        """It is not there any more."""
        self._waiting.pop(key, None)

    def is_settled(self, item: Item, now: float, wall_time: float, *, trusts_times: bool) -> bool:
        """Whether an input that was seen now is whole; if not, it is waited for.

        `trusts_times`: whether times of files are by the clock of this machine.
        """
        file = item.files[0]
        if isinstance(file, RemoteFile) and (file.fingerprint is not None or file.size is None):
            return self._settle(item.key)
        if not file.size:  # empty; or a link that leads nowhere
            self.forget(item.key)
            return False
        if trusts_times and _is_old_enough(file, wall_time, self._seconds):
            return self._settle(item.key)
        state = (file.size, file.mtime_ns, file.fingerprint)
        waiting = self._waiting.get(item.key)
        if waiting is not None and waiting.state == state:
            if now - waiting.since < self._seconds:
                return False
            return self._settle(item.key)
        self.forget(item.key)
        if len(self._waiting) < MAX_WAITING:
            self._waiting[item.key] = _Waiting(item, state, now)
        return False

    def _settle(self, key: str) -> bool:
        self.forget(key)
        return True


def _is_old_enough(file: InputFile, wall_time: float, seconds: float) -> bool:
    return file.mtime_ns is not None and wall_time - file.mtime_ns / 1e9 >= seconds
