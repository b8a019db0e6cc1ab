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

from batchinfer.api.bucket_cleanup import delete_run_objects
from batchinfer.api.checks.findings import Finding, FindingState
from batchinfer.api.composition import open_job
from batchinfer.api.job import Job, load_stored_run
from batchinfer.config import Config, RunSettings
from batchinfer.domain import JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE, Mode, Result
from batchinfer.errors import BatchInferError
from batchinfer.ports import Observer
from batchinfer.sources.list_detection import AS_FILE_PREFIX
from batchinfer.store.run_reader import RunReader

PROBE_CLEANUP_TIMEOUT: Final = 20.0
"""Seconds for deleting, also after Ctrl-C."""


async def run_probe(
    file: Path, config: Config, env: Mapping[str, str], settings: RunSettings, observer: Observer
) -> Finding:
    """Predict `file` in the mode of `resolved`, once; what came of it."""
    mode = settings.mode
    probe_section = replace(config.run, mode=mode, max_attempts=1, max_failures=None, rate=None)
    with TemporaryDirectory(prefix="batchinfer-") as folder:
        run = Path(folder) / "probe"
        probe_config, source = replace(config, run=probe_section), f"{AS_FILE_PREFIX}{file}"
        job = Job(run=run, sources=(source,), config=probe_config, env=env, limit=1)
        start = anyio.current_time()
        try:
            async with open_job(job, observer) as opened:
                await opened.engine.run()
        except BatchInferError as error:
            return Finding("probe", FindingState.BAD, str(error), mode)
        finally:
            seconds = anyio.current_time() - start
            with anyio.move_on_after(PROBE_CLEANUP_TIMEOUT, shield=True):
                await _delete_probe_objects(run, settings)
        with RunReader(run) as reader:
            (result,) = reader.read_results_at([1])
        return _make_finding(result, run, mode, seconds)


async def _delete_probe_objects(run: Path, settings: RunSettings) -> None:
    stored = load_stored_run(run) if settings.mode.uses_bucket else None
    if stored is not None:
        await delete_run_objects(settings, stored.info)


def _make_finding(result: Result, run: Path, mode: Mode, seconds: float) -> Finding:
    elapsed = f"after {seconds:.1f} s"
    if result.code is not None:
        return Finding(
            "probe", FindingState.BAD, f"{elapsed}: {result.code}: {result.message}", mode
        )
    if result.media_type in {JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE}:
        what = "data" if result.media_type == JSON_MEDIA_TYPE else "text that is no data"
        message = f"a prediction {elapsed}: {what}"
        return Finding("probe", FindingState.GOOD, message, mode, result.prediction)
    size = (run / str(result.prediction)).stat().st_size
    message = f"a prediction {elapsed}: {result.media_type}, {size:,} bytes"
    return Finding("probe", FindingState.GOOD, message, mode)
