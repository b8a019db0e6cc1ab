"""batchinfer from Python: the same jobs as the command line's.

::

    import batchinfer as bi

    summary = bi.run("photos", "my-run", config="batchinfer.toml", concurrency=16)
    for result in bi.results("my-run", "succeeded"):
        print(result.key, result.prediction)

Every verb that does work has an async form (``arun``); ``run`` and ``resume`` also work in a
notebook, where a loop is already running.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias, Unpack

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from batchinfer.api.bucket_cleanup import CleanupSummary, clean
from batchinfer.api.composition import open_job
from batchinfer.api.control import Controller, get_worker_status, send_command, serve_control
from batchinfer.api.dry_run import Preview, preview
from batchinfer.api.job import AsyncPhase, Job, ResolvedJob, require_run
from batchinfer.api.model_help import ModelDescription
from batchinfer.api.result_export import BoxSpec, ResultFilter, build_export_source, export
from batchinfer.api.result_set import Results, results
from batchinfer.api.run_status import (
    RunEstimate,
    Status,
    estimate_run,
    estimate_time_left,
    find_key,
    show,
    status,
)
from batchinfer.api.settings import Settings, settings_to_flags
from batchinfer.api.sql_query import QueryResult, list_views, query
from batchinfer.api.sync_runner import run_blocking
from batchinfer.config import Config
from batchinfer.domain import Result, State
from batchinfer.engine import Engine
from batchinfer.ports import Committed, Observer
from batchinfer.progress import QuietDisplay, Summary
from batchinfer.store.lock import RunLock
from batchinfer.store.run_reader import Detail, RunReader
from batchinfer.store.sqlite import SqliteStore

__all__ = [
    "AsyncPhase",
    "BoxSpec",
    "CleanupSummary",
    "Detail",
    "Job",
    "ModelDescription",
    "Preview",
    "QueryResult",
    "ResultFilter",
    "Results",
    "RunEstimate",
    "Settings",
    "Status",
    "Summary",
    "aresume",
    "arun",
    "build_export_source",
    "clean",
    "estimate_run",
    "estimate_time_left",
    "export",
    "get_worker_status",
    "list_views",
    "preview",
    "query",
    "requeue",
    "require_run",
    "results",
    "resume",
    "run",
    "run_job",
    "send_command",
    "show",
    "status",
    "stream",
    "summarize",
]

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130

StrPath: TypeAlias = str | Path


async def run_job(
    job: Job | ResolvedJob,
    observer: Observer | None = None,
    *,
    on_started: Callable[[Engine], None] | None = None,
) -> Summary:
    """Do a job to its end, or until the engine that `on_started` was given is stopped.

    Raises RunAborted, ConfigError, SourceError, StoreError; what is recorded is kept.
    """
    start = time.monotonic()
    controller = Controller(observer or QuietDisplay())
    async with open_job(job, controller) as opened:
        engine, resolved = opened.engine, opened.resolved
        mode = resolved.settings.mode
        async with serve_control(job.run, engine, controller, mode):
            if on_started is not None:
                on_started(engine)
            progress = await engine.run()
        failures = dict(await opened.store.fetch_failure_counts())
    if resolved.job.clean and not engine.stopped:
        # Also what was left behind: earlier attempts, inputs whose event was lost.
        await clean(resolved)
    code = EXIT_OK if progress.counts.failed == 0 else EXIT_FAILED
    if engine.stopped:
        code = EXIT_INTERRUPTED
    seconds = time.monotonic() - start
    return Summary(str(job.run), mode, progress.counts, failures, seconds, code)


def summarize(run: Path, seconds: float, exit_code: int) -> Summary:
    """How a process that was cut short left its run. Raises StoreError when there is none."""
    current = status(run)
    failures = {group.code: group.count for group in current.failures}
    return Summary(str(run), current.mode, current.counts, failures, seconds, exit_code)


async def arun(
    source: StrPath | Sequence[StrPath],
    run: StrPath,
    *,
    config: StrPath | Config | None = None,
    limit: int | None = None,
    force: bool = False,
    validate: bool = True,
    observer: Observer | None = None,
    **settings: Unpack[Settings],
) -> Summary:
    """Start the run of `source` in the directory `run`, or continue it.

    `source`: folders, globs, files, manifests. `validate`: check all parameters against the model's
    help before anything is sent. Raises as `do` does.
    """
    job = _build_job(source, run, config, limit, settings, force=force, validate=validate)
    return await run_job(job, observer)


async def aresume(
    run: StrPath,
    *,
    config: StrPath | None = None,
    limit: int | None = None,
    observer: Observer | None = None,
    **settings: Unpack[Settings],
) -> Summary:
    """Go on with a run; secrets come from the environment or `config`. Raises as `do` does."""
    require_run(Path(run))
    return await run_job(_build_job((), run, config, limit, settings), observer)


def run(
    source: StrPath | Sequence[StrPath],
    run: StrPath,
    *,
    config: StrPath | Config | None = None,
    limit: int | None = None,
    force: bool = False,
    validate: bool = True,
    observer: Observer | None = None,
    **settings: Unpack[Settings],
) -> Summary:
    """`arun`, waited for."""
    job = _build_job(source, run, config, limit, settings, force=force, validate=validate)
    return run_blocking(lambda: run_job(job, observer))


def resume(
    run: StrPath,
    *,
    config: StrPath | None = None,
    limit: int | None = None,
    observer: Observer | None = None,
    **settings: Unpack[Settings],
) -> Summary:
    """`aresume`, waited for."""
    require_run(Path(run))
    job = _build_job((), run, config, limit, settings)
    return run_blocking(lambda: run_job(job, observer))


@asynccontextmanager
async def stream(
    source: StrPath | Sequence[StrPath],
    run: StrPath,
    *,
    config: StrPath | Config | None = None,
    limit: int | None = None,
    validate: bool = True,
    observer: Observer | None = None,
    **settings: Unpack[Settings],
) -> AsyncIterator[MemoryObjectReceiveStream[Result]]:
    """`arun` as a stream of results, each as soon as it is durable, in order of completion.

    ::

        async with bi.stream("photos", "my-run", config="batchinfer.toml") as results:
            async for result in results:
                ...

    Results of an earlier go are not in it (see `results`). Who reads slowly slows the run down; who
    leaves early stops it, resumable. Raises as `do` does, at the end of the stream.
    """
    job = _build_job(source, run, config, limit, settings, validate=validate)
    send, receive = anyio.create_memory_object_stream[Result](0)

    async def on_commit(event: Committed) -> None:
        final_states = {State.SUCCEEDED, State.FAILED}
        positions = [record.position for record in event.records if record.state in final_states]
        for result in await anyio.to_thread.run_sync(_read_results, job.run, positions):
            await send.send(result)

    errors: list[Exception] = []

    async def run_engine(engine: Engine) -> None:
        with send:
            try:
                await engine.run()
            except Exception as error:  # noqa: BLE001 - raised below, alone
                errors.append(error)

    controller = Controller(observer or QuietDisplay())
    async with (
        open_job(job, controller, on_commit) as opened,
        serve_control(job.run, opened.engine, controller, opened.resolved.settings.mode),
        receive,
    ):
        async with anyio.create_task_group() as group:
            group.start_soon(run_engine, opened.engine)
            try:
                yield receive
            except Exception as error:  # noqa: BLE001 - the same
                errors.insert(0, error)
            group.cancel_scope.cancel()
        if errors:
            raise errors[0]


def requeue(run: StrPath, *, code: str | None = None, key: str | bytes | None = None) -> int:
    """Put failed items back to pending (all; those of one code; the one of a key); how many.

    They have a fresh budget of attempts, and their files are taken as they are now. Raises
    ConfigError when there is no such key, RunLocked while another process works on the run,
    StoreError when there is none.
    """

    async def requeue_items() -> int:
        async with SqliteStore.open(Path(run)) as store:
            return await store.requeue(code=code, key=stored_key)

    require_run(Path(run))
    stored_key = None if key is None else find_key(run, key)
    with RunLock(Path(run)):
        return run_blocking(requeue_items)


def _build_job(
    source: StrPath | Sequence[StrPath],
    run: StrPath,
    config: StrPath | Config | None,
    limit: int | None,
    settings: Settings,
    *,
    force: bool = False,
    validate: bool = True,
) -> Job:
    sources = [source] if isinstance(source, (str, Path)) else source
    return Job(
        run=Path(run),
        sources=tuple(str(spec) for spec in sources),
        config=config if isinstance(config, Config) or config is None else Path(config),
        flags=settings_to_flags(settings),
        limit=limit,
        force=force,
        validate=validate,
    )


def _read_results(run: Path, positions: Sequence[int]) -> Sequence[Result]:
    with RunReader(run) as reader:
        return reader.read_results_at(positions)
