"""An engine at work, and what goes on beside it."""

from __future__ import annotations

import time

import anyio

from batchinfer.api.composition import OpenJob
from batchinfer.engine import Engine
from batchinfer.ports import Notice, Observer, Progress
from batchinfer.text_format import format_count, format_duration


async def run_engine(opened: OpenJob, started_at: float, observer: Observer) -> Progress:
    """`engine.run`, with what goes on beside it: the stop by `stop_after`, copying a run back.

    `started_at`: when the process began with the job (monotonic). Raises what `engine.run` raises,
    never a group.
    """
    engine, stop_after, scratch = opened.engine, opened.resolved.settings.stop_after, opened.scratch
    progress: Progress | None = None
    cause: Exception | None = None
    async with anyio.create_task_group() as group:
        if stop_after is not None:
            group.start_soon(_stop_when_due, engine, stop_after, started_at, observer)
        if scratch is not None:
            group.start_soon(scratch.publish_regularly, engine)
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
