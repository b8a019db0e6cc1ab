"""One real prediction: a run of one item, in a directory and a place in the bucket of its own.

What it leaves in the bucket is deleted, whatever becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio

from batchinfer.api.checks.findings import Finding, State
from batchinfer.api.cleaning import forget
from batchinfer.api.composing import opened
from batchinfer.api.job import Job
from batchinfer.api.preparing import known
from batchinfer.config import Config, Resolved
from batchinfer.domain import JSON, TEXT, Mode, Result
from batchinfer.errors import BatchInferError
from batchinfer.ports import Observer
from batchinfer.sources.lists import AS_FILE
from batchinfer.store.reader import RunReader

TIDY: Final = 20.0
"""Seconds for deleting, also after Ctrl-C."""


async def probe(
    file: Path, config: Config, env: Mapping[str, str], resolved: Resolved, observer: Observer
) -> Finding:
    """Predict `file` in the mode of `resolved`, once; what came of it."""
    mode = resolved.mode
    once = replace(config.run, mode=mode, max_attempts=1, max_failures=None, rate=None)
    with TemporaryDirectory(prefix="batchinfer-") as folder:
        run = Path(folder) / "probe"
        once_config, source = replace(config, run=once), f"{AS_FILE}{file}"
        job = Job(run=run, sources=(source,), config=once_config, env=env, limit=1)
        began = anyio.current_time()
        try:
            async with opened(job, observer) as engine:
                await engine.run()
        except BatchInferError as error:
            return Finding("probe", State.BAD, str(error), mode)
        finally:
            seconds = anyio.current_time() - began
            with anyio.move_on_after(TIDY, shield=True):
                await _forget(run, resolved)
        with RunReader(run) as reader:
            (result,) = reader.results_at([1])
        return _finding(result, run, mode, seconds)


async def _forget(run: Path, resolved: Resolved) -> None:
    info = known(run) if resolved.mode is Mode.ASYNC else None
    if info is not None:
        await forget(resolved, info)


def _finding(result: Result, run: Path, mode: Mode, seconds: float) -> Finding:
    took = f"after {seconds:.1f} s"
    if result.code is not None:
        return Finding("probe", State.BAD, f"{took}: {result.code}: {result.message}", mode)
    if result.media_type in {JSON, TEXT}:
        what = "data" if result.media_type == JSON else "text that is no data"
        message = f"a prediction {took}: {what}"
        return Finding("probe", State.GOOD, message, mode, result.prediction)
    size = (run / str(result.prediction)).stat().st_size
    message = f"a prediction {took}: {result.media_type}, {size:,} bytes"
    return Finding("probe", State.GOOD, message, mode)
