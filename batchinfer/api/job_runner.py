"""Running a job to its end, with or without a display of its progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batchinfer.api.bucket_cleanup import clean_bucket
from batchinfer.api.composition import open_job
from batchinfer.api.control import Controller, serve_control
from batchinfer.api.engine_runner import run_engine
from batchinfer.api.job import Job, ResolvedJob
from batchinfer.api.run_status import status
from batchinfer.engine import Engine
from batchinfer.ports import Event, Observer
from batchinfer.progress import QuietDisplay, Summary, choose_display

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130


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
        async with serve_control(resolved.store_directory, engine, controller, mode):
            if on_started is not None:
                on_started(engine)
            progress = await run_engine(opened, start, controller)
        failures = dict(await opened.store.fetch_failure_counts())
        reused = await opened.store.count_reused()
    if resolved.job.clean and not engine.stopped:
        # Also what was left behind: earlier attempts, inputs whose event was lost.
        await clean_bucket(resolved)
    code = EXIT_OK if progress.counts.failed == 0 else EXIT_FAILED
    if engine.stopped:
        code = EXIT_INTERRUPTED
    seconds = time.monotonic() - start
    return Summary(str(job.run), mode, progress.counts, failures, seconds, code, reused)


def summarize(run: Path, seconds: float, exit_code: int) -> Summary:
    """How a process that was cut short left its run. Raises StoreError when there is none."""
    current = status(run)
    failures = {group.code: group.count for group in current.failures}
    return Summary(
        str(run), current.mode, current.counts, failures, seconds, exit_code, current.reused
    )


@contextmanager
def show_progress(run: Path, observer: Observer | None) -> Iterator[Observer]:
    """A display on standard error for as long as the block lasts: a bar on a terminal and in a
    notebook, else a line now and then. Events are passed on to `observer`, too.
    """  # noqa: D205 - one thought
    start = time.monotonic()
    display = choose_display(sys.stderr, sys.stdout)
    try:
        yield display if observer is None else _ObserverPair(display, observer)
    except BaseException:
        display.release_stream()
        raise
    display.close(summarize(run, time.monotonic() - start, EXIT_OK))


class _ObserverPair:
    def __init__(self, first: Observer, second: Observer) -> None:
        self._first, self._second = first, second

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        self._first.notify(event)
        self._second.notify(event)
