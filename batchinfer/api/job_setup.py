"""The sources of a job, opened and checked before anything is sent; and the lock of its run.

Everything that can be refused is refused here; nothing is left of a run that never began.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path

from batchinfer.api.job import STDIN_MANIFEST, Job, ResolvedJob, is_run_file
from batchinfer.api.run_sources import find_run_spec
from batchinfer.config import Config
from batchinfer.domain import Item, RunInfo
from batchinfer.errors import SourceError
from batchinfer.sources import CombinedSource, OwnFiles, open_source
from batchinfer.sources.input_files import escape_undecodable
from batchinfer.sources.skip_counts import describe_skipped
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.lock import RunLock

PREFETCH_ITEMS, PREFETCH_SECONDS = 5_000, 1.0
"""So much of a folder is read before the first item is sent, at most."""


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Hold the run's lock. A directory in which no run was made in the end is removed while the
    lock is held: who is refused the lock must leave alone what another process has begun.
    """  # noqa: D205 - one thought
    with RunLock(run):
        try:
            yield
        finally:
            with suppress(OSError):
                if not (run / DATABASE_NAME).exists() and all(map(is_run_file, run.iterdir())):
                    for entry in run.iterdir():
                        entry.unlink()
                    run.rmdir()


def open_job_sources(resolved: ResolvedJob, spool_folder: Path) -> CombinedSource | None:
    """What is to be read, checked; None when there is nothing (more) to read. Raises SourceError.

    `spool_folder`: where what comes from standard input is kept.
    """
    job, stored, settings = resolved.job, resolved.stored, resolved.settings
    specs = job.sources
    if stored is not None:
        if not specs and not stored.is_source_complete:
            specs = stored.info.sources
        specs = tuple(find_run_spec(spec, stored.info.sources) for spec in specs)
    if not specs:
        return None
    source = open_source(
        specs,
        file_param=settings.file_param,
        selection=settings.selection,
        own_files=find_own_files(job.run, resolved.config, job.config),
        spool=spool_folder / STDIN_MANIFEST,
        stdin=job.stdin,
        is_existing_run=not job.sources,
    )
    source.check(may_be_missing=stored is not None)
    return source


def is_run_source(job: Job, info: RunInfo | None) -> bool:
    """Whether the job reads nothing but the sources that the run was started with."""
    if info is None:
        return False
    return {find_run_spec(spec, info.sources) for spec in job.sources} <= set(info.sources)


def find_own_files(
    directory: Path, config: Config, config_argument: Path | Config | None
) -> OwnFiles:
    """Files of batchinfer that are known by their place: the directory it writes to, and the
    configuration with its secrets. All others are known by their content.
    """  # noqa: D205 - one thought
    configs = [each for each in (config.file, config_argument) if isinstance(each, Path)]
    paths = [directory, *configs, *(each.path for each in config.env_files)]
    return OwnFiles.of(map(str, paths))


def read_items(source: CombinedSource) -> Iterator[Item]:
    """The items of a source. Some items of folders are read in advance, for a short time: if those
    are all, what is sent and what is skipped can be reported before anything is sent.

    Raises SourceError when there is none.
    """  # noqa: D205 - one thought
    items = iter(source)
    prefetched = list(islice(items, 1))
    if not prefetched:
        raise SourceError(_nothing_to_send_message(source))
    if source.has_folders:
        prefetch_end = time.monotonic() + PREFETCH_SECONDS
        while len(prefetched) < PREFETCH_ITEMS and time.monotonic() < prefetch_end:
            if not (more := list(islice(items, 50))):
                break
            prefetched += more
    return chain(prefetched, items)


def _nothing_to_send_message(source: CombinedSource) -> str:
    taken, counts = source.taken_and_skipped
    where = ", ".join(escape_undecodable(spec) for spec in source.specs)
    if not counts:
        return f"There is nothing to send in {where}: no file was found. Check the path."
    message = (
        f"There is nothing to send in {where}. {describe_skipped(taken, counts)} Check the path"
    )
    return (
        f"{message}, and {', '.join(source.selection_as_typed)}."
        if source.selection_as_typed
        else f"{message}."
    )
