"""What was taken of a source and what was skipped, counted by kind."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from batchinfer.text_format import escape_undecodable

OWN_FILE_KIND = "batchinfer's own"
"""What files and folders are called that batchinfer wrote."""
OTHER_SHARDS_KIND = "of other shards"
"""What files are called that another run sends, by its `--shard`."""
_MAX_SKIP_KINDS = 1_000
"""Kinds that are counted separately at most: memory stays bounded."""
_MAX_LISTED_SKIP_KINDS = 8
"""Kinds that a message names at most."""
_OTHER_SKIP_KINDS = "others"


@dataclass(slots=True)
class SkipCounts:
    """Counts of one reading."""

    taken: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str) -> None:
        """Count one file, or one folder with all that is in it, as skipped."""
        if kind not in self.by_kind and len(self.by_kind) >= _MAX_SKIP_KINDS:
            kind = _OTHER_SKIP_KINDS
        self.by_kind[kind] = self.by_kind.get(kind, 0) + 1

    def clear(self) -> None:
        """Begin anew."""
        self.taken = 0
        self.by_kind.clear()


def classify_by_extension(name: str) -> str:
    """What a file is counted as: its ending in small letters, `.nii.gz` whole."""
    stem, extension = os.path.splitext(name)  # noqa: PTH122 - a string
    inner_extension = os.path.splitext(stem)[1] if extension.lower() == ".gz" else ""  # noqa: PTH122
    return escape_undecodable((inner_extension + extension).lower()) or "without an ending"


def sum_skip_counts(all_: Iterable[SkipCounts]) -> tuple[int, Mapping[str, int]]:
    """Taken files, and skipped ones by kind, of several readings; the most frequent first."""
    taken, counts = 0, dict[str, int]()
    for each in all_:
        taken += each.taken
        for kind, count in each.by_kind.items():
            counts[kind] = counts.get(kind, 0) + count
    return taken, dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def describe_skipped(taken: int, counts: Mapping[str, int]) -> str:
    """`Taken: 812 files; skipped: 40 (.xmp 38, Thumbs.db 2)`."""
    noun = "file" if taken == 1 else "files"
    skipped = sum(counts.values())
    if not skipped:
        return f"Taken: {taken:,} {noun}; skipped: none."
    listed = [f"{kind} {count:,}" for kind, count in list(counts.items())[:_MAX_LISTED_SKIP_KINDS]]
    if rest := skipped - sum(list(counts.values())[:_MAX_LISTED_SKIP_KINDS]):
        listed.append(f"{_OTHER_SKIP_KINDS} {rest:,}")
    return f"Taken: {taken:,} {noun}; skipped: {skipped:,} ({', '.join(listed)})."
