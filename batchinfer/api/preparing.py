"""Before anything is sent: what is known, configured and given is read and checked.

Everything that can be refused is refused here; nothing is left of a run that never began.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from batchinfer.api.job import Half, Job
from batchinfer.config import Config, Resolved, differences, from_stored, load, resolve
from batchinfer.domain import Item, Mode, RunInfo
from batchinfer.errors import ConfigError, RunMismatch, SourceError, StoreError
from batchinfer.sources import Sources, open_source
from batchinfer.store.database import DATABASE
from batchinfer.store.lock import LOCK, RunLock
from batchinfer.store.reader import RunReader

STDIN_MANIFEST = "stdin.manifest"
"""Where a run keeps what it read from standard input; its companions' names begin the same."""


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
    if job.half is not Half.BOTH and resolved.mode is Mode.SYNC:
        raise ConfigError(f"{job.run} is a sync run; {job.half} is for async runs.")
    if info is not None and not job.force:
        _refuse_differences(job.run, info, config)
    return config, resolved


def source_of(job: Job, resolved: Resolved, home: Path) -> Sources | None:
    """What is to be read, checked; None when there is nothing (more) to read. Raises SourceError.

    `home`: the directory that keeps what comes from standard input.
    """
    specs = job.sources
    if not specs and known(job.run) is not None:
        with RunReader(job.run) as reader:
            specs = () if reader.source_is_read else reader.info.sources
    if not specs:
        return None
    source = open_source(
        specs,
        file_param=resolved.file_param,
        glob=resolved.glob,
        spool=home / STDIN_MANIFEST,
        stdin=job.stdin,
    )
    source.check()
    return source


def items_of(source: Sources, run: Path) -> Iterator[Item]:
    """The items of a source, without what lies in the run directory itself.

    Raises SourceError when there is none.
    """
    own = str(run.absolute()) + os.sep
    items = (item for item in source if not any(file.path.startswith(own) for file in item.files))
    first = next(items, None)
    if first is None:
        raise SourceError(
            f"There is nothing to send in {', '.join(source.specs)}: no file was found (hidden "
            "ones are skipped). Check the path, and --glob if you use it."
        )
    return chain([first], items)


def _is_ours(entry: Path) -> bool:
    return entry.name.startswith((LOCK, STDIN_MANIFEST, f"{DATABASE}.new"))


def _refuse_differences(run: Path, info: RunInfo, config: Config) -> None:
    if found := differences(info.config, config.unexpanded()):
        raise RunMismatch(
            f"{run}: this run was started with {', '.join(found)}. Use a new folder (-o NAME), so "
            "that results are not mixed; or --force, to send what is left like that."
        )
