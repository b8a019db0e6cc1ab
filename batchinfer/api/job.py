"""A job: what one process is asked to do with a run, and what is known before it begins.

The run directory is read once (`load_stored_run`) and the configuration is resolved once
(`resolve_job`); everything below is handed a `ResolvedJob` and reads neither again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from batchinfer.api.typed_params import find_stored_numbers, find_text_params
from batchinfer.config import (
    Concurrency,
    Config,
    RunSettings,
    find_differences,
    get_stored_path,
    get_stored_shard,
    load_config,
    load_stored_config,
    resolve_run_settings,
)
from batchinfer.config.source_resolver import require_source_secrets
from batchinfer.config.stored_choice import keep_stored_choice
from batchinfer.domain import Json, Mode, RunInfo
from batchinfer.errors import ConfigError, IncompleteConfig, RunMismatch, StoreError, option
from batchinfer.protocols.registry import load_protocol
from batchinfer.sources.shard import Shard
from batchinfer.sources.source_specs import mark_format
from batchinfer.store.database import DATABASE_NAME
from batchinfer.store.lock import LOCK_NAME
from batchinfer.store.ordered_items import ORDERED_ITEMS_NAME
from batchinfer.store.run_reader import RunReader

STDIN_MANIFEST = "stdin.manifest"
"""Where a run keeps what it read from standard input; its companions' names begin the same."""

DEFAULT_MAX_SUBMITTED = 1_000
"""Objects submitted and unfinished when only submitting, unless configured: each of them is a
Kubernetes job."""


class AsyncPhase(StrEnum):
    """Which half of async mode a job does."""

    BOTH = "both"
    SUBMIT = "submit"
    COLLECT = "collect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a process is asked to do."""

    run: Path
    """The run directory."""
    sources: tuple[str, ...] = ()
    """None: continue what the run has; its source is read on if it was not read to its end."""
    config: Config | Path | None = None
    """None: what the run directory keeps."""
    flags: Mapping[str, object] = field(default_factory=dict)
    """Settings that win over every other place, named `section.key`; None means not given."""
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    phase: AsyncPhase = AsyncPhase.BOTH
    """One half implies async mode, unless the run is in sync mode: then the job is refused."""
    limit: int | None = None
    """Items sent by this process, at most."""
    force: bool = False
    """Continue although service, mode or parameters differ from the run's; for this process only.
    """
    clean: bool = False
    """Async mode: delete objects from the bucket once their results are recorded."""
    validate: bool = True
    """Check the parameters against the model's help before anything is sent."""
    stdin: BinaryIO | None = None
    client: Any = None
    """A `distributed.Client` whose cluster makes the attempts; None: as configured."""
    add_sources: bool = False
    """Add the items of sources that the run was not made from; else they are refused."""
    sources_moved: bool = False
    """`sources` are those of the run, at a new place."""
    moved_to: tuple[str, ...] = ()
    """The new places of the run's sources, when the run is resumed without naming `sources`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """What a run directory says of its run, read once."""

    info: RunInfo
    is_source_complete: bool
    model_help: str
    """The model's help as the service answered; empty when the run does not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedJob:
    """A job with everything that is known before it begins."""

    job: Job
    stored: StoredRun | None
    """None: there is no run in the directory yet."""
    config: Config
    settings: RunSettings
    working_directory: Path | None = None
    """Where `run.db` is worked on, when that is not the run directory (`scratch`)."""

    @property
    def store_directory(self) -> Path:
        """Where `run.db` is worked on."""
        return self.working_directory or self.job.run

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.job.run

    def with_params(self, params: Mapping[str, Json]) -> ResolvedJob:
        """The same with other values of these parameters of the model."""
        if not params:
            return self
        return replace(
            self,
            config=replace(self.config, params={**self.config.params, **params}),
            settings=replace(self.settings, params={**self.settings.params, **params}),
        )


def load_stored_run(run: Path) -> StoredRun | None:
    """What the run directory says; None when there is no run yet. Raises ConfigError, StoreError.

    A directory that holds anything else is refused.
    """
    if (run / DATABASE_NAME).exists():
        with RunReader(run) as reader:
            return StoredRun(
                info=reader.info,
                is_source_complete=reader.is_source_complete,
                model_help=reader.read_model_help() or "",
            )
    _refuse_file(run)
    if run.is_dir() and not all(map(is_run_file, run.iterdir())):
        raise StoreError(
            f"{run} is not empty and holds no run. Name another run directory with {option('run')}."
        )
    return None


def require_job_run(run: Path) -> None:
    """As `require_run`, for a job: a file in the run's place is a mistake in what was asked for."""
    _refuse_file(run)
    require_run(run)


def _refuse_file(run: Path) -> None:
    if run.exists() and not run.is_dir():
        raise ConfigError(
            f"{run} is a file, not a folder. Name another run directory with {option('run')}."
        )


def require_run(run: Path) -> None:
    """Raises StoreError when there is no run in the directory."""
    if run.exists() and not run.is_dir():
        raise StoreError(f"{run} is a file, not a run directory.")
    if not (run / DATABASE_NAME).exists():
        raise StoreError(f"{run} holds no run: start one with `batchinfer run`.")


def is_run_file(path: Path) -> bool:
    """Whether a file in a run directory may be there before the run itself is."""
    name = path.name.removeprefix(".")  # as it is called until it is whole
    return name.startswith((LOCK_NAME, STDIN_MANIFEST, ORDERED_ITEMS_NAME, f"{DATABASE_NAME}.new"))


def resolve_job(job: Job, stored: StoredRun | None) -> ResolvedJob:
    """Read the configuration of a job and complete it. Raises ConfigError.

    `stored`: what `load_stored_run` read. `check_job` says whether the result fits the run.
    """
    info = None if stored is None else stored.info
    if job.phase is not AsyncPhase.BOTH and (info is None or info.mode.uses_bucket):
        job = replace(job, flags={"run.mode": Mode.ASYNC.value, **_drop_unset(job.flags)})
    config = _load_config(job, info)
    if info is not None:
        require_source_secrets(config, info.config)
    if job.phase is AsyncPhase.SUBMIT and config.run.concurrency == Concurrency():
        submitted = Concurrency(DEFAULT_MAX_SUBMITTED, DEFAULT_MAX_SUBMITTED)
        config = replace(config, run=replace(config.run, concurrency=submitted))
    job = replace(job, sources=mark_format(job.sources, config.input.source_format))
    settings = resolve_run_settings(config, job.env)
    if job.phase is not AsyncPhase.BOTH:  # half a run is done when it is done
        settings = replace(settings, watch=None)
    resolved = ResolvedJob(job=job, stored=stored, config=config, settings=settings)
    if stored is None or not config.raw_params:
        return resolved
    schema = load_protocol(settings.protocol, settings.protocol_options).parse_help(
        stored.model_help
    )
    resolved = resolved.with_params(find_text_params(config, schema))
    return resolved.with_params(find_stored_numbers(resolved.config, stored.info))


def resolve(job: Job | ResolvedJob) -> ResolvedJob:
    """`resolve_job`, unless that was done before.

    A run that lacks a secret takes the config that it was started with, if that is still there.
    """
    if isinstance(job, ResolvedJob):
        return job
    stored = load_stored_run(job.run)
    try:
        return resolve_job(job, stored)
    except IncompleteConfig:
        file = None if stored is None else get_stored_path(stored.info.config)
        if job.config is None and file is not None and file.is_file():
            with suppress(ConfigError):
                return resolve_job(replace(job, config=file), stored)
        raise


def check_job(resolved: ResolvedJob) -> None:
    """Refuse what does not fit the run or the mode. Raises ConfigError, RunMismatch."""
    from batchinfer.backends.proxies import find_proxy_for_url  # noqa: PLC0415 - imports http

    job, stored, settings = resolved.job, resolved.stored, resolved.settings
    if stored is not None:
        _reject_other_shard(job.run, get_stored_shard(stored.info.config), settings.selection.shard)
    for each in settings.split_by_service():
        find_proxy_for_url(each.target.endpoint)  # raises when the address is none
    if job.phase is not AsyncPhase.BOTH and not settings.mode.uses_bucket:
        raise ConfigError(f"{job.run} is a sync run; {job.phase} is for async runs.")
    if stored is None or job.force:
        return
    if differing := find_differences(stored.info.config, resolved.config.to_tables()):
        raise RunMismatch(
            f"{job.run}: this run was started with {', '.join(differing)}. Use a new folder "
            f"({option('run', 'NAME')}), so that results are not mixed; or "
            f"{option('force', 'True')}, to send what is left like that."
        )


def _reject_other_shard(run: Path, stored: Shard | None, given: Shard | None) -> None:
    """Raise RunMismatch: items of two shards in one run could not be told apart any more."""
    if given != stored:
        part = "all of its source" if stored is None else f"shard {stored} of its source"
        raise RunMismatch(
            f"The run in {run} holds {part}; you asked for shard {given}. A run keeps its part: "
            f"leave {option('shard')} away to continue it, or choose another run directory with "
            f"{option('run')}. Nothing was sent."
        )


def _drop_unset(flags: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in flags.items() if value is not None}


def _load_config(job: Job, info: RunInfo | None) -> Config:
    config = _load_given_config(job, info)
    if info is None:
        return config
    config = keep_stored_choice(config, info.config)
    if config.input.shard is not None:
        return config
    return replace(config, input=replace(config.input, shard=get_stored_shard(info.config)))


def _load_given_config(job: Job, info: RunInfo | None) -> Config:
    match job.config:
        case Config():
            return load_config(job.config, job.env, job.flags)
        case None if info is not None:
            return load_stored_config(info.config, job.env, job.flags, run=job.run)
        case path if info is not None and not job.sources:
            return load_stored_config(info.config, job.env, job.flags, path, job.run)
        case path:
            config = load_config(path, job.env, job.flags)
    if info is not None and config.run.mode is None:
        return replace(config, run=replace(config.run, mode=info.mode))
    return config
