"""`batchinfer ctl`: control the process that runs a run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from batchinfer import api
from batchinfer.api.control.commands import COMMAND_NAMES, parse_command
from batchinfer.cli import cli_options
from batchinfer.cli.output import echo_data, escape_lines


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer ctl my-run pause",
        "batchinfer ctl my-run concurrency 4",
        "batchinfer ctl my-run concurrency auto",
        "batchinfer ctl my-run rate 30/m",
        "batchinfer ctl my-run status",
    )
)
@cli_options.run_argument
@click.argument("do", metavar="|".join(COMMAND_NAMES))
@click.argument("value", required=False)
@click.option("--json", "as_json", is_flag=True, help="The answer as one JSON object.")
def ctl(*, run: Path, do: str, value: str | None, as_json: bool) -> None:
    """Send a command to the process running RUN; it answers with the result.

    \b
    pause                   begin nothing new; what is in flight finishes
    resume                  begin again
    concurrency N|MIN-MAX|auto
                            another limit, fixed or adaptive
    rate N/s|none           start at most so many attempts
    stop                    as the first Ctrl-C; resumable
    status                  how it goes

    It holds for that process only: one that resumes RUN later starts as configured.
    """  # noqa: D301 - \b is click's
    answer = api.send_command(run, parse_command(do, value))
    echo_data(json.dumps(answer) if as_json else escape_lines(answer["said"]))
