"""`batchinfer export`: write the results to a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import click

from batchinfer import api
from batchinfer.cli import options
from batchinfer.cli.talk import number, say, spelled, told


@click.command(
    epilog=options.examples(
        "batchinfer export my-run -o results.csv",
        "batchinfer export my-run -o - --state succeeded | jq .prediction",
        "batchinfer export my-run -o failed.jsonl --state failed",
    )
)
@options.RUN
@click.option("-o", "--output", required=True, metavar="FILE|-", help="Where to; - for stdout.")
@click.option(
    "--format",
    type=click.Choice(["jsonl", "csv"]),
    help="Default: by the extension; jsonl on stdout.",
)
@click.option(
    "--state",
    type=click.Choice(["succeeded", "failed", "all"]),
    default="all",
    help="Which items. Default: all, also those without an outcome yet.",
)
def export(*, run: Path, output: str, format: str | None, state: str) -> None:
    """Write one row per item of RUN to FILE, in input order.

    The file (.csv, .jsonl, also .gz) appears whole or not at all. Works at any time, also while the
    run is going on. Fields: docs/scripting.md.
    """
    which = cast("api.Which", state)
    if output != "-":
        count = api.export(run, output, format=format, which=which)
        say(f"{number(count, 'row')} written to {spelled(output)}")
        return
    with told():
        count = api.export(run, sys.stdout.buffer, format=format or "jsonl", which=which)
        sys.stdout.buffer.flush()
    say(f"{number(count, 'row')} written to standard output")
