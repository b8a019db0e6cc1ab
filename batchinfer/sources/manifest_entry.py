"""One line of a manifest, and how its mistakes are reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from batchinfer.domain import Json
from batchinfer.errors import SourceError

MAX_LISTED_MISTAKES = 20
"""So many mistakes are listed; of the rest only the number."""

ReportMistake: TypeAlias = Callable[[int, str], None]
"""Gets a mistake: line number from 1, and what is wrong. May raise to end the reading."""


class ManifestEntry(NamedTuple):
    """One item as the manifest has it: paths as written, no file touched."""

    line: int
    """Where it begins."""
    key: str
    files: tuple[tuple[str, str], ...]
    """(parameter, path) pairs; the default file parameter's first."""
    params: Mapping[str, Json]


class ManifestMistake(Exception):  # noqa: N818 - it is the user's, not the program's
    """What is wrong with one line; never leaves this package."""


class MistakeCollector:
    """Collects mistakes of the manifests, in bounded memory."""

    def __init__(self) -> None:
        self._listed: list[str] = []
        self.count = 0
        """All of them, also those not kept."""

    def add(self, place: str, message: str) -> None:
        """Note one; `place` is `file:line`."""
        self.count += 1
        if len(self._listed) < MAX_LISTED_MISTAKES:
            self._listed.append(f"{place}: {message}")

    def raise_if_any(self, *, is_complete: bool = True) -> None:
        """Raises SourceError that lists them; `is_complete`: whether all were counted."""
        if not self.count:
            return
        more = self.count - len(self._listed)
        tail = [f"... and {more:,} more"] if more else []
        number = f"{self.count:,}" if is_complete else f"At least {self.count:,}"
        head = f"{number} {'mistake' if self.count == 1 else 'mistakes'}"
        raise SourceError(
            "\n  ".join([f"{head} in the manifest; nothing was sent:", *self._listed, *tail])
        )
