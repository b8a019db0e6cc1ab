"""What a run directory tells, also while its run goes on. Nothing here writes to it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batchinfer.api.preparing import must_be_known
from batchinfer.domain import Counts, Json, Mode
from batchinfer.errors import ConfigError
from batchinfer.ports import Adjusted, Progress
from batchinfer.progress.estimate import Estimate, Pulse, estimate
from batchinfer.progress.tally import LONG, SLICES
from batchinfer.store.reader import Detail, FailureGroup, RunReader, WaitedFor

RECENT = 60.0
"""Seconds over which a rate is taken."""
ADJUSTMENTS = 3
"""Changes of the limit that are told."""


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
    """Items finished per second, over the last minute."""
    adjustments: Sequence[Adjusted] = ()
    """How the limit moved at last, oldest first."""
    waited_for: WaitedFor = field(default_factory=WaitedFor)

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer status --json` prints (docs/scripting.md)."""
        counts = self.counts
        return {
            "run": str(self.run),
            "mode": self.mode.value,
            "total": counts.total,
            "pending": counts.pending,
            "submitted": counts.submitted,
            "succeeded": counts.succeeded,
            "failed": counts.failed,
            "failures": {group.code: group.count for group in self.failures},
        }


def status(run: str | Path) -> Status:
    """Where the run stands. Raises StoreError when there is none."""
    now = time.time()
    with _reader(run) as reader:
        span = reader.span(now - RECENT)
        return Status(
            run=Path(run),
            mode=reader.info.mode,
            counts=reader.counts(),
            complete=reader.source_is_read,
            failures=reader.failures(),
            sources=reader.info.sources,
            started_at=span.started_at,
            finished_at=span.finished_at,
            rate=span.recent / RECENT,
            adjustments=reader.adjustments(ADJUSTMENTS),
            waited_for=reader.waited_for(now),
        )


def left(run: str | Path, since: float) -> Estimate | None:
    """How long the rest will take the process that is at work since then (seconds since the epoch).

    None while nobody can say. Raises StoreError when there is no run.
    """
    now = time.time()
    with _reader(run) as reader:
        return _estimate(reader, now, max(since, now - RECENT), max(since, now - LONG))


@dataclass(frozen=True, slots=True)
class Extrapolated:
    """What a go at a few items says about all the others."""

    sent: int
    """Items that were finished in this go."""
    failures: Mapping[str, int]
    """Those of them that failed, by code."""
    remaining: int
    complete: bool
    """Whether that is all there is: the source has been read to its end."""
    left: Estimate | None
    """How long the rest will take; None when too little was finished to say."""
    serving: float | None
    """How many containers seem to serve; None when it could not be told."""

    def as_json(self) -> dict[str, Json]:
        """The fields of the event `estimate` (docs/scripting.md)."""
        found = self.left
        return {
            "sent": self.sent,
            "failures": dict(self.failures),
            "remaining": self.remaining,
            "complete": self.complete,
            "seconds": None if found is None else round(found.likely),
            "range": None if found is None else [round(found.low), round(found.high)],
            "serving": None if self.serving is None else round(self.serving, 1),
        }


def extrapolated(run: str | Path, since: float, progress: Progress) -> Extrapolated:
    """What the go that began then, and ended as `progress` says, tells about the rest.

    Raises StoreError when there is no run.
    """
    with _reader(run) as reader:
        counts, end = reader.counts(), reader.span(since).finished_at or since
        # From the first attempt, so that a cold start does not count.
        began = reader.begun(since) or since
        return Extrapolated(
            sent=reader.span(since).recent,
            failures=progress.codes,
            remaining=counts.pending + counts.submitted,
            complete=reader.source_is_read,
            left=_estimate(reader, end, began),
            serving=progress.serving,
        )


def _estimate(reader: RunReader, until: float, *since: float) -> Estimate | None:
    counts = reader.counts()
    pulses = [Pulse(reader.finished(begin, until, SLICES), until - begin) for begin in since]
    return estimate(counts.pending + counts.submitted, *pulses)


def show(run: str | Path, key: str) -> Detail:
    """Everything about one item. Raises ConfigError, naming the nearest keys, if there is none."""
    with _reader(run) as reader:
        if (detail := reader.item(key)) is not None:
            return detail
        near = reader.closest(key)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ConfigError(f"There is no item {key!r} in {run}.{hint}")


def _reader(run: str | Path) -> RunReader:
    must_be_known(Path(run))
    return RunReader(Path(run))
