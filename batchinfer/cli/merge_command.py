"""`batchinfer merge`: make several runs one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchinfer.cli import cli_options
from batchinfer.cli.output import echo_data, echo_message, escape_lines, to_command_line
from batchinfer.cli.param_types import PATH_PARAM_TYPE
from batchinfer.text_format import format_count

if TYPE_CHECKING:
    from batchinfer.api.run_merge import MergeSummary


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer merge shard-* -o photos-run",
        "batchinfer merge shard-* -o photos-run --partial",
        "batchinfer merge monday tuesday -o week",
    )
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=PATH_PARAM_TYPE)
@click.option(
    "-o", "--into", metavar="RUN", type=PATH_PARAM_TYPE, required=True, help="The merged run."
)
@click.option(
    "--partial",
    is_flag=True,
    help="Also when runs are not finished, or shards are missing: resume sends the rest.",
)
@click.option(
    "--prefer-first",
    is_flag=True,
    help="Where runs have different results of one item, keep that of the merged run if it is "
    "there, else of the run that is named first. Default: refuse.",
)
@click.option("--json", "as_json", is_flag=True, help="What was done as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
def merge(
    *,
    runs: tuple[Path, ...],
    into: Path,
    partial: bool,
    prefer_first: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make several runs one: shards of a source, or runs with the same service and parameters.

    The runs are not changed. To merge again adds what is new, and else changes nothing; after an
    interruption the same line goes on.
    """
    from batchinfer.api.run_merge import merge as merge_runs

    summary = merge_runs(runs, into, partial=partial, prefer_first=prefer_first)
    if as_json:
        echo_data(json.dumps(summary.as_json()))
    elif not quiet:
        echo_message(*map(escape_lines, _format_summary(summary)))


def _format_summary(summary: MergeSummary) -> Iterator[str]:
    runs = format_count(len(summary.runs), "run")
    items = format_count(summary.counts.total, "item")
    if summary.has_changed:
        details = [f"{summary.added:,} added", f"{summary.updated:,} updated"]
        details += [f"{summary.known:,} known already"] if summary.known else []
        yield f"Merged {runs} into {summary.run}: {items} ({', '.join(details)})."
    else:
        yield f"{summary.run} holds all of {runs} already: {items}, nothing was changed."
    for each in summary.unfinished:
        yield f"Not finished: {each}."
    if summary.missing_shards:
        yield f"Missing: shard {', '.join(summary.missing_shards)}."
    if summary.counts.pending or not summary.is_complete:
        yield f"Send the rest: {to_command_line('resume', summary.run)}"
    if summary.counts.failed:
        yield f"Why items failed: {to_command_line('status', summary.run)}"
    if summary.counts.finished:
        yield f"Report: {to_command_line('report', summary.run)}"
