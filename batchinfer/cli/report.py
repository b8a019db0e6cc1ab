"""`batchinfer report`: the page people look at."""

from __future__ import annotations

import json
from pathlib import Path

import click

from batchinfer.api.reporting import report as make
from batchinfer.cli import options
from batchinfer.cli.talk import number, say, size, spelled, tell

_MB = 1_000_000


@click.command(
    epilog=options.examples(
        "batchinfer report my-run --open",
        "batchinfer report my-run -o for-my-group.html --title 'Camera traps, June'",
        "batchinfer report my-run --map 'boxes=result.boxes'",
    )
)
@options.RUN
@click.option(
    "-o",
    "--output",
    type=options.PATH,
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
@options.MAP
@options.BOXES
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
    made = make(run, output, title=title, size=megabytes * _MB, map=mapped, boxes=boxes)
    if as_json:
        tell(json.dumps(made.as_json()))
    else:
        some = f" ({made.shown:,} shown)" if made.shown < made.items else ""
        say(
            f"Report of {number(made.items, 'item')}{some}, {size(made.size)}:"
            f" {spelled(str(made.path))}"
        )
    if opened:
        click.launch(made.path.resolve().as_uri())
