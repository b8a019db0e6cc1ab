"""`batchinfer status`: where a run stands."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from batchinfer import api
from batchinfer.api.control import progress_of
from batchinfer.cli import options
from batchinfer.cli.talk import command, moment, spelled, tell
from batchinfer.ports import Back, Event, Progress, Recorded, Waiting
from batchinfer.progress import between, choose, duration, printable, rate
from batchinfer.progress.text import adjusted, going, shortened

EVERY = 1.0
"""Seconds between two looks of `--follow`."""

_LONG_KEY = 300
"""Signs of a key that makes no line to copy."""


@click.command(
    epilog=options.examples(
        "batchinfer status my-run",
        "batchinfer status my-run --json | jq .failed",
        "batchinfer status my-run --follow",
    )
)
@options.RUN
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--follow", is_flag=True, help="Watch until the process at work ends.")
def status(*, run: Path, as_json: bool, follow: bool) -> None:
    """Say where the run in RUN stands, why items failed, and what to do next.

    Works at any time, also while the run is going on. Ctrl-C ends --follow; the run goes on. With
    --json it prints JSON lines, as the run itself does.
    """
    if follow:
        _follow(run, as_json=as_json)
    now = api.status(run)
    if as_json:
        event = {"event": "status"} if follow else {}
        tell(json.dumps({**event, **now.as_json()}))
        return
    process = api.at_work(run)
    tell(*_counts(now), *_times(now), *_waited_for(now), *_process(now, process), *_failures(now))
    tell(*_next(now, at_work=process is not None))


def _follow(run: Path, *, as_json: bool) -> None:
    """Show how the run goes until nobody is at work any more."""
    display = choose(sys.stderr, sys.stdout, json=as_json)
    waiting: Waiting | None = None
    try:
        while (process := api.at_work(run)) is not None:
            was, waiting = waiting, _waiting(process)
            events: list[Event] = [Recorded((), _progress(run, process))]
            if waiting is not None:
                events.append(waiting)
            elif was is not None:
                events.append(Back(was.code, was.seconds))
            for event in events:
                display.notify(event)
            time.sleep(EVERY)
    finally:
        display.leave()


def _progress(run: Path, process: Mapping[str, Any]) -> Progress:
    """As the process tells; else as it stands in the run directory."""
    if process:
        return progress_of(process)
    now = api.status(run)
    failures = {group.code: group.count for group in now.failures}
    return Progress(now.counts, 0, now.complete, failures)


def _waiting(process: Mapping[str, Any]) -> Waiting | None:
    told = process.get("waiting")
    return None if told is None else Waiting(**told)


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


def _waited_for(now: api.Status) -> Iterator[str]:
    """What the run waits for; also where a clock was wrong when it was written down."""
    waits, at = now.waited_for, time.time()
    if waits.due is not None:
        due = f"the next one in {duration(waits.due - at)}"
        yield f"waiting       {waits.backing_off:,} for their next attempt, {due}"
    if waits.submitted_at is not None:
        since = at - waits.submitted_at
        ago = f"the oldest was submitted {duration(since)} ago"
        if since < 0:
            ago = f"submitted by a clock that was {duration(-since)} ahead: resuming corrects that"
        yield f"waiting       {now.counts.submitted:,} for their output in the bucket, {ago}"


def _process(now: api.Status, process: Mapping[str, Any] | None) -> Iterator[str]:
    """What only the process at work knows; and what it did to the limit."""
    if process is not None:
        how = "" if not process else f"process {process['pid']}: {going(progress_of(process))}"
        yield f"at work       {how.rstrip(': ') or 'a process that cannot be asked'}"
    if process and now.complete and not process["paused"]:
        left = api.left(now.run, process["since"])
        if left is not None:
            yield f"left          {between(left)}"
    for each in now.adjustments:
        yield f"{moment(each.at)}  {adjusted(each)}"


def _failures(now: api.Status) -> Iterator[str]:
    if now.failures:
        yield "Failures, an example each:"
    for group in now.failures:
        yield f"  {printable(group.code)} {group.count:,}"
        key = printable(group.key) if len(group.key) <= _LONG_KEY else shortened(group.key)
        yield f"    {key}: {shortened(group.message)}"


def _next(now: api.Status, *, at_work: bool) -> Iterator[str]:
    yield "Next:"
    if at_work:
        yield f"  {command('status', now.run, '--follow')}   (watch it)"
        yield f"  {command('ctl', now.run, 'pause')}   (or resume, concurrency N, rate N/s, stop)"
    elif now.counts.pending or now.counts.submitted or not now.complete:
        yield f"  {command('resume', now.run)}   (go on)"
    if now.failures:
        group = now.failures[0]
        if len(group.key) <= _LONG_KEY:
            yield f"  {command('show', now.run, group.key)}   (all about one that failed)"
        yield f"  {command('retry', now.run, '--code', group.code)}   (try those again)"
    if now.counts.finished:
        yield f"  {command('report', now.run)}   (a page to look at)"
        yield f"  {command('export', now.run, '-o', 'results.csv')}   (the results)"
