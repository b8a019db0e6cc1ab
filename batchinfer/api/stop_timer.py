"""`stop_after`: an engine that stops by itself, as by Ctrl-C, before its time is up."""

from __future__ import annotations

import time

import anyio

from batchinfer.config import RunSettings
from batchinfer.engine import Engine
from batchinfer.ports import Notice, Observer, Progress
from batchinfer.text_format import format_count, format_duration


async def run_engine(
    engine: Engine, settings: RunSettings, started_at: float, observer: Observer
) -> Progress:
    """`engine.run`, stopped once `settings.stop_after` has passed since `started_at` (monotonic).

    The time that opening the run took counts. Raises what `engine.run` raises, never a group.
    """
    if settings.stop_after is None:
        return await engine.run()
    progress: Progress | None = None
    cause: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_stop_when_due, engine, settings.stop_after, started_at, observer)
        try:
            progress = await engine.run()
        except Exception as error:  # noqa: BLE001 - raised below, alone, not in a group
            cause = error
        group.cancel_scope.cancel()
    if progress is None:
        raise cause or RuntimeError("the engine returned nothing")
    return progress


async def _stop_when_due(
    engine: Engine, stop_after: float, started_at: float, observer: Observer
) -> None:
    await anyio.sleep(max(0.0, started_at + stop_after - time.monotonic()))
    if engine.stopped:
        return
    in_flight = engine.stop()
    waiting = f": waiting for {format_count(in_flight, 'running call')}" if in_flight else ""
    observer.notify(
        Notice(
            "stopping",
            f"Stopping after {format_duration(stop_after)} (stop_after){waiting}.",
        )
    )
