"""The composition root: a job opened step by step, each step usable by itself.

prepare (refuse early) -> open the store -> open the backend -> build the engine. The last two need
neither lock, source nor validation: a process elsewhere can do with settings and a store.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar, TypeVarTuple

from batchinfer.api.chosen_items import (
    check_choice,
    choose_items,
    forget_chosen_items,
    is_sample_complete,
)
from batchinfer.api.clients import make_bandwidth_limiter
from batchinfer.api.deliveries import open_backend, open_other_backends
from batchinfer.api.distribution import WorkerBackendFactory, distribute_attempts
from batchinfer.api.engine_settings import (
    build_gate,
    build_limit,
    build_pooled_services,
    build_run_policy,
    iter_open_file_notices,
)
from batchinfer.api.job import AsyncPhase, Job, ResolvedJob, StoredRun, check_job, resolve
from batchinfer.api.job_sources import (
    is_run_source,
    lock_run_across_machines,
    make_page_reader,
    make_source_check,
    open_job_sources,
    read_items,
    run_in_thread,
    to_run_aborted,
)
from batchinfer.api.param_validation import validate_job
from batchinfer.api.reuse.earlier_runs import check_earlier_runs, open_earlier_results
from batchinfer.api.reuse.reusing_backend import reuse_results
from batchinfer.api.run_sources import add_sources, move_source, reject_other_sources
from batchinfer.api.scratch_folder import Scratch, open_scratch, uses_scratch
from batchinfer.api.watching.watched_job import (
    make_watched_source_check,
    open_watched_sources,
    open_watcher,
)
from batchinfer.config import RunSettings
from batchinfer.domain import Item, RunInfo
from batchinfer.engine import CheckSource, Engine, PooledService, ReadPage
from batchinfer.errors import ConfigError, SourceError, StoreError, option
from batchinfer.inputs.source_access import open_source_access
from batchinfer.machine_limits import get_max_concurrent_calls, raise_open_file_limit
from batchinfer.ports import Backend, Committed, Notice, Observer, OutputWatcher, Store
from batchinfer.protocols.object_ids import new_epoch, new_run_id
from batchinfer.sources import CombinedSource
from batchinfer.store.sessions import RunSession
from batchinfer.store.sqlite import SqliteStore

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

OnCommit = Callable[[Committed], Awaitable[None]]
"""Awaited after each commit; while it runs, nothing further is committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJob:
    """A job whose engine is ready to run."""

    resolved: ResolvedJob
    store: SqliteStore
    engine: Engine
    scratch: Scratch | None = None
    """What copies the run back, when it is worked on elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedJob:
    """A job that has passed every check that can be made before anything is sent."""

    resolved: ResolvedJob
    source: CombinedSource | None
    """What is to be read; None: nothing (more)."""
    read_page: ReadPage | None
    new_help: str | None
    """The model's help, when the run does not have it yet."""

    @property
    def help(self) -> str | None:
        """The model's help; None: it is not known."""
        stored = self.resolved.stored
        return self.new_help or (stored.model_help if stored is not None else "") or None


@asynccontextmanager
async def open_job(
    job: Job | ResolvedJob, observer: Observer, on_commit: OnCommit | None = None
) -> AsyncIterator[OpenJob]:
    """Open everything that a job needs; the run is locked as long as the context.

    Raises ConfigError, SourceError, StoreError; what the engine raises passes through.
    """
    resolved = resolve(job)
    check_job(resolved)
    check_choice(resolved)
    check_earlier_runs(resolved)
    if resolved.job.clean and not resolved.settings.mode.uses_bucket:
        raise ConfigError(
            f"{option('clean', 'True')} is for async mode: in sync mode there is nothing in a "
            "bucket."
        )
    raise_open_file_limit()
    with open_source_access(resolved.settings.source):
        async with _open_resolved_job(resolved, observer, on_commit) as opened:
            yield opened


@asynccontextmanager
async def _open_resolved_job(
    resolved: ResolvedJob, observer: Observer, on_commit: OnCommit | None
) -> AsyncIterator[OpenJob]:
    async with (
        lock_run_across_machines(resolved.run, required=uses_scratch(resolved)) as lock,
        open_scratch(resolved, lock, observer) as (located, scratch),
    ):
        prepared = await _prepare_job(located, observer)
        resolved = prepared.resolved
        job, settings = resolved.job, resolved.settings
        # What is only in the scratch folder may be lost: its objects stay until the end.
        clean, directory = job.clean and scratch is None, resolved.store_directory
        can_submit = job.phase is not AsyncPhase.COLLECT
        epoch = new_epoch(secrets.token_bytes(6))
        async with (
            _open_store(prepared) as store,
            open_backend(
                settings.split_by_service()[0],
                store.info.id,
                directory,
                clean=clean,
                epoch=epoch,
                bandwidth=(bandwidth := make_bandwidth_limiter(settings)),
            ) as (local_backend, watcher),
            open_other_backends(settings, store.info.id, directory, bandwidth) as others,
            distribute_attempts(
                resolved,
                local_backend,
                observer,
                WorkerBackendFactory(settings, store.info.id, epoch),
            )
            if can_submit
            else nullcontext(local_backend) as backend,
        ):
            await _start_session(store, prepared, observer)
            if scratch is not None:
                await scratch.publish_new()
            with (
                open_watcher(resolved, prepared.source, store, observer) as source_watcher,
                ExitStack() as stack,
            ):
                earlier = None
                if settings.reuse and can_submit:
                    earlier = await run_in_thread(
                        stack.enter_context, open_earlier_results(resolved, prepared.help)
                    )
                    for notice in earlier.notices:
                        observer.notify(notice)
                read_page = prepared.read_page
                if source_watcher is not None:
                    read_page = source_watcher.read_page
                engine = build_engine(
                    settings,
                    store,
                    observer,
                    backend=reuse_results(backend, earlier) if can_submit else None,
                    other_backends=[reuse_results(each, earlier) for each in others],
                    watcher=watcher,
                    read_page=read_page if can_submit else None,
                    check_source=make_source_check(resolved.store_directory, store.info.sources)
                    if source_watcher is None
                    else make_watched_source_check(store.info.sources),
                    collects=job.phase is not AsyncPhase.SUBMIT,
                    max_items=job.limit,
                    on_commit=on_commit,
                    is_distributed=backend is not local_backend,
                )
                if source_watcher is not None:
                    source_watcher.bind(engine)
                yield OpenJob(resolved=resolved, store=store, engine=engine, scratch=scratch)
            forget_chosen_items(resolved.run, is_source_complete=store.is_source_complete)


def build_engine(
    settings: RunSettings,
    store: Store,
    observer: Observer,
    *,
    backend: Backend | None,
    other_backends: Sequence[Backend] = (),
    watcher: OutputWatcher | None = None,
    read_page: ReadPage | None = None,
    check_source: CheckSource | None = None,
    collects: bool = True,
    max_items: int | None = None,
    on_commit: OnCommit | None = None,
    is_distributed: bool = False,
) -> Engine:
    """An engine for a store that is open and a backend that is (`open_backend`).

    `is_distributed`: the workers of a cluster make the attempts, each within its own limits.
    `other_backends`: those of the other services, if `settings` have several.
    """
    machine_limit = None if is_distributed else get_max_concurrent_calls()
    pooled: Sequence[PooledService] = ()
    if backend is not None and settings.services and not is_distributed:
        pooled = build_pooled_services(settings, [backend, *other_backends], machine_limit)
        backend = None
    for notice in (*settings.notices, *iter_open_file_notices(settings, machine_limit)):
        observer.notify(notice)
    return Engine(
        queue=store,
        sink=store,
        submissions=store,
        gate=None if pooled else build_gate(settings, machine_limit, is_distributed=is_distributed),
        services=pooled,
        submitted_limit=build_limit(settings) if settings.mode.uses_bucket else None,
        check_source=check_source,
        observer=observer,
        backend=backend,
        read_page=read_page,
        watcher=watcher,
        collects=collects,
        policy=build_run_policy(settings, max_items),
        on_commit=on_commit,
    )


async def _prepare_job(resolved: ResolvedJob, observer: Observer) -> PreparedJob:
    """Open and check the sources, and the parameters by the model's help. Raises as `open_job`."""
    job = resolved.job
    new_specs = job.moved_to or (job.sources if job.sources_moved else ())
    if resolved.stored is not None and new_specs:
        message, sources = await run_in_thread(
            move_source, resolved.store_directory, resolved.stored.info, new_specs
        )
        observer.notify(Notice("moved", message))
        resolved = _with_sources(resolved, resolved.stored, sources)
    info = None if resolved.stored is None else resolved.stored.info
    read_page = None
    is_watching = resolved.settings.watch is not None
    open_sources = partial(open_job_sources, spool_folder=job.run)
    try:
        source = await run_in_thread(
            open_watched_sources if is_watching else open_sources, resolved
        )
        if resolved.stored is not None and source is not None and job.sources:
            resolved = await run_in_thread(
                _add_or_reject_sources, resolved, resolved.stored, source.specs
            )
        if source is not None and not is_watching:
            if resolved.settings.choice.is_needed:
                chosen = resolved.settings.choice.describe()
                observer.notify(Notice("chosen", f"This run sends {chosen}."))
            items = await run_in_thread(_read_items, source, resolved)
            read_page = make_page_reader(items, source, observer, job.run)
    except SourceError as error:
        raise to_run_aborted(job.run, error) if is_run_source(job, info) else error from None
    resolved, new_help = await validate_job(resolved, source, observer)
    return PreparedJob(resolved=resolved, source=source, read_page=read_page, new_help=new_help)


def _read_items(source: CombinedSource, resolved: ResolvedJob) -> Iterator[Item]:
    if is_sample_complete(resolved):
        return iter(())
    return read_items(source, choose_items(source, resolved, resolved.run))


def _add_or_reject_sources(
    resolved: ResolvedJob, stored: StoredRun, specs: tuple[str, ...]
) -> ResolvedJob:
    """Refuse sources that the run was not made from, or add them if that was asked for."""
    if not resolved.job.add_sources:
        reject_other_sources(resolved.run, stored.info, specs)
        return resolved
    return _with_sources(
        resolved, stored, add_sources(resolved.store_directory, stored.info, specs)
    )


def _with_sources(
    resolved: ResolvedJob, stored: StoredRun, sources: tuple[str, ...]
) -> ResolvedJob:
    stored = replace(stored, info=replace(stored.info, sources=sources))
    return replace(resolved, stored=stored)


def _open_store(prepared: PreparedJob) -> AbstractAsyncContextManager[SqliteStore]:
    """The run's store; a run that is new is made. Raises StoreError."""
    resolved = prepared.resolved
    if resolved.stored is not None:
        return SqliteStore.open(resolved.store_directory)
    if prepared.source is None:
        raise StoreError(f"{resolved.run} holds no run yet: start one with `batchinfer run`.")
    info = RunInfo(
        id=new_run_id(secrets.token_bytes(16)),
        created_at=time.time(),
        mode=resolved.settings.mode,
        config=resolved.config.to_stored_tables(),
        sources=prepared.source.specs,
    )
    return SqliteStore.create(resolved.store_directory, info)


async def _start_session(store: SqliteStore, prepared: PreparedJob, observer: Observer) -> None:
    session = await store.start_session(prepared.resolved.config.params)
    if session.differing_result_count:
        observer.notify(_make_params_notice(session))
    if prepared.new_help is not None:
        await store.save_model_help(prepared.new_help)


def _make_params_notice(session: RunSession) -> Notice:
    return Notice(
        "params_changed",
        f"{session.differing_result_count} result(s) were made with other [params] than this run "
        f"sends now (for example {session.differing_result_key}). They are kept as they are, and "
        "their params say so; for all with the new ones, start a new run (-o).",
    )
