"""What was taken of a folder and what was not, counted by kind: nothing is left out in silence."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from batchinfer.sources.files import printable

OWN = "batchinfer's own"
"""What files and folders are called that batchinfer wrote."""
_KINDS = 1_000
"""So many kinds are counted apart; memory stays flat."""
_TOLD = 8
"""So many of them are told."""
_REST = "others"


@dataclass(slots=True)
class Skipped:
    """Counts of one reading."""

    taken: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str) -> None:
        """Count one file, or one folder with all that is in it, as skipped."""
        if kind not in self.counts and len(self.counts) >= _KINDS:
            kind = _REST
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def clear(self) -> None:
        """Begin anew."""
        self.taken = 0
        self.counts.clear()


def ending(name: str) -> str:
    """What a file is counted as: its ending in small letters, `.nii.gz` whole."""
    stem, last = os.path.splitext(name)  # noqa: PTH122 - a string
    inner = os.path.splitext(stem)[1] if last.lower() == ".gz" else ""  # noqa: PTH122
    return printable((inner + last).lower()) or "without an ending"


def total(all_: Iterable[Skipped]) -> tuple[int, Mapping[str, int]]:
    """Taken files, and skipped ones by kind, of several readings; the most frequent first."""
    taken, counts = 0, dict[str, int]()
    for each in all_:
        taken += each.taken
        for kind, count in each.counts.items():
            counts[kind] = counts.get(kind, 0) + count
    return taken, dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def sentence(taken: int, counts: Mapping[str, int]) -> str:
    """`Taken: 812 files; skipped: 40 (.xmp 38, Thumbs.db 2)`."""
    noun = "file" if taken == 1 else "files"
    skipped = sum(counts.values())
    if not skipped:
        return f"Taken: {taken:,} {noun}; skipped: none."
    told = [f"{kind} {count:,}" for kind, count in list(counts.items())[:_TOLD]]
    if rest := skipped - sum(list(counts.values())[:_TOLD]):
        told.append(f"{_REST} {rest:,}")
    return f"Taken: {taken:,} {noun}; skipped: {skipped:,} ({', '.join(told)})."
