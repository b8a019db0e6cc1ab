"""`batchinfer status`: where a run stands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click

from batchinfer import api
from batchinfer.cli import options
from batchinfer.cli.talk import command, moment, spelled, tell
from batchinfer.progress import duration, printable, rate

_LINE = 300
"""Signs of an example's message; `show` has the whole."""


@click.command(
    epilog=options.examples(
        "batchinfer status my-run",
        "batchinfer status my-run --json | jq .failed",
    )
)
@options.RUN
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def status(*, run: Path, as_json: bool) -> None:
    """Say where the run in RUN stands, why items failed, and what to do next.

    Works at any time, also while the run is going on.
    """
    now = api.status(run)
    if as_json:
        tell(json.dumps(now.as_json()))
    else:
        tell(*_counts(now), *_times(now), *_failures(now), *_next(now))


def _counts(now: api.Status) -> Iterator[str]:
    counts = now.counts
    if now.complete:
        share = counts.finished / counts.total if counts.total else 1.0
        # Rounded down: 100% means all of them.
        of = f"{counts.total:,} done ({int(share * 100)}%)"
    else:
        of = f"{counts.total:,} found so far done (its source is not read to the end yet)"
    yield f"{spelled(str(now.run))}: {counts.finished:,} of {of}, {now.mode} mode"
    told = {
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "submitted": counts.submitted,
        "pending": counts.pending,
    }
    for state, count in told.items():
        if count or state != "submitted":
            yield f"  {state:<10}{count:>10,}"


def _times(now: api.Status) -> Iterator[str]:
    if now.started_at is not None:
        yield f"started       {moment(now.started_at)}"
    if now.finished_at is not None:
        ago = duration(time.time() - now.finished_at)
        yield f"last outcome  {moment(now.finished_at)} ({ago} ago)"
    if now.rate:
        yield f"of late       {rate(now.rate)}"


def _failures(now: api.Status) -> Iterator[str]:
    if now.failures:
        yield "Failures, an example each:"
    for group in now.failures:
        message = printable(group.message.strip())
        message = message if len(message) <= _LINE else f"{message[: _LINE - 3]}..."
        yield f"  {printable(group.code)} {group.count:,}"
        yield f"    {printable(group.key)}: {message}"


def _next(now: api.Status) -> Iterator[str]:
    yield "Next:"
    if now.counts.pending or now.counts.submitted or not now.complete:
        working = ", unless a process is at it" if now.rate else ""
        yield f"  {command('resume', now.run)}   (go on{working})"
    if now.failures:
        group = now.failures[0]
        yield f"  {command('show', now.run, group.key)}   (all about one that failed)"
        yield f"  {command('retry', now.run, '--code', group.code)}   (try those again)"
    if now.counts.finished:
        yield f"  {command('export', now.run, '-o', 'results.csv')}   (the results)"
