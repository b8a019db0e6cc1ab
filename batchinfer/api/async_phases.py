"""The halves of async mode as jobs: what `submit` and `collect` take for granted."""

from __future__ import annotations

from dataclasses import replace

from batchinfer.api.job import Job
from batchinfer.api.job_setup import load_run_info
from batchinfer.config import Concurrency, Config
from batchinfer.domain import Mode

DEFAULT_MAX_SUBMITTED = 1_000
"""Submitted and unfinished at a time, unless configured: each is a Kubernetes job."""


def set_async_mode(job: Job) -> Job:
    """The job in async mode, unless its run is in sync mode already."""
    info = load_run_info(job.run)
    if info is not None and info.mode is Mode.SYNC:
        return job
    return replace(job, flags={**job.flags, "run.mode": Mode.ASYNC.value})


def limit_submitted(job: Job, config: Config) -> Job:
    """The job with the default limit of submitted items, unless there is another.

    `config`: the configuration of the job.
    """
    is_limited = config.run.concurrency != Concurrency()
    if is_limited or job.flags.get("run.concurrency") is not None:
        return job
    return replace(job, flags={**job.flags, "run.concurrency": DEFAULT_MAX_SUBMITTED})
