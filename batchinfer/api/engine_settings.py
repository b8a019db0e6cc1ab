"""From settings to what bounds an engine: how many calls at once, how fast, how long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchinfer.api.deliveries import DELIVERIES
from batchinfer.config import Percent, RunSettings
from batchinfer.engine import PooledService, RunPolicy
from batchinfer.flow import (
    AdaptiveLimit,
    ConcurrencyLimit,
    FixedLimit,
    Gate,
    MachineCapacity,
    RateLimiter,
    RetryPolicy,
)
from batchinfer.machine_limits import get_open_file_limit
from batchinfer.ports import Backend, Notice

TYPICAL_CONCURRENCY = 64
"""Calls at once that a run may well come to need, if nothing else is configured."""
OPEN_FILES_REASON = "no more files may be open (ulimit -n)"
MAX_UPLOADS = 16
"""Objects that one process uploads at a time: more do not go faster, and hold more payloads in
memory."""
CLUSTER_FACTOR = 16
"""How many times as much at once a run may come to on a cluster as in one process, at most. Each
worker has its own limits besides."""


def build_run_policy(settings: RunSettings, max_items: int | None = None) -> RunPolicy:
    """How long the engine waits and when it gives up. `max_items`: sent by this process at most."""
    max_failures, uses_bucket = settings.max_failures, settings.mode.uses_bucket
    return RunPolicy(
        retry=RetryPolicy(max_attempts=settings.max_attempts),
        cold_start_timeout=settings.cold_start,
        # Uploads, and calls held back by a bandwidth limit, do not show how long an answer takes.
        first_answer_timeout=None
        if settings.bandwidth or uses_bucket
        else settings.first_answer_timeout,
        give_up_after=settings.give_up_after,
        deadline=settings.deadline,
        hedge=settings.hedge,
        max_failures=max_failures if isinstance(max_failures, int) else None,
        max_failure_share=max_failures.value / 100 if isinstance(max_failures, Percent) else None,
        grace=settings.grace,
        overdue_after=settings.timeout,
        max_items=max_items,
        is_watching=settings.watch is not None,
    )


def build_gate(
    settings: RunSettings, machine_limit: int | None, *, is_distributed: bool = False
) -> Gate:
    """What lets calls (async mode: uploads) begin. `machine_limit`: calls that this machine allows.

    None: it sets no limit. `is_distributed`: the workers of a cluster make them.
    """
    factor = CLUSTER_FACTOR if is_distributed else 1
    if settings.mode.uses_bucket:
        limit: ConcurrencyLimit = FixedLimit(factor * MAX_UPLOADS)
    else:
        limit = build_limit(settings, machine_limit, factor)
    rate_limiter = RateLimiter(settings.rate) if settings.rate else None
    return Gate(limit, rate_limiter, machine_capacity=MachineCapacity(machine_limit))


def build_pooled_services(
    settings: RunSettings, backends: Sequence[Backend], machine_limit: int | None
) -> Sequence[PooledService]:
    """Several services, each with flow control of its own; they share what this machine bears."""
    each_limit = None if machine_limit is None else max(machine_limit // len(backends), 1)
    return [
        PooledService(each.service_name or "", backend, build_gate(each, each_limit))
        for each, backend in zip(settings.split_by_service(), backends, strict=True)
    ]


def build_limit(
    settings: RunSettings, machine_limit: int | None = None, factor: int = 1
) -> ConcurrencyLimit:
    """The limit as configured: a fixed number, or one that adapts within its bounds.

    `factor`: raises the highest, unless that is configured.
    """
    lowest, highest = settings.concurrency.lowest, settings.concurrency.highest
    if lowest == highest:
        return FixedLimit(lowest)
    delivery = DELIVERIES[settings.mode]
    highest = highest or factor * delivery.max_adaptive_limit
    if machine_limit is None or machine_limit >= highest:
        return AdaptiveLimit(lowest, highest, unlimited_wait=settings.mode.uses_bucket)
    return AdaptiveLimit(
        min(lowest, machine_limit),
        machine_limit,
        unlimited_wait=settings.mode.uses_bucket,
        highest_reason=OPEN_FILES_REASON,
    )


def iter_open_file_notices(settings: RunSettings, machine_limit: int | None) -> Iterator[Notice]:
    """A notice when this machine allows fewer calls at once than are configured."""
    requested = settings.concurrency
    wanted = (
        MAX_UPLOADS
        if settings.mode.uses_bucket
        else max(requested.lowest, requested.highest or TYPICAL_CONCURRENCY)
    )
    if machine_limit is not None and machine_limit < wanted:
        yield Notice(
            "too_many_open_files",
            f"This process may have {get_open_file_limit():,} files open: at most "
            f"{machine_limit:,} calls are made at once. To allow more, run `ulimit -n 4096` first, "
            "or ask the administrator.",
        )
