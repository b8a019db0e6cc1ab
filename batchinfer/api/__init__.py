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

from batchinfer.api.blocking import wait_for
from batchinfer.api.cleaning import Cleaned, clean
from batchinfer.api.composing import opened
from batchinfer.api.control import Steering, ask, at_work, steered
from batchinfer.api.describing import Description
from batchinfer.api.exporting import Boxes, Which, book_of, export, options_of
from batchinfer.api.job import Half, Job
from batchinfer.api.preparing import must_be_known
from batchinfer.api.preview import Preview, preview
from batchinfer.api.querying import Answer, query, views
from batchinfer.api.reading import Extrapolated, Status, extrapolated, find_key, left, show, status
from batchinfer.api.settings import Settings, flags_of
from batchinfer.api.tables import Results, results
from batchinfer.config import Config
from batchinfer.domain import Result, State
from batchinfer.engine import Engine
from batchinfer.ports import Observer, Recorded
from batchinfer.progress import Quiet, Summary
from batchinfer.store.lock import RunLock
from batchinfer.store.reader import Detail, RunReader
from batchinfer.store.sqlite import SqliteStore

__all__ = [
    "Answer",
    "Boxes",
    "Cleaned",
    "Description",
    "Detail",
    "Extrapolated",
    "Half",
    "Job",
    "Preview",
    "Results",
    "Settings",
    "Status",
    "Summary",
    "Which",
    "aresume",
    "arun",
    "ask",
    "at_work",
    "book_of",
    "clean",
    "do",
    "export",
    "extrapolated",
    "left",
    "options_of",
    "preview",
    "query",
    "requeue",
    "results",
    "resume",
    "run",
    "show",
    "status",
    "stream",
    "summarize",
    "views",
]

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130

Path_: TypeAlias = str | Path


async def do(
    job: Job,
    observer: Observer | None = None,
    *,
    started: Callable[[Engine], None] | None = None,
) -> Summary:
    """Do a job to its end, or until the engine that `started` was given is stopped.

    Raises RunAborted, ConfigError, SourceError, StoreError; what is recorded is kept.
    """
    began = time.monotonic()
    steering = Steering(observer or Quiet())
    async with opened(job, steering) as engine, steered(job.run, engine, steering):
        if started is not None:
            started(engine)
        progress = await engine.run()
    if job.clean and not engine.stopped:
        await clean(job)  # also what was left behind: earlier attempts, inputs whose event was lost
    code = EXIT_OK if progress.counts.failed == 0 else EXIT_FAILED
    if engine.stopped:
        code = EXIT_INTERRUPTED
    return summarize(job.run, time.monotonic() - began, code)


def summarize(run: Path, seconds: float, exit_code: int) -> Summary:
    """How a process left its run."""
    now = status(run)
    failures = {group.code: group.count for group in now.failures}
    return Summary(str(run), now.mode, now.counts, failures, seconds, exit_code)


async def arun(
    source: Path_ | Sequence[Path_],
    run: Path_,
    *,
    config: Path_ | Config | None = None,
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
    job = _job(source, run, config, limit, settings, force=force, validate=validate)
    return await do(job, observer)


async def aresume(
    run: Path_,
    *,
    config: Path_ | None = None,
    limit: int | None = None,
    observer: Observer | None = None,
    **settings: Unpack[Settings],
) -> Summary:
    """Go on with a run; secrets come from the environment or `config`. Raises as `do` does."""
    must_be_known(Path(run))
    return await do(_job((), run, config, limit, settings), observer)


def run(
    source: Path_ | Sequence[Path_],
    run: Path_,
    *,
    config: Path_ | Config | None = None,
    limit: int | None = None,
    force: bool = False,
    validate: bool = True,
    observer: Observer | None = None,
    **settings: Unpack[Settings],
) -> Summary:
    """`arun`, waited for."""
    job = _job(source, run, config, limit, settings, force=force, validate=validate)
    return wait_for(lambda: do(job, observer))


def resume(
    run: Path_,
    *,
    config: Path_ | None = None,
    limit: int | None = None,
    observer: Observer | None = None,
    **settings: Unpack[Settings],
) -> Summary:
    """`aresume`, waited for."""
    must_be_known(Path(run))
    job = _job((), run, config, limit, settings)
    return wait_for(lambda: do(job, observer))


@asynccontextmanager
async def stream(
    source: Path_ | Sequence[Path_],
    run: Path_,
    *,
    config: Path_ | Config | None = None,
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
    job = _job(source, run, config, limit, settings, validate=validate)
    send, receive = anyio.create_memory_object_stream[Result](0)

    async def recorded(event: Recorded) -> None:
        final = {State.SUCCEEDED, State.FAILED}
        positions = [record.position for record in event.records if record.state in final]
        for result in await anyio.to_thread.run_sync(_read, job.run, positions):
            await send.send(result)

    causes: list[Exception] = []

    async def produce(engine: Engine) -> None:
        with send:
            try:
                await engine.run()
            except Exception as error:  # noqa: BLE001 - raised below, alone
                causes.append(error)

    steering = Steering(observer or Quiet())
    async with (
        opened(job, steering, recorded) as engine,
        steered(job.run, engine, steering),
        receive,
    ):
        async with anyio.create_task_group() as group:
            group.start_soon(produce, engine)
            try:
                yield receive
            except Exception as error:  # noqa: BLE001 - the same
                causes.insert(0, error)
            group.cancel_scope.cancel()
        if causes:
            raise causes[0]


def requeue(run: Path_, *, code: str | None = None, key: str | bytes | None = None) -> int:
    """Put failed items back to pending (all; those of one code; the one of a key); how many.

    They have a fresh budget of attempts, and their files are taken as they are now. Raises
    ConfigError when there is no such key, RunLocked while another process works on the run,
    StoreError when there is none.
    """

    async def work() -> int:
        async with SqliteStore.open(Path(run)) as store:
            return await store.requeue(code=code, key=found)

    must_be_known(Path(run))
    found = None if key is None else find_key(run, key)
    with RunLock(Path(run)):
        return wait_for(work)


def _job(
    source: Path_ | Sequence[Path_],
    run: Path_,
    config: Path_ | Config | None,
    limit: int | None,
    settings: Settings,
    *,
    force: bool = False,
    validate: bool = True,
) -> Job:
    sources = [source] if isinstance(source, (str, Path)) else source
    return Job(
        run=Path(run),
        sources=tuple(str(each) for each in sources),
        config=config if isinstance(config, Config) or config is None else Path(config),
        flags=flags_of(settings),
        limit=limit,
        force=force,
        validate=validate,
    )


def _read(run: Path, positions: Sequence[int]) -> Sequence[Result]:
    with RunReader(run) as reader:
        return reader.results_at(positions)
