"""What the runs of a merge are together: which shards are there, and whether that is all. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchinfer.domain import Counts
from batchinfer.sources.shard import Shard
from batchinfer.text_format import format_count


@dataclass(frozen=True, slots=True)
class MergePart:
    """A run that is merged."""

    directory: Path
    sources: tuple[str, ...]
    shard: Shard | None
    """The part of its sources that it holds; None: all."""
    is_source_read: bool
    """Whether its sources were read to their end."""
    counts: Counts

    @property
    def name(self) -> str:
        """The run as messages call it."""
        return str(self.directory) if self.shard is None else f"{self.directory} ({self.shard})"


def describe_unfinished(part: MergePart) -> str | None:
    """What is still to be done at a run; None: nothing."""
    lacks = []
    if part.counts.pending:
        lacks.append(f"{format_count(part.counts.pending, 'item')} pending")
    if not part.is_source_read:
        lacks.append("its source was not read to its end")
    return f"{part.name}: {', '.join(lacks)}" if lacks else None


def find_missing_shards(parts: Sequence[MergePart]) -> Sequence[Shard]:
    """Shards that no run holds, of sources of which others hold some."""
    missing = []
    for sources, count, found in _group_shards(parts):
        if len(found) < count and not is_all_read(sources, parts):
            missing += [Shard(n, count) for n in range(1, count + 1) if n not in found]
    return missing


def is_all_read(sources: Sequence[str], parts: Sequence[MergePart]) -> bool:
    """Whether the runs together have read these sources to their end."""
    return any(
        part.shard is None and part.is_source_read and set(sources) <= set(part.sources)
        for part in parts
    ) or any(
        len(found) == count and all(found.values()) and set(sources) <= set(known)
        for known, count, found in _group_shards(parts)
    )


def combine_sources_of(parts: Sequence[MergePart]) -> tuple[str, ...]:
    """The sources of all runs, each once, in their order."""
    return tuple(dict.fromkeys(source for part in parts for source in part.sources))


def group_parts(parts: Sequence[MergePart]) -> Sequence[Sequence[MergePart]]:
    """The runs in their order; shards of the same sources, each another one, together."""
    groups: list[list[MergePart]] = []
    for part in parts:
        for group in groups if part.shard is not None else ():
            if _belong_together(part, group):
                group.append(part)
                break
        else:
            groups.append([part])
    return groups


def _belong_together(part: MergePart, group: Sequence[MergePart]) -> bool:
    return all(
        other.shard is not None
        and part.shard is not None
        and other.shard.count == part.shard.count
        and other.shard.number != part.shard.number
        and other.sources == part.sources
        for other in group
    )


def _group_shards(
    parts: Sequence[MergePart],
) -> Iterator[tuple[tuple[str, ...], int, Mapping[int, bool]]]:
    """Sources, into how many shards they are divided, and whether each that is there was read."""
    groups: dict[tuple[tuple[str, ...], int], dict[int, bool]] = {}
    for part in parts:
        if part.shard is not None:
            found = groups.setdefault((part.sources, part.shard.count), {})
            found[part.shard.number] = found.get(part.shard.number, False) or part.is_source_read
    for (sources, count), found in groups.items():
        yield sources, count, found
