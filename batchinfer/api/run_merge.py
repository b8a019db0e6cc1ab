"""Several runs made one: shards of a source, or runs that shared a work in another way."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchinfer.api.job import STDIN_MANIFEST, is_run_file, require_run
from batchinfer.api.job_sources import lock_run
from batchinfer.api.merge_checks import (
    names_stdin,
    require_collected,
    require_finished,
    require_intact,
    require_no_conflict,
    require_one_stdin,
    require_same_config,
    require_whole_target,
)
from batchinfer.api.merge_order import iter_in_source_order
from batchinfer.api.merge_parts import (
    MergePart,
    combine_sources_of,
    describe_unfinished,
    find_missing_shards,
    group_parts,
    is_all_read,
)
from batchinfer.api.settings import Sources, StrPath, to_texts
from batchinfer.api.sync_runner import in_thread
from batchinfer.config import get_stored_shard
from batchinfer.domain import Counts, Json, RunInfo
from batchinfer.errors import ConfigError, RunLocked, StoreError, option
from batchinfer.protocols.object_ids import new_run_id
from batchinfer.shell import quote_for_shell
from batchinfer.store.database import has_run
from batchinfer.store.lock import is_run_locked
from batchinfer.store.merge_input import MergeInput
from batchinfer.store.merge_target import (
    create_target,
    is_unfinished_target,
    open_target,
    update_run_facts,
)
from batchinfer.store.merge_writer import MergeWriter
from batchinfer.store.row_checks import DamageCollector
from batchinfer.store.run_reader import RunReader


@dataclass(frozen=True, slots=True)
class MergeSummary:
    """What a merge did."""

    run: str
    """The directory of the merged run."""
    runs: tuple[str, ...]
    """The runs that were merged into it."""
    added: int
    """Items that it did not have before."""
    updated: int
    """Items that had come further in one of the runs."""
    known: int
    """Items that it had already, with the same result or a later one."""
    counts: Counts
    """Items of the merged run by state."""
    has_changed: bool
    """False: the merged run was left as it was."""
    is_complete: bool
    """Whether its sources were read to their end by all these runs together."""
    unfinished: tuple[str, ...] = ()
    """What is still to be done at the runs, a sentence each."""
    missing_shards: tuple[str, ...] = ()
    """Shards that none of the runs holds, as "7/16"."""

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer merge --json` prints (docs/reference/scripting.md)."""
        return {
            "run": self.run,
            "runs": list(self.runs),
            "added": self.added,
            "updated": self.updated,
            "known": self.known,
            "total": self.counts.total,
            "pending": self.counts.pending,
            "succeeded": self.counts.succeeded,
            "failed": self.counts.failed,
            "changed": self.has_changed,
            "complete": self.is_complete,
            "unfinished": list(self.unfinished),
            "missing_shards": list(self.missing_shards),
        }


def merge(
    runs: Sources, into: StrPath, *, partial: bool = False, prefer_first: bool = False
) -> MergeSummary:
    """Make several runs one: shards of a source, or any runs with the same service and parameters.

    Items, results, attempts with their logs, and output files are taken over as they are; the runs
    themselves are not changed. A run that is there already gets what it does not have: to merge
    again changes nothing. The work can be killed at any time and repeated.

    Args:
        runs: the run directories.
        into: the directory of the merged run.
        partial: also merge when runs are not finished, or shards are missing: `resume` of the
            merged run then sends the rest of all of them.
        prefer_first: where runs have different results of one item, keep that of `into` if it is
            there, else of the run that is named first. Without it they are refused.

    Returns:
        What was merged, and what is still to be done.

    Raises:
        RunMismatch: the runs differ in service, mode or parameters, or in the result of an item.
        RunDamaged: some of a run is not what was written; nothing was merged.
        RunLocked: a process works on one of the runs.
        StoreError: a run is not finished, or a run directory cannot be used.
        ConfigError: nothing is named that could be merged.
    """
    target = Path(into)
    directories = _list_runs(to_texts(runs), target)
    _require_target(target)
    with lock_run(target), ExitStack() as stack:
        damages = DamageCollector()
        opened = [stack.enter_context(MergeInput(each, damages)) for each in directories]
        existing = _read_existing(target, damages)
        return _Merge(target, existing, opened, damages).carry_out(
            partial=partial, prefer_first=prefer_first
        )


amerge = in_thread("amerge", merge)


@dataclass(frozen=True, slots=True)
class _Merge:
    """A merge whose runs are open."""

    target: Path
    existing: MergeInput | None
    """The run in `target` as it was; None: there is none yet."""
    runs: Sequence[MergeInput]
    damages: DamageCollector

    def carry_out(self, *, partial: bool, prefer_first: bool) -> MergeSummary:
        """Check that the runs go together, and write them. Raises as `merge`."""
        if self.existing is not None:
            require_whole_target(self.existing)
        require_same_config(self.existing or self.runs[0], self.runs)
        parts = [_make_part(run) for run in self.runs]
        all_parts = [*([_make_part(self.existing)] if self.existing else []), *parts]
        missing = find_missing_shards(all_parts)
        unfinished = tuple(filter(None, map(describe_unfinished, parts)))
        require_collected(all_parts)
        if not partial:
            require_finished(unfinished, list(map(str, missing)))
        sources = combine_sources_of(all_parts)
        is_read = all(is_all_read(part.sources, all_parts) for part in all_parts)
        if not is_read:
            require_one_stdin([*([self.existing] if self.existing else []), *self.runs])
        with self._open_target(sources) as (db, directory):
            writer = MergeWriter(db, directory, self.runs, self.damages)
            for group in group_parts(parts):
                members = [self.runs[parts.index(part)] for part in group]
                writer.write(iter_in_source_order(members, group[0].sources))
            writer.finish()
            require_intact(self.damages)
            if not prefer_first:
                require_no_conflict(writer.counts, self.target, self.runs)
            help_texts = (run.model_help for run in self.runs)
            has_new_facts = update_run_facts(
                db, sources, next(filter(None, help_texts), None), is_source_read=is_read
            )
        counts = writer.counts
        return MergeSummary(
            run=str(self.target),
            runs=tuple(str(run.directory) for run in self.runs),
            added=counts.added,
            updated=counts.updated,
            known=counts.known + counts.conflicts,
            counts=self._read_counts(),
            has_changed=writer.has_changed or has_new_facts,
            is_complete=is_read,
            unfinished=unfinished,
            missing_shards=tuple(map(str, missing)),
        )

    @contextmanager
    def _open_target(self, sources: tuple[str, ...]) -> Iterator[tuple[sqlite3.Connection, Path]]:
        if self.existing is not None:
            with open_target(self.target) as opened:
                yield opened
            return
        first = self.runs[0].info
        info = RunInfo(
            id=new_run_id(secrets.token_bytes(16)),
            created_at=min(run.info.created_at for run in self.runs),
            mode=first.mode,
            config=_without_shard(first.config),
            sources=sources,
        )
        self._copy_stdin(sources)
        with create_target(self.target, info) as opened:
            yield opened

    def _copy_stdin(self, sources: tuple[str, ...]) -> None:
        """Take over what the runs read from standard input: it may have to be read again."""
        for run in self.runs if names_stdin(sources) else ():
            for file in run.directory.glob(f"{STDIN_MANIFEST}*"):
                shutil.copyfile(file, self.target / file.name)

    def _read_counts(self) -> Counts:
        with RunReader(self.target) as reader:
            return reader.read_counts()


def _list_runs(runs: Sequence[str], target: Path) -> Sequence[Path]:
    """The run directories that are merged into `target`, each once. Raises ConfigError."""
    found: dict[Path, Path] = {}
    for directory in map(Path, runs):
        require_run(directory)
        found.setdefault(directory.resolve(), directory)
    found.pop(target.resolve(), None)
    if not found:
        raise ConfigError(f"Nothing to merge: name runs other than {target} itself.")
    for directory in found.values():
        if is_run_locked(directory):
            raise RunLocked(
                f"A process is working on the run in {directory}. Wait for it or stop it "
                f"(batchinfer ctl {quote_for_shell(str(directory))} stop), then merge."
            )
    return list(found.values())


def _require_target(target: Path) -> None:
    """Raise ConfigError or StoreError when the directory is in use for something else."""
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target} is a file. Name a directory with {option('into')}.")
    if has_run(target) or not target.is_dir() or is_unfinished_target(target):
        return
    if not all(map(is_run_file, target.iterdir())):
        raise StoreError(
            f"{target} is not empty and holds no run. Name another directory with {option('into')}."
        )


def _read_existing(target: Path, damages: DamageCollector) -> MergeInput | None:
    """What the run in `target` says of itself, no longer open: it is going to be written."""
    if not has_run(target):
        return None
    with MergeInput(target, damages) as existing:
        return existing


def _make_part(run: MergeInput) -> MergePart:
    return MergePart(
        run.directory,
        run.info.sources,
        get_stored_shard(run.info.config),
        run.is_source_complete,
        run.counts,
    )


def _without_shard(config: Mapping[str, Json]) -> Mapping[str, Json]:
    table = config.get("input")
    if not isinstance(table, Mapping):
        return config
    rest = {name: value for name, value in table.items() if name != "shard"}
    others = {name: value for name, value in config.items() if name != "input"}
    return {**others, **({"input": rest} if rest else {})}
