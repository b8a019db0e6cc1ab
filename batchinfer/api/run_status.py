"""What is stored in a run directory, also while the run is running. Nothing here writes to it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batchinfer.api.job import require_run
from batchinfer.api.settings import StrPath
from batchinfer.config import get_stored_shard
from batchinfer.config.stored_choice import is_watched
from batchinfer.domain import Counts, Json, Mode
from batchinfer.errors import UnknownKey
from batchinfer.ports import LimitChanged, Progress
from batchinfer.progress.progress_state import LONG_WINDOW_SECONDS, RATE_SLICES
from batchinfer.progress.remaining_time import RateSamples, RemainingTime, estimate_remaining_time
from batchinfer.sources.input_files import name_to_key, to_nfc
from batchinfer.store.run_reader import Detail, FailureGroup, RunReader, WaitSummary
from batchinfer.text_format import escape_undecodable

RATE_WINDOW_SECONDS = 60.0
"""Seconds over which a rate is taken."""
SHOWN_LIMIT_CHANGES = 3
"""Changes of the limit that are shown."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands."""

    run: Path
    mode: Mode
    counts: Counts
    complete: bool
    """Whether its source has been read to the end, so that `counts.total` is all."""
    failures: Sequence[FailureGroup]
    """Failed items by code, most frequent first, an example each."""
    sources: tuple[str, ...]
    started_at: float | None
    """Start of the first attempt, seconds since the epoch."""
    finished_at: float | None
    """When the latest item got its outcome."""
    rate: float
    """Items finished per second, over the last minute; only time in which a process ran counts."""
    adjustments: Sequence[LimitChanged] = ()
    """How the limit moved at last, oldest first."""
    waited_for: WaitSummary = field(default_factory=WaitSummary)
    shard: str | None = None
    """The part of its source that the run holds, as "3/16"; None: all."""
    reused: int = 0
    """Results that were taken over from earlier runs, without a call."""
    watched: bool = False
    """Whether the run watches its source, while a process works on it: there is no end to it."""
    services: Mapping[str, int] = field(default_factory=dict)
    """How many items each of several services answered; empty: there is one."""

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer status --json` prints (docs/reference/scripting.md)."""
        counts = self.counts
        return {
            "run": str(self.run),
            "mode": self.mode.value,
            "shard": self.shard,
            "total": counts.total,
            "pending": counts.pending,
            "submitted": counts.submitted,
            "succeeded": counts.succeeded,
            "failed": counts.failed,
            "failures": {group.code: group.count for group in self.failures},
            "reused": self.reused,
            "watched": self.watched,
            **({"services": dict(self.services)} if self.services else {}),
        }


def status(run: StrPath) -> Status:
    """Where the run stands; also while a process works on it.

    Raises:
        StoreError: there is no run in the directory.
    """
    now = time.time()
    with _open_reader(run) as reader:
        span = reader.read_activity_span(now - RATE_WINDOW_SECONDS)
        shard = get_stored_shard(reader.info.config)
        return Status(
            run=Path(run),
            mode=reader.info.mode,
            counts=reader.read_counts(),
            complete=reader.is_source_complete,
            failures=reader.read_failure_groups(),
            sources=reader.info.sources,
            started_at=span.started_at,
            finished_at=span.finished_at,
            rate=span.recently_finished / _measure_active_seconds(reader, now),
            adjustments=reader.read_limit_changes(SHOWN_LIMIT_CHANGES),
            waited_for=reader.read_wait_summary(now),
            shard=None if shard is None else str(shard),
            reused=reader.count_reused(),
            watched=is_watched(reader.info.config),
            services=reader.count_results_by_service(),
        )


def _measure_active_seconds(reader: RunReader, now: float) -> float:
    """Within the last minute; all of it, where the run does not know."""
    active_seconds = reader.sum_active_seconds(now - RATE_WINDOW_SECONDS)
    return min(active_seconds, RATE_WINDOW_SECONDS) if active_seconds else RATE_WINDOW_SECONDS


def estimate_time_left(run: StrPath, since: float) -> RemainingTime | None:
    """How long the rest will take the process that started at `since` (seconds since the epoch).

    None while that is unknown. Raises StoreError when there is no run.
    """
    now = time.time()
    with _open_reader(run) as reader:
        return _estimate_rest(
            reader,
            now,
            max(since, now - RATE_WINDOW_SECONDS),
            max(since, now - LONG_WINDOW_SECONDS),
        )


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """What a run over a few items says about all the others."""

    sent: int
    """Items that were finished by this process."""
    failures: Mapping[str, int]
    """Those of them that failed, by code."""
    remaining: int
    complete: bool
    """Whether that is all there is: the source has been read to its end."""
    time_left: RemainingTime | None
    """How long the rest will take; None when too little was finished to say."""
    estimated_servers: float | None
    """How many containers are busy; None when that is unknown."""

    def as_json(self) -> dict[str, Json]:
        """The fields of the event `estimate` (docs/reference/scripting.md)."""
        time_left = self.time_left
        return {
            "sent": self.sent,
            "failures": dict(self.failures),
            "remaining": self.remaining,
            "complete": self.complete,
            "seconds": None if time_left is None else round(time_left.likely),
            "range": None if time_left is None else [round(time_left.low), round(time_left.high)],
            "serving": None if self.estimated_servers is None else round(self.estimated_servers, 1),
        }


def estimate_run(run: StrPath, since: float, progress: Progress) -> RunEstimate:
    """An estimate of the rest, after a process that started at `since` and ended with `progress`.

    Raises StoreError when there is no run.
    """
    with _open_reader(run) as reader:
        counts, end = reader.read_counts(), reader.read_activity_span(since).finished_at or since
        # From the first attempt, so that a cold start does not count.
        start = reader.find_first_start(since) or since
        return RunEstimate(
            sent=reader.read_activity_span(since).recently_finished,
            failures=progress.failed_by_code,
            remaining=counts.pending + counts.submitted,
            complete=reader.is_source_complete,
            time_left=_estimate_rest(reader, end, start),
            estimated_servers=progress.estimated_servers,
        )


def _estimate_rest(reader: RunReader, until: float, *since: float) -> RemainingTime | None:
    counts = reader.read_counts()
    samples = [
        RateSamples(reader.count_finished_per_slice(begin, until, RATE_SLICES), until - begin)
        for begin in since
    ]
    return estimate_remaining_time(counts.pending + counts.submitted, *samples)


def show(run: StrPath, key: str | bytes) -> Detail:
    """Everything about one item: its files, attempts with their logs, prediction.

    Args:
        run: the run directory.
        key: the item's key as it is recorded, or as its file is called.

    Raises:
        UnknownKey: there is no item with this key; the message names the nearest.
        StoreError: there is no run in the directory.
    """
    with _open_reader(run) as reader:
        detail = reader.read_item_detail(_resolve_key(reader, run, key))
    if detail is None:
        raise UnknownKey(f"There is no item {key!r} in {run}.")
    return detail


def find_key(run: StrPath, key: str | bytes) -> str:
    """The key as it is recorded. Raises as `show`."""
    with _open_reader(run) as reader:
        return _resolve_key(reader, run, key)


def _resolve_key(reader: RunReader, run: StrPath, key: str | bytes) -> str:
    """The key that was meant: itself, or the one in another normal form of Unicode."""
    typed = escape_undecodable(os.fsdecode(key))
    for each in (typed, name_to_key(typed)):
        if reader.read_item_detail(each) is not None:
            return each
    same_looking = reader.find_keys_equal_in_nfc(typed)
    if len(same_looking) == 1:
        return same_looking[0]
    if same_looking:
        raise UnknownKey(
            f"{typed!r} may mean several items of {run}, whose keys look the same: "
            f"{' or '.join(map(ascii, same_looking))}. From Python, `batchinfer.show` takes each."
        )
    nearest = reader.suggest_keys(typed)
    appearances = {to_nfc(each) for each in (*nearest, typed)}
    # Keys that look the same are shown by their code points.
    shown = map(repr if len(appearances) > len(nearest) else ascii, nearest)
    hint = f" Did you mean {' or '.join(shown)}?" if nearest else ""
    raise UnknownKey(f"There is no item {typed!r} in {run}.{hint}")


def _open_reader(run: StrPath) -> RunReader:
    require_run(Path(run))
    return RunReader(Path(run))
