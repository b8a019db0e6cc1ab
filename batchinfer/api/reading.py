"""What a run directory tells, also while its run goes on. Nothing here writes to it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from batchinfer import sinks
from batchinfer.api.preparing import must_be_known
from batchinfer.domain import Counts, Json, Mode, Result, State
from batchinfer.errors import ConfigError
from batchinfer.store.reader import Detail, FailureGroup, RunReader

RECENT = 60.0
"""Seconds over which a rate is taken."""

Which = Literal["succeeded", "failed", "all"]
"""Which items to export: those with a reply, those that failed, or every one (also unfinished)."""


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
        )


def results(run: str | Path, which: Which = "all") -> Iterator[Result]:
    """The run's results in input order, one after the other; flat in memory.

    Raises StoreError when there is no run.
    """
    with _reader(run) as reader:
        yield from reader.results(_states(which))


def export(
    run: str | Path,
    to: str | Path | BinaryIO,
    *,
    format: str | None = None,
    which: Which = "all",
) -> int:
    """Write the run's results to a file (whole, then renamed) or a stream; how many rows.

    `format`: "jsonl" or "csv"; None: by the file's extension. Raises ConfigError for an unknown
    one, StoreError when there is no run.
    """
    if format is None:
        if not isinstance(to, (str, Path)):
            raise ConfigError("a stream has no extension to tell its format: name one")
        return export(run, to, format=sinks.format_of(str(to)), which=which)
    must_be_known(Path(run))
    target = Path(to) if isinstance(to, str) else to
    return sinks.export(results(run, which), target, format)


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


def _states(which: Which) -> State | None:
    match which:
        case "succeeded":
            return State.SUCCEEDED
        case "failed":
            return State.FAILED
        case "all":
            return None
