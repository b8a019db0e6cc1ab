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

from batchinfer.api.job import AsyncPhase, Job
from batchinfer.api.run_sources import find_run_spec
from batchinfer.api.typed_params import restore_stored_numbers, restore_text_params
from batchinfer.backends.proxies import find_proxy_for_url
from batchinfer.config import (
    Config,
    RunSettings,
    find_differences,
    load_config,
    load_stored_config,
    resolve_run_settings,
)
from batchinfer.domain import Item, Mode, RunInfo
from batchinfer.errors import ConfigError, RunMismatch, SourceError, StoreError
from batchinfer.protocols.registry import load_protocol
from batchinfer.sources import CombinedSource, OwnFiles, open_source
from batchinfer.sources.input_files import escape_undecodable
from batchinfer.sources.skip_counts import describe_skipped
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.lock import LOCK_NAME, RunLock
from batchinfer.store.run_reader import RunReader

STDIN_MANIFEST = "stdin.manifest"
"""Where a run keeps what it read from standard input; its companions' names begin the same."""

PREFETCH_ITEMS, PREFETCH_SECONDS = 5_000, 1.0
"""So much of a folder is read before the first item is sent, at most."""


def load_run_info(run: Path) -> RunInfo | None:
    """What is known of the run in a directory; None when there is none yet. Raises StoreError."""
    if not (run / DATABASE_NAME).exists():
        if run.exists() and not run.is_dir():
            raise ConfigError(f"{run} is a file, not a folder. Name another run directory with -o.")
        if run.is_dir() and not all(_is_run_file(entry) for entry in run.iterdir()):
            raise StoreError(
                f"{run} is not empty and holds no run. Name another run directory with -o."
            )
        return None
    with RunReader(run) as reader:
        return reader.info


def require_run(run: Path) -> None:
    """Raises StoreError when there is no run to go on with."""
    if run.exists() and not run.is_dir():
        raise StoreError(f"{run} is a file, not a run directory.")
    if not (run / DATABASE_NAME).exists():
        raise StoreError(f"{run} holds no run (there is no {DATABASE_NAME} in it).")


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Hold the run's lock. A directory in which no run was made in the end is cleared away: while
    it is held, for whoever is refused must leave alone what another process has begun.
    """  # noqa: D205 - one thought
    with RunLock(run):
        try:
            yield
        finally:
            with suppress(OSError):
                if not (run / DATABASE_NAME).exists() and all(map(_is_run_file, run.iterdir())):
                    for entry in run.iterdir():
                        entry.unlink()
                    run.rmdir()


def load_job_config(job: Job, info: RunInfo | None) -> Config:
    """The configuration that a job is done with. Raises ConfigError."""
    match job.config:
        case Config():
            return job.config
        case None if info is not None:
            return load_stored_config(info.config, job.env, job.flags, run=job.run)
        case path if info is not None and not job.sources:
            return load_stored_config(info.config, job.env, job.flags, path, job.run)
        case path:
            config = load_config(path, job.env, job.flags)
    if info is not None and config.run.mode is None:
        return replace(config, run=replace(config.run, mode=info.mode))
    return config


def resolve_job(job: Job, info: RunInfo | None) -> tuple[Config, RunSettings]:
    """The configuration, complete and fit for the run. Raises ConfigError, RunMismatch."""
    config = load_job_config(job, info)
    settings = resolve_run_settings(config, job.env)
    find_proxy_for_url(settings.target.endpoint)  # said now if it is none
    if job.phase is not AsyncPhase.BOTH and settings.mode is Mode.SYNC:
        raise ConfigError(f"{job.run} is a sync run; {job.phase} is for async runs.")
    if info is not None and config.raw_params:
        with RunReader(job.run) as reader:
            schema = load_protocol(settings.protocol).parse_help(reader.read_model_help() or "")
            config, settings = restore_text_params(config, settings, schema)
        config, settings = restore_stored_numbers(config, settings, info)
    if info is not None and not job.force:
        _reject_differences(job.run, info, config)
    return config, settings


def open_job_sources(
    job: Job, config: Config, settings: RunSettings, directory: Path
) -> CombinedSource | None:
    """What is to be read, checked; None when there is nothing (more) to read. Raises SourceError.

    `home`: the directory that keeps what comes from standard input.
    """
    specs, has_begun = job.sources, load_run_info(job.run) is not None
    if has_begun:
        with RunReader(job.run) as reader:
            known_specs = reader.info.sources
            if not specs:
                specs = () if reader.is_source_complete else known_specs
        specs = tuple(find_run_spec(spec, known_specs) for spec in specs)
    if not specs:
        return None
    source = open_source(
        specs,
        file_param=settings.file_param,
        selection=settings.selection,
        own_files=find_own_files(job.run, config, job.config),
        spool=directory / STDIN_MANIFEST,
        stdin=job.stdin,
        is_existing_run=not job.sources,
    )
    source.check(may_be_missing=has_begun)
    return source


def is_run_source(job: Job, info: RunInfo | None) -> bool:
    """Whether what cannot be read is what the run has begun with, so that it is away."""
    if info is None:
        return False
    return {find_run_spec(spec, info.sources) for spec in job.sources} <= set(info.sources)


def find_own_files(
    directory: Path, config: Config, config_argument: Path | Config | None
) -> OwnFiles:
    """What of batchinfer's is known by its place: the directory it writes to, and the configuration
    with its secrets. All else is known by what it is.
    """  # noqa: D205 - one thought
    configs = [each for each in (config.file, config_argument) if isinstance(each, Path)]
    paths = [directory, *configs, *(each.path for each in config.env_files)]
    return OwnFiles.of(map(str, paths))


def read_items(source: CombinedSource) -> Iterator[Item]:
    """The items of a source. Of folders some are read in advance, as long as it takes no time to
    speak of: if those are all, it can be said before anything is sent what is taken and skipped.

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


def _is_run_file(entry: Path) -> bool:
    return entry.name.startswith((LOCK_NAME, STDIN_MANIFEST, f"{DATABASE_NAME}.new"))


def _reject_differences(run: Path, info: RunInfo, config: Config) -> None:
    if differing := find_differences(info.config, config.to_tables()):
        raise RunMismatch(
            f"{run}: this run was started with {', '.join(differing)}. Use a new folder (-o NAME), "
            "so "
            "that results are not mixed; or --force, to send what is left like that."
        )
