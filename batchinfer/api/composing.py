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
from batchinfer.api.outage import as_outage, source_away
from batchinfer.api.preparing import checked, held, is_gone, items_of, known, source_of
from batchinfer.api.reaching import bucket_of, service_of
from batchinfer.api.relocating import add_sources, move_source, refuse_others
from batchinfer.api.validating import validated
from batchinfer.backends.redact import Redactor
from batchinfer.config import BucketAccess, Config, Percent, Resolved, ServiceAccess
from batchinfer.domain import Item, Mode, RunInfo
from batchinfer.engine import Engine, ReadPage, Terms
from batchinfer.errors import (
    ConfigError,
    FatalError,
    RunAborted,
    SourceError,
    SourceUnavailable,
    StoreError,
)
from batchinfer.flow import Adaptive, Fixed, Gate, Limit, OwnLimit, Pace
from batchinfer.flow.cargo import Cargo
from batchinfer.machine import calls_at_once, open_files, raise_open_files
from batchinfer.oscar.names import new_run_id
from batchinfer.ports import Backend, Notice, Observer, Recorded, Watcher
from batchinfer.retry import RetryPolicy
from batchinfer.sources import Sources
from batchinfer.sources.presence import SourcePresence
from batchinfer.store.codec import PAGE_SIZE, encode
from batchinfer.store.sessions import Session
from batchinfer.store.sqlite import SqliteStore

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

GRACE = 30.0
"""Seconds that the missing half of a pair of outputs is waited for; less when all else is quick."""
MOST = {Mode.SYNC: 512, Mode.ASYNC: 1_000}
"""What an adaptive limit goes up to, unless told: each costs a connection, or a Kubernetes job that
the cluster keeps for a month (contract section 2)."""
USUAL = 64
"""Calls at once that a run may well come to need, if nothing else is said."""
SHORT = "no more files may be open (ulimit -n)"
STORE_PATIENCE = 60.0
"""Seconds that one call to the object store is tried again; then it counts as away."""
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
    raise_open_files()
    with held(job.run):
        if info is not None and (places := job.moved_to or (job.sources if job.moved else ())):
            said = await _elsewhere(move_source, job.run, info, places)
            observer.notify(Notice("moved", said))
            info = known(job.run)
        try:
            source, read = await _elsewhere(source_of, job, config, resolved, job.run), None
            if info is not None and source is not None and job.sources:
                await _elsewhere(_keep_apart, job, info, source)
            if source is not None:
                items = await _elsewhere(items_of, source)
                read = _pages(items, source, observer, job.run)
        except SourceError as error:
            raise as_outage(job.run, error) if is_gone(job, info) else error from None
        help_, config, resolved = await validated(job, config, resolved, source, observer)
        if info is None:
            made = _made(job.run, config, resolved.mode, source)
            opening = SqliteStore.create(job.run, made)
        else:
            opening = SqliteStore.open(job.run)
        async with (
            opening as store,
            _carriers(resolved, store.info.id, job.run, clean=job.clean) as (backend, watcher),
        ):
            session = await store.begin(config.params)
            if session.others:
                observer.notify(_other_params(session))
            if help_ is not None:
                await store.keep_help(help_)
            most = calls_at_once()
            for notice in (*resolved.notices, *_fewer(resolved, most)):
                observer.notify(notice)
            submits = job.half is not Half.COLLECT
            yield Engine(
                store=store,
                gate=_gate(resolved, most),
                submitted=limit_of(resolved) if resolved.mode is Mode.ASYNC else None,
                source_away=source_away(job.run, store.info.sources),
                observer=observer,
                backend=backend if submits else None,
                read=read if submits else None,
                watcher=watcher,
                collects=job.half is not Half.SUBMIT,
                terms=_terms(resolved, job.limit),
                recorded=recorded,
            )


def _keep_apart(job: Job, info: RunInfo, source: Sources) -> None:
    """Refuse sources that the run was not made from, or add them if that was asked for."""
    if job.add:
        add_sources(job.run, info, source.specs)
    else:
        refuse_others(job.run, info, source.specs)


def _other_params(session: Session) -> Notice:
    return Notice(
        "params_changed",
        f"{session.others} result(s) were made with other [params] than this run sends now (for "
        f"example {session.example}). They are kept as they are, and their params say so; for all "
        "with the new ones, start a new run (-o).",
    )


async def _elsewhere(work: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
    """Read in a thread. Cancelled, it is left alone: it may read a terminal or a dead disk."""
    return await anyio.to_thread.run_sync(work, *args, abandon_on_cancel=True)


def _terms(resolved: Resolved, limit: int | None) -> Terms:
    failures, sync = resolved.max_failures, resolved.mode is Mode.SYNC
    return Terms(
        policy=RetryPolicy(max_attempts=resolved.max_attempts),
        patience=resolved.cold_start,
        # Neither uploads nor calls that are held back by a bandwidth tell how long an answer takes.
        first_answer=None if resolved.bandwidth or not sync else resolved.first_answer,
        give_up_after=resolved.give_up_after,
        deadline=resolved.deadline,
        hedge=resolved.hedge,
        max_failures=failures if isinstance(failures, int) else None,
        max_failure_share=failures.value / 100 if isinstance(failures, Percent) else None,
        overdue_after=resolved.timeout,
        limit=limit,
    )


def _store_patience(resolved: Resolved) -> float:
    """Seconds that one call to the store may wait: a deaf one must not outlast the patience."""
    return min(STORE_PATIENCE, resolved.cold_start / 4, resolved.give_up_after / 4)


def _gate(resolved: Resolved, most: int | None) -> Gate:
    if resolved.mode is Mode.ASYNC:
        limit: Limit = Fixed(UPLOADS)
    else:
        limit = limit_of(resolved, most)
    pace = Pace(resolved.rate) if resolved.rate else None
    return Gate(limit, pace, own=OwnLimit(most))


def _fewer(resolved: Resolved, most: int | None) -> Iterator[Notice]:
    """Says so when this machine allows fewer calls at once than were asked for."""
    asked = resolved.concurrency
    wanted = UPLOADS if resolved.mode is Mode.ASYNC else max(asked.lowest, asked.highest or USUAL)
    if most is not None and most < wanted:
        yield Notice(
            "too_many_open_files",
            f"This process may have {open_files():,} files open: at most {most:,} calls are made "
            "at once. To allow more, run `ulimit -n 4096` first, or ask the administrator.",
        )


def limit_of(resolved: Resolved, most: int | None = None) -> Limit:
    """The limit as configured: a number that stays, or one that adapts within its bounds.

    `most`: what this machine allows.
    """
    lowest, highest = resolved.concurrency.lowest, resolved.concurrency.highest
    if lowest == highest:
        return Fixed(lowest)
    patient = resolved.mode is Mode.ASYNC
    highest = highest or MOST[resolved.mode]
    if most is None or most >= highest:
        return Adaptive(lowest, highest, patient=patient)
    return Adaptive(min(lowest, most), most, patient=patient, bound=SHORT)


def _pages(items: Iterator[Item], source: Sources, observer: Observer, run: Path) -> ReadPage:
    told: set[Notice] = set()
    presence = SourcePresence(source.specs)

    async def read(size: int) -> list[Item]:
        try:
            page = await _elsewhere(_take, items, size)
        except SourceError as error:
            gone = isinstance(error, SourceUnavailable) or not presence.all_there()
            if gone:
                raise as_outage(run, error) from None
            raise
        for notice in source.notices:
            if notice not in told:
                told.add(notice)
                observer.notify(notice)
        return page

    return read


def _take(items: Iterable[Item], size: int) -> list[Item]:
    page: list[Item] = []
    room = PAGE_SIZE
    for item in islice(items, size):
        page.append(item)
        room -= len(encode(item.params)) if item.params else 0
        if room < 0:
            break
    return page


def _made(run: Path, config: Config, mode: Mode, source: Sources | None) -> RunInfo:
    if source is None:
        raise StoreError(f"{run} holds no run yet: start one with `batchinfer run`.")
    return RunInfo(
        id=new_run_id(secrets.token_bytes(16)),
        created_at=time.time(),
        mode=mode,
        config=config.stored(),
        sources=source.specs,
    )


@asynccontextmanager
async def _carriers(
    resolved: Resolved, run_id: str, run: Path, *, clean: bool
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
                    max_reply=resolved.max_reply,
                    spool=run,
                    bandwidth=resolved.bandwidth,
                ) as backend:
                    yield backend, None
            case BucketAccess() as access:
                patience = _store_patience(resolved)
                async with bucket_of(
                    access,
                    redact,
                    patience=patience,
                    read_timeout=max(patience, 1.0),
                    send_timeout=resolved.send_timeout,
                    bandwidth=resolved.bandwidth,
                ) as bucket:
                    loader, cargo = (
                        Loader(resolved.params, Mode.ASYNC, redact=redact),
                        Cargo(resolved.memory),
                    )
                    carrier = BucketBackend(bucket, loader, run_id, cargo)
                    watcher = BucketWatcher(
                        bucket,
                        run_id=run_id,
                        redact=redact,
                        grace=min(GRACE, resolved.timeout / 4),
                        clean=clean,
                        memory=cargo,
                        max_reply=resolved.max_reply,
                        sender=carrier,
                    )
                    yield carrier, watcher
    except FatalError as error:  # an address that cannot even be called
        raise RunAborted(error.code, str(error)) from None
