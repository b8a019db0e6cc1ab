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

from batchinfer.api.job import Half, Job
from batchinfer.api.preparing import checked, held, items_of, known, source_of
from batchinfer.api.reaching import bucket_of, service_of
from batchinfer.api.validating import validated
from batchinfer.backends.redact import Redactor
from batchinfer.config import BucketAccess, Config, Percent, Resolved, ServiceAccess
from batchinfer.domain import Item, Mode, RunInfo
from batchinfer.engine import Engine, ReadPage, Terms
from batchinfer.errors import ConfigError, FatalError, RunAborted, StoreError
from batchinfer.flow import Adaptive, Fixed, Gate, Limit, Pace
from batchinfer.oscar.names import new_run_id
from batchinfer.ports import Backend, Notice, Observer, Recorded, Watcher
from batchinfer.retry import RetryPolicy
from batchinfer.sources import Sources
from batchinfer.store.sqlite import SqliteStore

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

GRACE = 30.0
"""Seconds that the missing half of a pair of outputs is waited for; less when all else is quick."""
MOST = {Mode.SYNC: 512, Mode.ASYNC: 1_000}
"""What an adaptive limit goes up to, unless told: each costs a connection, or a Kubernetes job that
the cluster keeps for a month (contract section 2)."""
UPLOADS = 16
"""Objects being uploaded at a time: more do not go faster, and hold more payloads in memory."""


@asynccontextmanager
async def opened(
    job: Job, observer: Observer, recorded: Callable[[Recorded], Awaitable[None]] | None = None
) -> AsyncIterator[Engine]:
    """An engine for the job, ready to run; the run is locked and open as long as the context.

    Raises ConfigError, SourceError, StoreError; what the engine raises passes through.
    """
    info = known(job.run)
    config, resolved = checked(job, info)
    if job.clean and resolved.mode is Mode.SYNC:
        raise ConfigError("--clean is for async mode: in sync mode there is nothing in a bucket.")
    with held(job.run):
        source, read = await _elsewhere(source_of, job, resolved, job.run), None
        if source is not None:
            items = await _elsewhere(items_of, source, job.run)
            read = _pages(items, source, observer)
        help_, config, resolved = await validated(job, config, resolved, source, observer)
        if info is None:
            made = _made(job.run, config, resolved.mode, source)
            opening = SqliteStore.create(job.run, made)
        else:
            opening = SqliteStore.open(job.run)
        async with (
            opening as store,
            _carriers(resolved, store.info.id, clean=job.clean) as (backend, watcher),
        ):
            if help_ is not None:
                await store.keep_help(help_)
            for notice in resolved.notices:
                observer.notify(notice)
            submits = job.half is not Half.COLLECT
            yield Engine(
                store=store,
                gate=_gate(resolved),
                submitted=limit_of(resolved) if resolved.mode is Mode.ASYNC else None,
                observer=observer,
                backend=backend if submits else None,
                read=read if submits else None,
                watcher=watcher,
                collects=job.half is not Half.SUBMIT,
                terms=_terms(resolved, job.limit),
                recorded=recorded,
            )


async def _elsewhere(work: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
    """Read in a thread. Cancelled, it is left alone: it may read a terminal or a dead disk."""
    return await anyio.to_thread.run_sync(work, *args, abandon_on_cancel=True)


def _terms(resolved: Resolved, limit: int | None) -> Terms:
    failures = resolved.max_failures
    return Terms(
        policy=RetryPolicy(max_attempts=resolved.max_attempts),
        patience=resolved.cold_start,
        give_up_after=resolved.give_up_after,
        deadline=resolved.deadline,
        hedge=resolved.hedge,
        max_failures=failures if isinstance(failures, int) else None,
        max_failure_share=failures.value / 100 if isinstance(failures, Percent) else None,
        overdue_after=resolved.timeout,
        limit=limit,
    )


def _gate(resolved: Resolved) -> Gate:
    limit = Fixed(UPLOADS) if resolved.mode is Mode.ASYNC else limit_of(resolved)
    return Gate(limit, Pace(resolved.rate) if resolved.rate else None)


def limit_of(resolved: Resolved) -> Limit:
    """The limit as configured: a number that stays, or one that adapts within its bounds."""
    lowest, highest = resolved.concurrency.lowest, resolved.concurrency.highest
    if lowest == highest:
        return Fixed(lowest)
    patient = resolved.mode is Mode.ASYNC
    return Adaptive(lowest, highest or MOST[resolved.mode], patient=patient)


def _pages(items: Iterator[Item], source: Sources, observer: Observer) -> ReadPage:
    told: set[Notice] = set()

    async def read(size: int) -> list[Item]:
        page = await _elsewhere(_take, items, size)
        for notice in source.notices:
            if notice not in told:
                told.add(notice)
                observer.notify(notice)
        return page

    return read


def _take(items: Iterable[Item], size: int) -> list[Item]:
    return list(islice(items, size))


def _made(run: Path, config: Config, mode: Mode, source: Sources | None) -> RunInfo:
    if source is None:
        raise StoreError(f"{run} holds no run yet. Start one: batchinfer run SOURCE -o {run}")
    return RunInfo(
        id=new_run_id(secrets.token_bytes(16)),
        created_at=time.time(),
        mode=mode,
        config=config.unexpanded(),
        sources=source.specs,
    )


@asynccontextmanager
async def _carriers(
    resolved: Resolved, run_id: str, *, clean: bool
) -> AsyncIterator[tuple[Backend | None, Watcher | None]]:
    # Imported here: most of what reads a run needs neither aiohttp nor aiobotocore.
    from batchinfer.backends.bucket import BucketBackend  # noqa: PLC0415
    from batchinfer.backends.files import Loader  # noqa: PLC0415
    from batchinfer.backends.watch import BucketWatcher  # noqa: PLC0415

    redact = Redactor(resolved.secrets)
    try:
        match resolved.access:
            case ServiceAccess() as service:
                async with service_of(
                    service,
                    redact,
                    timeout=resolved.timeout,
                    params=resolved.params,
                    connect_timeout=resolved.connect_timeout,
                    send_timeout=resolved.send_timeout,
                    first_byte_timeout=resolved.first_byte_timeout,
                    memory=resolved.memory,
                    bandwidth=resolved.bandwidth,
                ) as backend:
                    yield backend, None
            case BucketAccess() as access:
                async with bucket_of(
                    access,
                    redact,
                    send_timeout=resolved.send_timeout,
                    bandwidth=resolved.bandwidth,
                ) as bucket:
                    watcher = BucketWatcher(
                        bucket,
                        run_id=run_id,
                        redact=redact,
                        grace=min(GRACE, resolved.timeout / 4),
                        clean=clean,
                    )
                    loader = Loader(resolved.params, Mode.ASYNC)
                    yield BucketBackend(bucket, loader, run_id, resolved.memory), watcher
    except FatalError as error:  # an address that cannot even be called
        raise RunAborted(error.code, str(error)) from None
