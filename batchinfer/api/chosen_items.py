"""The items that a run chooses of its source (`--sample`, `--order`), and that it keeps its choice.

They are chosen once, when the run begins, and written down in the run directory; a resumed run
reads them from there. `store.ordered_items` has the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batchinfer.api.job import ResolvedJob
from batchinfer.config.stored_choice import get_stored_choice
from batchinfer.domain import Item
from batchinfer.errors import ConfigError, RunMismatch, option
from batchinfer.sources import CombinedSource
from batchinfer.store.ordered_items import (
    has_ordered_items,
    iter_ordered_items,
    remove_ordered_items,
    write_ordered_items,
)


def check_choice(resolved: ResolvedJob) -> None:
    """Refuse a choice that the run did not make, or that makes no sense. Raises as `check_job`."""
    choice, stored, run = resolved.settings.choice, resolved.stored, resolved.run
    if choice.is_needed and resolved.settings.watch is not None:
        raise ConfigError(
            f"{option('sample')} and {option('order')} choose among all items, and what is watched "
            "never has all: leave them away, or send what is there now with `batchinfer run`."
        )
    if stored is None:
        return
    kept = get_stored_choice(stored.info.config)
    if kept != choice:
        raise RunMismatch(
            f"The run in {run} sends {kept.describe()}; you asked for {choice.describe()}. A run "
            f"keeps its choice: leave {option('sample')}, {option('seed')} and {option('order')} "
            f"away to continue it, or choose another run directory with {option('run')}. Nothing "
            "was sent."
        )
    if resolved.job.add_sources and (choice.sample or has_ordered_items(run)):
        what = "is a sample" if choice.sample else "is not read to the end of its source yet"
        raise ConfigError(
            f"The run in {run} {what}: nothing can be added to it. Choose another run directory "
            f"with {option('run')}."
        )


def choose_items(
    source: CombinedSource, resolved: ResolvedJob, folder: Path
) -> Iterator[Item] | None:
    """The chosen items in their order; None: all, as they come.

    Blocks until all of the source has been read, the first time. `folder`: where they are written
    down. Raises SourceError, StoreError.
    """
    job, choice = resolved.job, resolved.settings.choice
    if not choice.is_needed:
        return None
    stored = resolved.stored
    is_kept = stored is not None and not stored.is_source_complete and has_ordered_items(folder)
    if not is_kept or job.moved_to or job.sources_moved:
        write_ordered_items(folder, choice.take(source))
    return iter_ordered_items(folder)


def is_sample_complete(resolved: ResolvedJob) -> bool:
    """Whether the run has all of its sample: whatever has come to its source, that stays."""
    stored, sample = resolved.stored, resolved.settings.choice.sample
    return sample is not None and stored is not None and stored.is_source_complete


def forget_chosen_items(directory: Path, *, is_source_complete: bool) -> None:
    """Delete what was written down once the run has all of it."""
    if is_source_complete and has_ordered_items(directory):
        remove_ordered_items(directory)
