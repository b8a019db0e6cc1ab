"""The sources of a job: opened and checked before anything is sent, then read page by page.

Everything that can be refused is refused before; nothing is left of a run that never began.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple, Unpack

import anyio
import anyio.to_thread

from batchinfer.api.job import STDIN_MANIFEST, Job, ResolvedJob, is_run_file
from batchinfer.api.run_sources import find_run_spec
from batchinfer.config import Config
from batchinfer.domain import Item, RunInfo
from batchinfer.engine import CheckSource, ReadPage
from batchinfer.errors import BatchInferError, RunAborted, SourceError, SourceUnavailable
from batchinfer.failures import SOURCE_UNAVAILABLE
from batchinfer.ports import Notice, Observer
from batchinfer.sources import CombinedSource, OwnFiles, open_source
from batchinfer.sources.skip_counts import describe_skipped
from batchinfer.sources.source_presence import MIN_MISSING_FILES, SourcePresence
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.json_codec import MAX_STATEMENT_CHARS, encode_json
from batchinfer.store.lock import RunLock
from batchinfer.store.run_lease import RunLease
from batchinfer.store.run_reader import RunReader
from batchinfer.text_format import escape_undecodable

PREFETCH_ITEMS, PREFETCH_SECONDS = 5_000, 1.0
"""So much of a folder is read before the first item is sent, at most."""
SOURCE_CHECK_TIMEOUT: Final = 20.0
"""Seconds after which a source that is looked at does not answer at all."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@contextmanager
def lock_run(run: Path) -> Iterator[RunLock]:
    """Hold the run's lock. A directory in which no run was made in the end is removed while the
    lock is held: who is refused the lock must leave alone what another process has begun.
    """  # noqa: D205 - one thought
    with RunLock(run) as lock, _keep_lock(run, lock):
        yield lock


@asynccontextmanager
async def lock_run_across_machines(run: Path, *, required: bool) -> AsyncIterator[RunLock]:
    """As `lock_run`, also against other machines that share the directory, where `required` or
    where its file system is one of a network. Cancelled, it does not wait for them.
    """  # noqa: D205 - one thought
    lock = RunLock(run, across_machines=required)
    if lock.lease is None:
        lock.__enter__()
    else:
        await _enter_in_thread(lock, lock.lease)
    with _keep_lock(run, lock):
        yield lock


@contextmanager
def _keep_lock(run: Path, lock: RunLock) -> Iterator[None]:
    with closing(lock):
        try:
            yield
        finally:
            _remove_unless_run(run)


def _remove_unless_run(directory: Path) -> None:
    with suppress(OSError):
        # Again: a thread that reads standard input may have added one of its two files meanwhile.
        for _ in range(3):
            entries = list(directory.iterdir())
            if (directory / DATABASE_NAME).exists() or not all(map(is_run_file, entries)):
                return
            for entry in entries:
                entry.unlink(missing_ok=True)
            with suppress(OSError):
                directory.rmdir()
                return


async def _enter_in_thread(lock: RunLock, lease: RunLease) -> None:
    """Whether a holder on another machine is alive may take a minute: Ctrl-C does not wait."""
    try:
        await anyio.to_thread.run_sync(lock.__enter__, abandon_on_cancel=True)
    except anyio.get_cancelled_exc_class():
        lease.abandon()
        raise


def open_job_sources(
    resolved: ResolvedJob,
    spool_folder: Path,
    check_parts: Callable[[CombinedSource], None] = lambda _: None,
) -> CombinedSource | None:
    """What is to be read, checked; None when there is nothing (more) to read. Raises SourceError.

    `spool_folder`: where what comes from standard input is kept. `check_parts`: what is checked
    first.
    """
    job, stored, settings = resolved.job, resolved.stored, resolved.settings
    specs = job.sources
    if stored is not None:
        if not specs and (not stored.is_source_complete or settings.watch is not None):
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
        known_specs=frozenset(() if stored is None else stored.info.sources),
    )
    check_parts(source)
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


def read_items(source: CombinedSource, chosen: Iterator[Item] | None = None) -> Iterator[Item]:
    """The items of a source. Some items of folders are read in advance, for a short time: if those
    are all, what is sent and what is skipped can be reported before anything is sent.

    `chosen`: those that were chosen among them. Raises SourceError when there is none. A shard may
    be empty, if other shards are not.
    """  # noqa: D205 - one thought
    items = iter(source) if chosen is None else chosen
    prefetched = list(islice(items, 1))
    if not prefetched and source.other_shards.taken:
        return items  # a small source leaves some shard empty
    if not prefetched:
        raise SourceError(_nothing_to_send_message(source))
    if source.has_folders and chosen is None:
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


def make_page_reader(
    items: Iterator[Item], source: CombinedSource, observer: Observer, run: Path
) -> ReadPage:
    """Reads further items for the engine, and reports what the source has to say meanwhile."""
    reported: set[Notice] = set()
    presence = SourcePresence(source.specs)

    async def read_page(size: int) -> list[Item]:
        try:
            page = await run_in_thread(_take_page, items, size)
        except SourceError as error:
            is_source_away = isinstance(error, SourceUnavailable) or not presence.has_all_folders()
            if is_source_away:
                raise to_run_aborted(run, error) from None
            raise
        for notice in source.notices:
            if notice not in reported:
                reported.add(notice)
                observer.notify(notice)
        return page

    return read_page


def _take_page(items: Iterable[Item], size: int) -> list[Item]:
    page: list[Item] = []
    chars_left = MAX_STATEMENT_CHARS
    for item in islice(items, size):
        page.append(item)
        chars_left -= len(encode_json(item.params)) if item.params else 0
        if chars_left < 0:
            break
    return page


def make_source_check(run: Path, specs: Sequence[str]) -> CheckSource:
    """What the engine asks when a file of the run cannot be read."""
    presence = SourcePresence(specs)

    def find_cause(item: Item) -> str | None:
        with RunReader(run) as reader:
            others = [file.path for file in reader.sample_files(MIN_MISSING_FILES + 1)]
        for file in item.files:
            if why := presence.explain_absence(file.path, others):
                return why
        return None

    return make_source_check_by(find_cause)


def make_source_check_by(find_cause: Callable[[Item], str | None]) -> CheckSource:
    """The same by a function that blocks: why the source of an item is away, None if it is not."""

    async def check_source(item: Item) -> str | None:
        try:
            with anyio.fail_after(SOURCE_CHECK_TIMEOUT):
                return await anyio.to_thread.run_sync(find_cause, item, abandon_on_cancel=True)
        except TimeoutError:
            return (
                f"the folder of {escape_undecodable(item.files[0].path)} does not answer (its "
                "server?)"
            )
        except (BatchInferError, OSError, RuntimeError):  # too many open files, say
            return None

    return check_source


def to_run_aborted(run: Path, error: SourceError) -> RunAborted:
    """The source of a run that has begun cannot be read: that is an outage, and no mistake."""
    return RunAborted(
        SOURCE_UNAVAILABLE,
        f"{error.message} This run has begun, and none of its items was failed for that: bring the "
        "source back (is its disk mounted?), then continue. If it has moved for good, name its new "
        f"place: batchinfer resume {shlex.quote(str(run))} --source NEW",
    )


async def run_in_thread(function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
    """Read in a thread. Cancelled, it is left alone: it may read a terminal or a dead disk."""
    return await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=True)
