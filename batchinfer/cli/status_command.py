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
from batchinfer.cli import cli_options
from batchinfer.cli.output import (
    echo_data,
    escape_lines,
    format_time,
    next_free_name,
    to_command_line,
)
from batchinfer.ports import Committed, Event, OutageEnded, OutageOngoing, Progress
from batchinfer.progress import choose_display, format_range, format_rate
from batchinfer.progress.progress_format import clip_message, format_limit_change, format_progress
from batchinfer.text_format import escape_unprintable, format_duration

FOLLOW_INTERVAL = 1.0
"""Seconds between two looks of `--follow`."""

_MAX_COPIED_KEY_CHARS = 300
"""Signs of a key that makes no line to copy."""


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer status my-run",
        "batchinfer status my-run --json | jq .failed",
        "batchinfer status my-run --follow",
    )
)
@cli_options.run_argument
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--follow", is_flag=True, help="Watch until the running process ends.")
def status(*, run: Path, as_json: bool, follow: bool) -> None:
    """Say where the run in RUN stands, why items failed, and what to do next.

    Works at any time, also while the run is going on. Ctrl-C ends --follow; the run goes on. With
    --json it prints JSON lines, as the run itself does.
    """
    if follow:
        _follow(run, as_json=as_json)
    run_status = api.status(run)
    if as_json:
        event = {"event": "status"} if follow else {}
        echo_data(json.dumps({**event, **run_status.as_json()}))
        return
    worker = api.get_worker_status(run)
    echo_data(
        *_format_counts(run_status),
        *_format_times(run_status),
        *_format_waits(run_status),
        *_format_worker(run_status, worker),
        *_format_failures(run_status),
    )
    echo_data(*_format_next_steps(run_status, is_running=worker is not None))


def _follow(run: Path, *, as_json: bool) -> None:
    """Show the progress of the run until no process is running."""
    display = choose_display(sys.stderr, sys.stdout, json=as_json)
    outage: OutageOngoing | None = None
    try:
        while (worker := api.get_worker_status(run)) is not None:
            previous_outage, outage = outage, _parse_outage(worker)
            events: list[Event] = [Committed((), _load_progress(run, worker))]
            if outage is not None:
                events.append(outage)
            elif previous_outage is not None:
                events.append(OutageEnded(previous_outage.code, previous_outage.seconds))
            for event in events:
                display.notify(event)
            time.sleep(FOLLOW_INTERVAL)
    finally:
        display.release_stream()


def _load_progress(run: Path, worker: Mapping[str, Any]) -> Progress:
    """From the running process; else from the run directory."""
    if worker:
        from batchinfer.api.control import progress_from_status

        return progress_from_status(worker)
    run_status = api.status(run)
    failures = {group.code: group.count for group in run_status.failures}
    return Progress(run_status.counts, 0, run_status.complete, failures)


def _parse_outage(worker: Mapping[str, Any]) -> OutageOngoing | None:
    fields = worker.get("waiting")
    return None if fields is None else OutageOngoing(**fields)


def _format_counts(run_status: api.Status) -> Iterator[str]:
    counts = run_status.counts
    if run_status.watched:
        of = f"{counts.total:,} found so far done (it watches its source)"
    elif run_status.complete:
        share = counts.finished / counts.total if counts.total else 1.0
        # Rounded down: 100% means all of them.
        of = f"{counts.total:,} done ({int(share * 100)}%)"
    else:
        of = f"{counts.total:,} found so far done (its source is not read to the end yet)"
    shard = "" if run_status.shard is None else f", shard {run_status.shard}"
    yield (
        f"{escape_lines(str(run_status.run))}: {counts.finished:,} of {of}, {run_status.mode} mode"
        f"{shard}"
    )
    count_by_state = {
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "submitted": counts.submitted,
        "pending": counts.pending,
    }
    for state, count in count_by_state.items():
        if count or state != "submitted":
            yield f"  {state:<10}{count:>10,}"
    if run_status.reused:
        yield f"  {'reused':<10}{run_status.reused:>10,} of those that succeeded"
    for service, count in run_status.services.items():
        yield f"answered by {escape_unprintable(service)}: {count:,}"


def _format_times(run_status: api.Status) -> Iterator[str]:
    if run_status.started_at is not None:
        yield f"started       {format_time(run_status.started_at)}"
    if run_status.finished_at is not None:
        ago = format_duration(time.time() - run_status.finished_at)
        yield f"last outcome  {format_time(run_status.finished_at)} ({ago} ago)"
    if run_status.rate:
        yield f"speed         {format_rate(run_status.rate)} (last minute)"


def _format_waits(run_status: api.Status) -> Iterator[str]:
    """What the run waits for; also where a clock was wrong when it was written down."""
    waits, current_time = run_status.waited_for, time.time()
    if waits.next_retry_at is not None:
        due = f"the next one in {format_duration(waits.next_retry_at - current_time)}"
        yield f"waiting       {waits.items_backing_off:,} for their next attempt, {due}"
    if waits.oldest_submitted_at is not None:
        since = current_time - waits.oldest_submitted_at
        ago = f"the oldest was submitted {format_duration(since)} ago"
        if since < 0:
            ago = (
                f"submitted by a clock that was {format_duration(-since)} ahead: resuming corrects "
                "that"
            )
        yield f"waiting       {run_status.counts.submitted:,} for their output in the bucket, {ago}"


def _format_worker(run_status: api.Status, worker: Mapping[str, Any] | None) -> Iterator[str]:
    """What only the running process knows; and how the limit changed."""
    if worker is not None:
        from batchinfer.api.control import progress_from_status

        description = ""
        if worker:
            progress = progress_from_status(worker)
            how = filter(None, ("watching" * progress.is_watching, format_progress(progress)))
            description = f"process {worker['pid']}: {', '.join(how)}"
        yield f"running       {description.rstrip(': ') or 'a process that does not answer'}"
    if worker and run_status.complete and not worker["paused"]:
        time_left = api.estimate_time_left(run_status.run, worker["since"])
        if time_left is not None:
            yield f"left          {format_range(time_left)}"
    for each in run_status.adjustments:
        yield f"{format_time(each.at)}  {format_limit_change(each)}"


def _format_failures(run_status: api.Status) -> Iterator[str]:
    if run_status.failures:
        yield "Failures, an example each:"
    for group in run_status.failures:
        yield f"  {escape_unprintable(group.code)} {group.count:,}"
        key = (
            escape_unprintable(group.key)
            if len(group.key) <= _MAX_COPIED_KEY_CHARS
            else clip_message(group.key)
        )
        yield f"    {key}: {clip_message(group.message)}"


def _format_next_steps(run_status: api.Status, *, is_running: bool) -> Iterator[str]:
    yield "Next:"
    yield from (f"  {line}" for line in _next_commands(run_status, is_running=is_running))


def _next_commands(run_status: api.Status, *, is_running: bool) -> Iterator[str]:
    """Commands to paste, each with what it is for as a shell's comment."""
    if is_running:
        yield f"{to_command_line('status', run_status.run, '--follow')}   # watch it"
        yield (
            f"{to_command_line('ctl', run_status.run, 'pause')}   # or resume, concurrency N, rate "
            "N/s, stop"
        )
    elif run_status.counts.pending or run_status.counts.submitted or not run_status.complete:
        what = "go on watching" if run_status.watched else "continue"
        yield f"{to_command_line('resume', run_status.run)}   # {what}"
    if run_status.failures:
        group = run_status.failures[0]
        if len(group.key) <= _MAX_COPIED_KEY_CHARS:
            show_command = to_command_line(
                "show", run_status.run, *cli_options.to_key_arguments(group.key)
            )
            yield f"{show_command}   # all about one that failed"
        yield (
            f"{to_command_line('retry', run_status.run, '--code', group.code)}   # try those again"
        )
    if run_status.counts.finished:
        yield f"{to_command_line('report', run_status.run)}   # a page to look at"
        yield (
            f"{to_command_line('export', run_status.run, '-o', next_free_name('results.csv'))}   # "
            "the results"
        )
