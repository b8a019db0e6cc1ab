"""Before anything is sent: what is known, configured and given is read and checked.

Everything that can be refused is refused here; nothing is left of a run that never began.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from batchinfer.api.job import Half, Job
from batchinfer.api.relocating import known_as
from batchinfer.api.typed_params import keep_stored, keep_texts
from batchinfer.backends.proxies import proxy_before
from batchinfer.config import Config, Resolved, differences, from_stored, load, resolve
from batchinfer.domain import Item, Mode, RunInfo
from batchinfer.errors import ConfigError, RunMismatch, SourceError, StoreError
from batchinfer.oscar.schema import parse_help
from batchinfer.sources import Own, Sources, open_source
from batchinfer.sources.files import printable
from batchinfer.sources.skipped import sentence
from batchinfer.store.database import DATABASE
from batchinfer.store.lock import LOCK, RunLock
from batchinfer.store.reader import RunReader

STDIN_MANIFEST = "stdin.manifest"
"""Where a run keeps what it read from standard input; its companions' names begin the same."""

AHEAD_ITEMS, AHEAD_SECONDS = 5_000, 1.0
"""So much of a folder is read before the first item is sent, at most."""


def known(run: Path) -> RunInfo | None:
    """What is known of the run in a directory; None when there is none yet. Raises StoreError."""
    if not (run / DATABASE).exists():
        if run.exists() and not run.is_dir():
            raise ConfigError(f"{run} is a file, not a folder. Name another run directory with -o.")
        if run.is_dir() and not all(_is_ours(entry) for entry in run.iterdir()):
            raise StoreError(
                f"{run} is not empty and holds no run. Name another run directory with -o."
            )
        return None
    with RunReader(run) as reader:
        return reader.info


def must_be_known(run: Path) -> None:
    """Raises StoreError when there is no run to go on with."""
    if run.exists() and not run.is_dir():
        raise StoreError(f"{run} is a file, not a run directory.")
    if not (run / DATABASE).exists():
        raise StoreError(f"{run} holds no run (there is no {DATABASE} in it).")


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Hold the run's lock. A directory in which no run was made in the end is cleared away: while
    it is held, for whoever is refused must leave alone what another process has begun.
    """  # noqa: D205 - one thought
    with RunLock(run):
        try:
            yield
        finally:
            with suppress(OSError):
                if not (run / DATABASE).exists() and all(map(_is_ours, run.iterdir())):
                    for entry in run.iterdir():
                        entry.unlink()
                    run.rmdir()


def configured(job: Job, info: RunInfo | None) -> Config:
    """The configuration that a job is done with. Raises ConfigError."""
    match job.config:
        case Config():
            return job.config
        case None if info is not None:
            return from_stored(info.config, job.env, job.flags, run=job.run)
        case path if info is not None and not job.sources:
            return from_stored(info.config, job.env, job.flags, path, job.run)
        case path:
            config = load(path, job.env, job.flags)
    if info is not None and config.run.mode is None:
        return replace(config, run=replace(config.run, mode=info.mode))
    return config


def checked(job: Job, info: RunInfo | None) -> tuple[Config, Resolved]:
    """The configuration, complete and fit for the run. Raises ConfigError, RunMismatch."""
    config = configured(job, info)
    resolved = resolve(config, job.env)
    proxy_before(resolved.access.endpoint)  # said now if it is none
    if job.half is not Half.BOTH and resolved.mode is Mode.SYNC:
        raise ConfigError(f"{job.run} is a sync run; {job.half} is for async runs.")
    if info is not None and config.typed:
        with RunReader(job.run) as reader:
            config, resolved = keep_texts(config, resolved, parse_help(reader.help() or ""))
        config, resolved = keep_stored(config, resolved, info)
    if info is not None and not job.force:
        _refuse_differences(job.run, info, config)
    return config, resolved


def source_of(job: Job, config: Config, resolved: Resolved, home: Path) -> Sources | None:
    """What is to be read, checked; None when there is nothing (more) to read. Raises SourceError.

    `home`: the directory that keeps what comes from standard input.
    """
    specs, has_begun = job.sources, known(job.run) is not None
    if has_begun:
        with RunReader(job.run) as reader:
            known_specs = reader.info.sources
            if not specs:
                specs = () if reader.source_is_read else known_specs
        specs = tuple(known_as(spec, known_specs) for spec in specs)
    if not specs:
        return None
    source = open_source(
        specs,
        file_param=resolved.file_param,
        selection=resolved.selection,
        own=own_of(job.run, config, job.config),
        spool=home / STDIN_MANIFEST,
        stdin=job.stdin,
        is_known=not job.sources,
    )
    source.check(may_be_missing=has_begun)
    return source


def is_gone(job: Job, info: RunInfo | None) -> bool:
    """Whether what cannot be read is what the run has begun with, so that it is away."""
    if info is None:
        return False
    return {known_as(spec, info.sources) for spec in job.sources} <= set(info.sources)


def own_of(directory: Path, config: Config, given: Path | Config | None) -> Own:
    """What of batchinfer's is known by its place: the directory it writes to, and the configuration
    with its secrets. All else is known by what it is.
    """  # noqa: D205 - one thought
    configs = [each for each in (config.file, given) if isinstance(each, Path)]
    paths = [directory, *configs, *(each.path for each in config.env_files)]
    return Own.of(map(str, paths))


def items_of(source: Sources) -> Iterator[Item]:
    """The items of a source. Of folders some are read in advance, as long as it takes no time to
    speak of: if those are all, it can be said before anything is sent what is taken and skipped.

    Raises SourceError when there is none.
    """  # noqa: D205 - one thought
    items = iter(source)
    ahead = list(islice(items, 1))
    if not ahead:
        raise SourceError(_nothing(source))
    if source.has_folders:
        until = time.monotonic() + AHEAD_SECONDS
        while len(ahead) < AHEAD_ITEMS and time.monotonic() < until:
            if not (more := list(islice(items, 50))):
                break
            ahead += more
    return chain(ahead, items)


def _nothing(source: Sources) -> str:
    taken, counts = source.skipped
    where = ", ".join(printable(spec) for spec in source.specs)
    if not counts:
        return f"There is nothing to send in {where}: no file was found. Check the path."
    told = f"There is nothing to send in {where}. {sentence(taken, counts)} Check the path"
    return f"{told}, and {', '.join(source.asked)}." if source.asked else f"{told}."


def _is_ours(entry: Path) -> bool:
    return entry.name.startswith((LOCK, STDIN_MANIFEST, f"{DATABASE}.new"))


def _refuse_differences(run: Path, info: RunInfo, config: Config) -> None:
    if found := differences(info.config, config.unexpanded()):
        raise RunMismatch(
            f"{run}: this run was started with {', '.join(found)}. Use a new folder (-o NAME), so "
            "that results are not mixed; or --force, to send what is left like that."
        )
