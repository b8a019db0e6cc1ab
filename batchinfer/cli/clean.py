"""`batchinfer clean`: delete from the bucket what a run put there and has on record."""

from __future__ import annotations

import json
from pathlib import Path

import click

from batchinfer import api
from batchinfer.api.blocking import wait_for
from batchinfer.api.preparing import known
from batchinfer.cli import options
from batchinfer.cli.going import must_be_run, ready
from batchinfer.cli.options import Voice
from batchinfer.cli.talk import command, number, say, size, tell


@click.command(
    epilog=options.examples(
        "batchinfer clean my-run --dry-run",
        "batchinfer clean my-run",
    )
)
@options.RUN
@options.config_option
@click.option("--dry-run", is_flag=True, help="Count what would be deleted; delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def clean(*, run: Path, config: Path | None, dry_run: bool, as_json: bool) -> None:
    """Delete from the bucket the inputs and outputs of RUN whose results are on record.

    Only objects that this run made, of items that have succeeded or failed for good; nothing else
    in the bucket is touched. What RUN itself keeps stays.
    """
    must_be_run(run)
    info = known(run)
    flags = {"run.mode": info.mode.value} if info else {}
    job, _ = ready(api.Job(run=run, config=config, flags=flags), Voice(as_json))
    found = wait_for(lambda: api.clean(job, dry_run=dry_run))
    if as_json:
        tell(json.dumps(found.as_json()))
        return
    inputs, outputs = number(found.inputs, "input"), number(found.outputs, "output")
    what = f"{inputs} and {outputs} ({size(found.bytes)})"
    say(f"{what} would be deleted." if dry_run else f"{what} deleted.")
    if found.kept:
        say(f"{number(found.kept, 'object')} of items without an outcome yet: kept.")
    if found.unrecorded:
        say(
            f"{number(found.unrecorded, 'object')} that {run} has not recorded (another copy of it "
            "may need them): kept."
        )
    if dry_run and found.objects:
        say(f"Delete them: {command('clean', run, *options.again(config, clean=False))}")
