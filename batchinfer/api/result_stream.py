"""A run as a stream: each result as soon as it is recorded."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Unpack

import anyio
import anyio.to_thread

from batchinfer.api.composition import OpenJob, open_job
from batchinfer.api.control import Controller, serve_control
from batchinfer.api.engine_runner import run_engine
from batchinfer.api.job import Job
from batchinfer.api.job_runner import show_progress
from batchinfer.api.settings import Settings, Sources, StrPath, build_job
from batchinfer.config import Config
from batchinfer.domain import Result, State
from batchinfer.ports import Committed, Observer
from batchinfer.progress import QuietDisplay
from batchinfer.store.run_reader import RunReader


@asynccontextmanager
async def stream(
    source: Sources,
    run: StrPath,
    *,
    config: StrPath | Config | None = None,
    env_file: StrPath | None = None,
    limit: int | None = None,
    validate: bool = True,
    progress: bool = False,
    observer: Observer | None = None,
    **settings: Unpack[Settings],
) -> AsyncIterator[AsyncIterator[Result]]:
    """`arun` as a stream of results, each as soon as it is durable, in order of completion.

    ::

        async with bi.stream("photos", "my-run", config="batchinfer.toml") as results:
            async for result in results:
                ...

    Results of earlier calls are not in it (see `results`). A slow reader slows down the run;
    leaving the block early stops it, and it can be resumed. All arguments are those of `run`.

    Raises:
        BatchInferError: all that `run` raises, when the block is left.
    """
    job = build_job(run, config, env_file, settings, sources=source, limit=limit, validate=validate)
    display = show_progress(job.run, observer) if progress else nullcontext(observer)
    with display as chosen:
        async with _stream_job(job, chosen or QuietDisplay()) as received:
            yield received


@asynccontextmanager
async def _stream_job(job: Job, observer: Observer) -> AsyncIterator[AsyncIterator[Result]]:
    """Run a job; raises as `run_job`."""
    send, receive = anyio.create_memory_object_stream[Result](0)

    async def on_commit(event: Committed) -> None:
        final_states = {State.SUCCEEDED, State.FAILED}
        positions = [record.position for record in event.records if record.state in final_states]
        for result in await anyio.to_thread.run_sync(_read_results, directories[-1], positions):
            await send.send(result)

    directories: list[Path] = []
    errors: list[Exception] = []
    started_at = time.monotonic()

    async def run_to_end(opened: OpenJob) -> None:
        with send:
            try:
                await run_engine(opened, started_at, controller)
            except Exception as error:  # noqa: BLE001 - raised below, alone
                errors.append(error)

    controller = Controller(observer)
    async with (
        open_job(job, controller, on_commit) as opened,
        serve_control(
            opened.resolved.store_directory,
            opened.engine,
            controller,
            opened.resolved.settings.mode,
        ),
        receive,
    ):
        directories.append(opened.resolved.store_directory)
        async with anyio.create_task_group() as group:
            group.start_soon(run_to_end, opened)
            try:
                yield receive
            except Exception as error:  # noqa: BLE001 - the same
                errors.insert(0, error)
            group.cancel_scope.cancel()
        if errors:
            raise errors[0]


def _read_results(run: Path, positions: Sequence[int]) -> Sequence[Result]:
    with RunReader(run) as reader:
        return reader.read_results_at(positions)
