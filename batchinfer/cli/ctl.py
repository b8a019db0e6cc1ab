"""`batchinfer ctl`: steer the process at work on a run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from batchinfer import api
from batchinfer.api.control import KNOWN, read
from batchinfer.cli import options
from batchinfer.cli.talk import spelled, tell


@click.command(
    epilog=options.examples(
        "batchinfer ctl my-run pause",
        "batchinfer ctl my-run concurrency 4",
        "batchinfer ctl my-run concurrency auto",
        "batchinfer ctl my-run rate 30/m",
        "batchinfer ctl my-run status",
    )
)
@options.RUN
@click.argument("do", metavar="|".join(KNOWN))
@click.argument("value", required=False)
@click.option("--json", "as_json", is_flag=True, help="The answer as one JSON object.")
def ctl(*, run: Path, do: str, value: str | None, as_json: bool) -> None:
    """Tell the process at work in RUN what to do; what is true then is answered.

    \b
    pause                   begin nothing new; what is in flight finishes
    resume                  begin again
    concurrency N|MIN-MAX|auto
                            another limit, fixed or adaptive
    rate N/s|none           start at most so many attempts
    stop                    as the first Ctrl-C; resumable
    status                  how it goes

    It holds for that process only: whoever goes on with RUN later begins as configured.
    """  # noqa: D301 - \b is click's
    answer = api.ask(run, read(do, value))
    tell(json.dumps(answer) if as_json else spelled(answer["said"]))
