"""The composition root: an engine for a job, with everything it works with. Knows everybody."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar, TypeVarTuple, Unpack

import anyio.to_thread

from batchinfer.api.clients import open_bucket, open_service
from batchinfer.api.job import AsyncPhase, Job
from batchinfer.api.job_setup import (
    is_run_source,
    load_run_info,
    lock_run,
    open_job_sources,
    read_items,
    resolve_job,
)
from batchinfer.api.param_validation import validate_job
from batchinfer.api.run_sources import add_sources, move_source, reject_other_sources
from batchinfer.api.source_outage import make_source_check, to_run_aborted
from batchinfer.backends.redaction import Redactor
from batchinfer.config import BucketSettings, Config, Percent, RunSettings, ServiceSettings
from batchinfer.domain import Item, Mode, RunInfo
from batchinfer.engine import Engine, ReadPage, RunPolicy
from batchinfer.errors import (
    ConfigError,
    FatalError,
    RunAborted,
    SourceError,
    SourceUnavailable,
    StoreError,
)
from batchinfer.flow import (
    AdaptiveLimit,
    ConcurrencyLimit,
    FixedLimit,
    Gate,
    MachineCapacity,
    RateLimiter,
    RetryPolicy,
)
from batchinfer.flow.memory_budget import MemoryBudget
from batchinfer.machine_limits import (
    get_max_concurrent_calls,
    get_open_file_limit,
    raise_open_file_limit,
)
from batchinfer.oscar.object_names import new_run_id
from batchinfer.ports import Backend, Committed, Notice, Observer, OutputWatcher
from batchinfer.sources import CombinedSource
from batchinfer.sources.source_presence import SourcePresence
from batchinfer.store.json_codec import MAX_STATEMENT_CHARS, encode_json
from batchinfer.store.sessions import RunSession
from batchinfer.store.sqlite import SqliteStore

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

OUTPUT_PAIR_GRACE_SECONDS = 30.0
"""Seconds that the missing half of a pair of outputs is waited for; less when all else is quick."""
MAX_ADAPTIVE_LIMIT = {Mode.SYNC: 512, Mode.ASYNC: 1_000}
"""What an adaptive limit goes up to, unless told: each costs a connection, or a Kubernetes job that
the cluster keeps for a month (contract section 2)."""
TYPICAL_CONCURRENCY = 64
"""Calls at once that a run may well come to need, if nothing else is said."""
OPEN_FILES_REASON = "no more files may be open (ulimit -n)"
STORE_RETRY_SECONDS = 60.0
"""Seconds that one call to the object store is tried again; then it counts as away."""
MAX_UPLOADS = 16
"""Objects being uploaded at a time: more do not go faster, and hold more payloads in memory."""


@asynccontextmanager
async def open_engine(
    job: Job, observer: Observer, on_commit: Callable[[Committed], Awaitable[None]] | None = None
) -> AsyncIterator[Engine]:
    """An engine for the job, ready to run; the run is locked and open as long as the context.

    Raises ConfigError, SourceError, StoreError; what the engine raises passes through.
    """
    info = load_run_info(job.run)
    config, settings = resolve_job(job, info)
    if job.clean and settings.mode is Mode.SYNC:
        raise ConfigError("--clean is for async mode: in sync mode there is nothing in a bucket.")
    raise_open_file_limit()
    with lock_run(job.run):
        if info is not None and (
            new_specs := job.moved_to or (job.sources if job.sources_moved else ())
        ):
            message = await _run_in_thread(move_source, job.run, info, new_specs)
            observer.notify(Notice("moved", message))
            info = load_run_info(job.run)
        try:
            source, read_page = (
                await _run_in_thread(open_job_sources, job, config, settings, job.run),
                None,
            )
            if info is not None and source is not None and job.sources:
                await _run_in_thread(_add_or_reject_sources, job, info, source)
            if source is not None:
                items = await _run_in_thread(read_items, source)
                read_page = _make_page_reader(items, source, observer, job.run)
        except SourceError as error:
            raise to_run_aborted(job.run, error) if is_run_source(job, info) else error from None
        help_text, config, settings = await validate_job(job, config, settings, source, observer)
        if info is None:
            new_info = _new_run_info(job.run, config, settings.mode, source)
            store_context = SqliteStore.create(job.run, new_info)
        else:
            store_context = SqliteStore.open(job.run)
        async with (
            store_context as store,
            _open_backend(settings, store.info.id, job.run, clean=job.clean) as (backend, watcher),
        ):
            session = await store.start_session(config.params)
            if session.differing_result_count:
                observer.notify(_make_params_notice(session))
            if help_text is not None:
                await store.save_model_help(help_text)
            machine_limit = get_max_concurrent_calls()
            for notice in (*settings.notices, *_iter_open_file_notices(settings, machine_limit)):
                observer.notify(notice)
            can_submit = job.phase is not AsyncPhase.COLLECT
            yield Engine(
                queue=store,
                sink=store,
                submissions=store,
                gate=_build_gate(settings, machine_limit),
                submitted_limit=build_limit(settings) if settings.mode is Mode.ASYNC else None,
                check_source=make_source_check(job.run, store.info.sources),
                observer=observer,
                backend=backend if can_submit else None,
                read_page=read_page if can_submit else None,
                watcher=watcher,
                collects=job.phase is not AsyncPhase.SUBMIT,
                policy=_build_run_policy(settings, job.limit),
                on_commit=on_commit,
            )


def _add_or_reject_sources(job: Job, info: RunInfo, source: CombinedSource) -> None:
    """Refuse sources that the run was not made from, or add them if that was asked for."""
    if job.add_sources:
        add_sources(job.run, info, source.specs)
    else:
        reject_other_sources(job.run, info, source.specs)


def _make_params_notice(session: RunSession) -> Notice:
    return Notice(
        "params_changed",
        f"{session.differing_result_count} result(s) were made with other [params] than this run "
        "sends now (for "
        f"example {session.differing_result_key}). They are kept as they are, and their params say "
        "so; for all "
        "with the new ones, start a new run (-o).",
    )


async def _run_in_thread(function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
    """Read in a thread. Cancelled, it is left alone: it may read a terminal or a dead disk."""
    return await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=True)


def _build_run_policy(settings: RunSettings, limit: int | None) -> RunPolicy:
    max_failures, is_sync = settings.max_failures, settings.mode is Mode.SYNC
    return RunPolicy(
        retry=RetryPolicy(max_attempts=settings.max_attempts),
        cold_start_timeout=settings.cold_start,
        # Neither uploads nor calls that are held back by a bandwidth tell how long an answer takes.
        first_answer_timeout=None
        if settings.bandwidth or not is_sync
        else settings.first_answer_timeout,
        give_up_after=settings.give_up_after,
        deadline=settings.deadline,
        hedge=settings.hedge,
        max_failures=max_failures if isinstance(max_failures, int) else None,
        max_failure_share=max_failures.value / 100 if isinstance(max_failures, Percent) else None,
        overdue_after=settings.timeout,
        max_items=limit,
    )


def _get_store_retry_timeout(settings: RunSettings) -> float:
    """Seconds that one call to the store may wait: a deaf one must not outlast the patience."""
    return min(STORE_RETRY_SECONDS, settings.cold_start / 4, settings.give_up_after / 4)


def _build_gate(settings: RunSettings, machine_limit: int | None) -> Gate:
    if settings.mode is Mode.ASYNC:
        limit: ConcurrencyLimit = FixedLimit(MAX_UPLOADS)
    else:
        limit = build_limit(settings, machine_limit)
    rate_limiter = RateLimiter(settings.rate) if settings.rate else None
    return Gate(limit, rate_limiter, machine_capacity=MachineCapacity(machine_limit))


def _iter_open_file_notices(settings: RunSettings, machine_limit: int | None) -> Iterator[Notice]:
    """Says so when this machine allows fewer calls at once than were asked for."""
    requested = settings.concurrency
    wanted = (
        MAX_UPLOADS
        if settings.mode is Mode.ASYNC
        else max(requested.lowest, requested.highest or TYPICAL_CONCURRENCY)
    )
    if machine_limit is not None and machine_limit < wanted:
        yield Notice(
            "too_many_open_files",
            f"This process may have {get_open_file_limit():,} files open: at most "
            f"{machine_limit:,} calls are made "
            "at once. To allow more, run `ulimit -n 4096` first, or ask the administrator.",
        )


def build_limit(settings: RunSettings, machine_limit: int | None = None) -> ConcurrencyLimit:
    """The limit as configured: a number that stays, or one that adapts within its bounds.

    `most`: what this machine allows.
    """
    lowest, highest = settings.concurrency.lowest, settings.concurrency.highest
    if lowest == highest:
        return FixedLimit(lowest)
    is_async = settings.mode is Mode.ASYNC
    highest = highest or MAX_ADAPTIVE_LIMIT[settings.mode]
    if machine_limit is None or machine_limit >= highest:
        return AdaptiveLimit(lowest, highest, unlimited_wait=is_async)
    return AdaptiveLimit(
        min(lowest, machine_limit),
        machine_limit,
        unlimited_wait=is_async,
        highest_reason=OPEN_FILES_REASON,
    )


def _make_page_reader(
    items: Iterator[Item], source: CombinedSource, observer: Observer, run: Path
) -> ReadPage:
    reported: set[Notice] = set()
    presence = SourcePresence(source.specs)

    async def read_page(size: int) -> list[Item]:
        try:
            page = await _run_in_thread(_take_page, items, size)
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
    bytes_left = MAX_STATEMENT_CHARS
    for item in islice(items, size):
        page.append(item)
        bytes_left -= len(encode_json(item.params)) if item.params else 0
        if bytes_left < 0:
            break
    return page


def _new_run_info(run: Path, config: Config, mode: Mode, source: CombinedSource | None) -> RunInfo:
    if source is None:
        raise StoreError(f"{run} holds no run yet: start one with `batchinfer run`.")
    return RunInfo(
        id=new_run_id(secrets.token_bytes(16)),
        created_at=time.time(),
        mode=mode,
        config=config.to_stored_tables(),
        sources=source.specs,
    )


@asynccontextmanager
async def _open_backend(
    settings: RunSettings, run_id: str, run: Path, *, clean: bool
) -> AsyncIterator[tuple[Backend | None, OutputWatcher | None]]:
    # Imported here: most of what reads a run needs neither aiohttp nor aiobotocore.
    from batchinfer.backends.bucket_backend import BucketBackend  # noqa: PLC0415
    from batchinfer.backends.output_watcher import BucketOutputWatcher  # noqa: PLC0415
    from batchinfer.backends.payload_loader import PayloadLoader  # noqa: PLC0415

    redactor = Redactor(settings.secrets)
    try:
        match settings.target:
            case ServiceSettings() as service:
                async with open_service(
                    service,
                    redactor,
                    timeout=settings.timeout,
                    params=settings.params,
                    connect_timeout=settings.connect_timeout,
                    send_timeout=settings.send_timeout,
                    first_byte_timeout=settings.first_byte_timeout,
                    memory=settings.memory,
                    max_reply=settings.max_reply,
                    spool=run,
                    bandwidth=settings.bandwidth,
                ) as http_backend:
                    yield http_backend, None
            case BucketSettings() as access:
                retry_timeout = _get_store_retry_timeout(settings)
                async with open_bucket(
                    access,
                    redactor,
                    retry_timeout=retry_timeout,
                    read_timeout=max(retry_timeout, 1.0),
                    send_timeout=settings.send_timeout,
                    bandwidth=settings.bandwidth,
                ) as bucket:
                    loader, memory_budget = (
                        PayloadLoader(settings.params, Mode.ASYNC, redactor=redactor),
                        MemoryBudget(settings.memory),
                    )
                    bucket_backend = BucketBackend(bucket, loader, run_id, memory_budget)
                    watcher = BucketOutputWatcher(
                        bucket,
                        run_id=run_id,
                        redactor=redactor,
                        grace_seconds=min(OUTPUT_PAIR_GRACE_SECONDS, settings.timeout / 4),
                        clean=clean,
                        memory=memory_budget,
                        max_reply=settings.max_reply,
                        verifier=bucket_backend,
                    )
                    yield bucket_backend, watcher
    except FatalError as error:  # an address that cannot even be called
        raise RunAborted(error.code, str(error)) from None
