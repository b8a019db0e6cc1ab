"""`batchinfer compare`: two runs beside each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchinfer.cli import cli_options
from batchinfer.cli.output import echo_data, echo_message, escape_lines
from batchinfer.cli.param_types import PATH_PARAM_TYPE
from batchinfer.text_format import escape_unprintable

if TYPE_CHECKING:
    from batchinfer.comparison import ComparedRun

_BYTES_PER_MB = 1_000_000
_SHOWN_ITEMS = 10


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer compare runs/old runs/new",
        "batchinfer compare runs/old runs/new -o compare.html -o compare.csv",
        "batchinfer compare runs/old runs/new --json | jq .items",
    )
)
@click.argument("a", metavar="A", type=PATH_PARAM_TYPE)
@click.argument("b", metavar="B", type=PATH_PARAM_TYPE)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=PATH_PARAM_TYPE,
    metavar="FILE",
    help="Where to: .html for a page with both drawn side by side, .csv for a row per item"
    " (repeatable).",
)
@click.option(
    "--iou",
    type=float,
    default=0.5,
    metavar="SHARE",
    help="Overlap (IoU) from which on two detections are the same thing. Default: 0.5.",
)
@click.option(
    "--tolerance",
    type=float,
    default=0.01,
    metavar="NUMBER",
    help="Scores that differ by no more are the same. Default: 0.01.",
)
@cli_options.map_option
@cli_options.boxes_option
@click.option("--title", metavar="TEXT", help="Of the page. Default: the names of the runs.")
@click.option(
    "--size",
    "megabytes",
    type=click.IntRange(1, 100_000),
    default=20,
    metavar="MB",
    help="The page gets no larger. Default: 20.",
)
@click.option("--open", "opened", is_flag=True, help="Open the page in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
def compare(
    *,
    a: Path,
    b: Path,
    outputs: tuple[Path, ...],
    iou: float,
    tolerance: float,
    mapped: tuple[str, ...],
    boxes: str,
    title: str | None,
    megabytes: int,
    opened: bool,
    as_json: bool,
) -> None:
    """Compare the runs A and B of the same inputs: what failed, changed, moved or is new.

    Items are joined by their keys, detections by where they are. A is the first run and B the
    second: an item is newly failed if it succeeded in A and failed in B. Works at any time, also
    while the runs are going on.
    """
    from batchinfer.api import run_comparison
    from batchinfer.comparison import comparison_sentences

    found = run_comparison.compare(
        a,
        b,
        outputs,
        iou=iou,
        tolerance=tolerance,
        map=mapped,
        boxes=boxes,
        title=title,
        size=megabytes * _BYTES_PER_MB,
        notice=lambda sentence: echo_message(escape_unprintable(sentence)),
    )
    if as_json:
        echo_data(json.dumps(found.as_json()))
    else:
        rows = [
            *comparison_sentences.list_rows(found),
            *comparison_sentences.list_facts(found),
            *comparison_sentences.list_label_changes(found),
        ]
        width = max(len(name) for name, _ in rows)
        echo_data(f"A  {_describe(found.a)}", f"B  {_describe(found.b)}", "")
        echo_data(comparison_sentences.describe_outcome(found), "")
        echo_data(*(f"{name:{width}}  {value}" for name, value in rows))
        if worst := comparison_sentences.describe_worst(found, _SHOWN_ITEMS):
            echo_data("", "Most different:", *(f"  {line}" for line in worst))
    for path in outputs:
        echo_message(f"Written: {escape_lines(str(path))}")
    pages = [path for path in outputs if path.suffix.lower() in run_comparison.PAGE_SUFFIXES]
    if opened and pages:
        click.launch(pages[0].resolve().as_uri())


def _describe(run: ComparedRun) -> str:
    counts = run.counts
    service = f", {run.service}" if run.service else ""
    text = f"{run.directory}: {counts.succeeded:,} succeeded, {counts.failed:,} failed{service}"
    return escape_unprintable(text)
