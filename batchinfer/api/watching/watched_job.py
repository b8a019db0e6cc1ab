"""A job whose sources are watched: opened when they are there, and waited for when they are not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from batchinfer.api.job import ResolvedJob
from batchinfer.api.job_sources import is_run_source, make_source_check_by, open_job_sources
from batchinfer.api.watching.source_watcher import SourceWatcher
from batchinfer.domain import Item
from batchinfer.engine import CheckSource
from batchinfer.errors import ConfigError, SourceError
from batchinfer.ports import Observer, WorkQueue
from batchinfer.sources import CombinedSource
from batchinfer.sources.folder_source import FolderSource
from batchinfer.sources.own_files import get_identity
from batchinfer.sources.source_presence import SourcePresence, find_root_folder
from batchinfer.sources.uri_source import UriSource


def open_watched_sources(resolved: ResolvedJob) -> CombinedSource | None:
    """The sources that are to be watched; None: those of a run that are away for now.

    Raises SourceError, and ConfigError for what cannot grow.
    """
    try:
        return _open(resolved)
    except SourceError:
        if is_run_source(resolved.job, None if resolved.stored is None else resolved.stored.info):
            return None
        raise


def _open(resolved: ResolvedJob) -> CombinedSource:
    source = open_job_sources(resolved, resolved.run, _check_parts)
    if source is None:
        raise SourceError("No source given: name a folder or an address to watch.")
    return source


def _check_parts(source: CombinedSource) -> None:
    for spec, part in zip(source.specs, source.parts, strict=True):
        if not isinstance(part, FolderSource | UriSource):
            raise ConfigError(
                f"{spec} cannot be watched: folders, patterns and addresses (s3://...) can. Send "
                "what it names now with `batchinfer run`."
            )


@contextmanager
def open_watcher(
    resolved: ResolvedJob, source: CombinedSource | None, queue: WorkQueue, observer: Observer
) -> Iterator[SourceWatcher | None]:
    """What watches the sources of a job, for as long as the block lasts; None: nothing does."""
    if resolved.settings.watch is None:
        yield None
        return
    watcher = SourceWatcher(
        open_source=lambda: _open(resolved),
        source=source,
        queue=queue,
        settings=resolved.settings.watch,
        observer=observer,
        ignored_folder=str(resolved.run.absolute()),
    )
    try:
        yield watcher
    finally:
        watcher.close()


def make_watched_source_check(specs: Sequence[str]) -> CheckSource:
    """What the engine asks when a file of a watched run cannot be read.

    Only the source as a whole can be away: that the others are gone, too, says nothing, for files
    may be moved on once they are sent. A folder that held something when the watch began is there
    as long as it is the same one, also when it is empty.
    """
    presence = SourcePresence(specs)
    roots = [root for root in map(find_root_folder, specs) if root is not None]
    identities = {root: get_identity(root) for root in roots if _holds_anything(root)}

    def find_cause(item: Item) -> str | None:
        for file in item.files:
            root = next((each for each in identities if file.path.startswith(f"{each}/")), None)
            if root is not None and get_identity(root) == identities[root] is not None:
                continue
            if why := presence.explain_absence(file.path, ()):
                return why
        return None

    return make_source_check_by(find_cause)


def _holds_anything(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
