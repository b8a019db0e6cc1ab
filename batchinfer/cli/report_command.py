"""`batchinfer report`: the page people look at."""

from __future__ import annotations

import json
from pathlib import Path

import click

from batchinfer.cli import cli_options
from batchinfer.cli.output import echo_data, echo_message, escape_lines
from batchinfer.cli.param_types import PATH_PARAM_TYPE
from batchinfer.text_format import format_count, format_size

_BYTES_PER_MB = 1_000_000


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer report my-run --open",
        "batchinfer report my-run -o for-my-group.html --title 'Camera traps, June'",
        "batchinfer report my-run --map 'boxes=result.boxes'",
    )
)
@cli_options.run_argument
@click.option(
    "-o",
    "--output",
    type=PATH_PARAM_TYPE,
    metavar="FILE",
    help="Where to. Default: report.html in RUN.",
)
@click.option("--title", metavar="TEXT", help="Default: the name of the run directory.")
@click.option(
    "--size",
    "megabytes",
    type=click.IntRange(1, 100_000),
    default=20,
    metavar="MB",
    help="The file gets no larger. Default: 20.",
)
@cli_options.map_option
@cli_options.boxes_option
@click.option("--open", "opened", is_flag=True, help="Open it in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Say what was written as one JSON object.")
def report(
    *,
    run: Path,
    output: Path | None,
    title: str | None,
    megabytes: int,
    mapped: tuple[str, ...],
    boxes: str,
    opened: bool,
    as_json: bool,
) -> None:
    """Make one HTML file of RUN: what came of it, how long it took, and pictures with predictions.

    It is complete in itself and asks nothing of any network: mail it, or open it from disk. Of a
    large run it shows a sample. Works at any time, also while the run is going on.
    """
    from batchinfer.api import run_report

    written = run_report.report(
        run, output, title=title, size=megabytes * _BYTES_PER_MB, map=mapped, boxes=boxes
    )
    if as_json:
        echo_data(json.dumps(written.as_json()))
    else:
        shown_note = (
            f" ({written.shown_items:,} shown)" if written.shown_items < written.items else ""
        )
        echo_message(
            f"Report of {format_count(written.items, 'item')}{shown_note}, "
            f"{format_size(written.size_bytes)}: {escape_lines(str(written.path))}"
        )
    if opened:
        click.launch(written.path.resolve().as_uri())
