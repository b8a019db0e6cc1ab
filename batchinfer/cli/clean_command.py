"""`batchinfer clean`: delete from the bucket what a run put there and has on record."""

from __future__ import annotations

import json
from pathlib import Path

import click

from batchinfer import api
from batchinfer.cli import cli_options
from batchinfer.cli.cli_options import Verbosity
from batchinfer.cli.output import echo_data, echo_message, to_command_line
from batchinfer.text_format import format_count, format_size


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer clean my-run --dry-run",
        "batchinfer clean my-run",
    )
)
@cli_options.run_argument
@cli_options.config_option
@click.option("--dry-run", is_flag=True, help="Count what would be deleted; delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def clean(
    *, run: Path, config: Path | None, env_file: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Delete from the bucket the inputs and outputs of RUN whose results are on record.

    Only objects that this run made, of items that have succeeded or failed for good; nothing else
    in the bucket is touched. What RUN itself keeps stays.
    """
    from batchinfer.api.sync_runner import run_blocking
    from batchinfer.cli.execution import resolve_run
    from batchinfer.config import ENV_FILE_FLAG

    api.require_job_run(run)
    job = api.Job(run=run, config=config, flags={ENV_FILE_FLAG: env_file})
    resolved = resolve_run(job, Verbosity(as_json), keep_mode=True)
    cleaned = run_blocking(lambda: api.clean_bucket(resolved, dry_run=dry_run))
    if as_json:
        echo_data(json.dumps(cleaned.as_json()))
        return
    inputs, outputs = format_count(cleaned.inputs, "input"), format_count(cleaned.outputs, "output")
    amount = f"{inputs} and {outputs} ({format_size(cleaned.bytes)})"
    echo_message(f"{amount} would be deleted." if dry_run else f"{amount} deleted.")
    if cleaned.kept:
        echo_message(
            f"{format_count(cleaned.kept, 'object')} of items without an outcome yet: kept."
        )
    if cleaned.unrecorded:
        echo_message(
            f"{format_count(cleaned.unrecorded, 'object')} that {run} has not recorded (another "
            "copy of it may need them): kept."
        )
    if dry_run and cleaned.objects:
        options = cli_options.carry_over_options(config, env_file, clean=False)
        echo_message(f"Delete them: {to_command_line('clean', run, *options)}")
