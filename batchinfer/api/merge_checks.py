"""What a merge refuses, and why: nothing is written then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from batchinfer.api.job import STDIN_MANIFEST
from batchinfer.api.merge_parts import MergePart
from batchinfer.config import find_merge_differences, get_stored_shard
from batchinfer.errors import RunDamaged, RunMismatch, StoreError, option
from batchinfer.sources.list_detection import split_prefix
from batchinfer.store.item_versions import VersionChoice
from batchinfer.store.merge_input import MergeInput
from batchinfer.store.merge_writer import MergeConflict, MergeCounts
from batchinfer.store.row_checks import DamageCollector
from batchinfer.text_format import escape_unprintable, format_count

_MAX_LISTED: Final = 10
"""Runs, shards or damages that a message names."""


def require_whole_target(target: MergeInput) -> None:
    """Raise RunMismatch for a shard: it would not take the items of others as its own."""
    if shard := get_stored_shard(target.info.config):
        raise RunMismatch(
            f"{target.directory} holds shard {shard} only: nothing is merged into it. Name a new "
            f"directory with {option('into')}."
        )


def require_same_config(first: MergeInput, runs: Sequence[MergeInput]) -> None:
    """Raise RunMismatch when what runs sent, or where to, differs from the first one."""
    lines = [
        f"  {setting} is {one} in {first.directory} and {other} in {run.directory}"
        for run in runs
        for setting, one, other in find_merge_differences(first.info.config, run.info.config)
    ]
    if lines:
        raise RunMismatch(
            f"These runs do not belong together; nothing was merged.\n{_list_lines(lines)}\n"
            "Merge only runs that sent the same to the same service."
        )


def require_collected(parts: Sequence[MergePart]) -> None:
    """Raise StoreError when outputs are in the bucket: no other run would find them there."""
    lines = [
        f"  {part.name}: {format_count(part.counts.submitted, 'item')} submitted"
        for part in parts
        if part.counts.submitted
    ]
    if lines:
        raise StoreError(
            "Outputs of these runs are still in the bucket; nothing was merged.\n"
            f"{_list_lines(lines)}\nFetch them first: batchinfer collect RUN"
        )


def require_finished(unfinished: Sequence[str], missing: Sequence[str]) -> None:
    """Raise StoreError when runs are not finished, or shards are missing."""
    lines = [f"  {each}" for each in unfinished]
    if missing:
        more = f" and {len(missing) - _MAX_LISTED:,} more" if len(missing) > _MAX_LISTED else ""
        lines.append(f"  missing: shard {', '.join(missing[:_MAX_LISTED])}{more}")
    if lines:
        raise StoreError(
            f"This is not all yet; nothing was merged.\n{_list_lines(lines)}\nFinish runs with "
            "`batchinfer resume RUN`, and name missing shards, too; or add "
            f"{option('partial', 'True')} to merge what is there."
        )


def require_one_stdin(runs: Sequence[MergeInput]) -> None:
    """Raise StoreError when runs have read different lists, and one has to be read again."""
    lists = [run.directory / STDIN_MANIFEST for run in runs if names_stdin(run.info.sources)]
    if len({path.read_bytes() for path in lists if path.is_file()}) > 1:
        raise StoreError(
            "These runs read different lists from standard input, and not all of them to its end. "
            "Finish them first (`batchinfer resume RUN`). Nothing was merged."
        )


def names_stdin(sources: Sequence[str]) -> bool:
    """Whether standard input is one of the sources."""
    return any(split_prefix(spec)[1] == "-" for spec in sources)


def require_intact(damages: DamageCollector) -> None:
    """Raise RunDamaged when something of the runs is not what was written."""
    lines = [f"  {each.subject}: {each.reason}" for each in damages.list_damages()]
    if lines:
        raise RunDamaged(
            f"These runs are damaged; nothing was merged.\n{_list_lines(lines)}\nCheck the disk; "
            "take the run directory from a backup, or run these inputs again in a new one, and "
            "merge that."
        )


def require_no_conflict(counts: MergeCounts, target: Path, runs: Sequence[MergeInput]) -> None:
    """Raise RunMismatch when runs say different things of an item."""
    if not counts.conflicts:
        return
    lines = [_describe_conflict(each, target, runs) for each in counts.named_conflicts]
    if counts.conflicts > len(lines):
        lines.append(f"  and {counts.conflicts - len(lines):,} more")
    raise RunMismatch(
        f"{format_count(counts.conflicts, 'item')} differ between the runs; nothing was merged.\n"
        + "\n".join(lines)
        + f"\nLeave one of the runs out, or add {option('prefer_first', 'True')} to keep what the "
        "run has that is named first."
    )


def _describe_conflict(conflict: MergeConflict, target: Path, runs: Sequence[MergeInput]) -> str:
    first = target
    if not conflict.is_with_target:
        others = [run for run in runs if run.directory != conflict.run]
        first = next(run.directory for run in others if run.has_key(conflict.key))
    is_input = conflict.choice is VersionChoice.OTHER_INPUTS
    what = "other inputs" if is_input else "another prediction"
    return f"  {escape_unprintable(conflict.key)}: {conflict.run} has {what} than {first}"


def _list_lines(lines: Sequence[str]) -> str:
    more = len(lines) - _MAX_LISTED
    return "\n".join([*lines[:_MAX_LISTED], *([f"  and {more:,} more"] if more > 0 else [])])
