"""`batchinfer submit`: the first half of async mode."""

from __future__ import annotations

from pathlib import Path

import click

from batchinfer import api
from batchinfer.cli import cli_options
from batchinfer.cli.cli_options import Verbosity
from batchinfer.cli.detached_process import detach_run
from batchinfer.cli.execution import execute, exit_with, suggest_submit
from batchinfer.cli.execution_options import cluster_options, execution_options
from batchinfer.cli.output import echo_message, escape_lines, to_command_line
from batchinfer.cli.param_types import PATH_PARAM_TYPE
from batchinfer.text_format import format_count


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer submit photos -o my-run",
        "batchinfer collect my-run",
        "batchinfer submit -o my-run",
    )
)
@click.argument("source", metavar="[SOURCE]...", nargs=-1)
@cli_options.source_options
@cli_options.config_option
@click.option("-o", "--run", "run_", metavar="RUN", type=PATH_PARAM_TYPE, help="Run directory.")
@execution_options
@cluster_options
@cli_options.item_options
@cli_options.shard_option
@cli_options.existing_run_options
@cli_options.validate_option
@cli_options.detach_option
@cli_options.verbosity_options
def submit(
    *,
    source: tuple[str, ...],
    files_from: tuple[str, ...],
    as_file: bool,
    sheet: str | None,
    config: Path | None,
    run_: Path | None,
    params: tuple[str, ...],
    shard: str | None,
    limit: int | None,
    force: bool,
    moved: bool,
    add: bool,
    validate: bool,
    detach: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **settings: object,
) -> None:
    """Put the items of SOURCE into the bucket and leave; collect them later, or elsewhere.

    As many as -n allows (default: 1000 submitted and not yet collected); the rest waits for the
    next submit. Without SOURCE it continues the run that -o names.
    """
    source = cli_options.combine_sources(source, files_from, as_file=as_file, sheet=sheet)
    verbosity = Verbosity(as_json, quiet, verbose)
    if not source:
        if run_ is None:
            raise click.UsageError("Name a SOURCE, or with -o the run to continue.")
        api.require_job_run(run_)
    if detach and (code := detach_run(source, quiet=quiet)) is not None:
        exit_with(code)
    run = run_ or cli_options.default_run_directory(source[0], shard)
    if run_ is None and not quiet:
        echo_message(f"Results go to {escape_lines(str(run))} (choose another with -o)")
    job = api.Job(
        run=run,
        sources=source,
        config=config,
        flags=cli_options.to_config_flags({**settings, "shard": shard}, params),
        phase=api.AsyncPhase.SUBMIT,
        limit=limit,
        force=force,
        validate=validate,
        stdin=cli_options.get_stdin(source),
        sources_moved=moved,
        add_sources=add,
    )
    carried_options = cli_options.carry_over_options(
        config, settings["env_file"], clean=False, settings=settings
    )
    continue_command = to_command_line("submit", "-o", run, *carried_options)
    exit_with(
        execute(
            job,
            verbosity,
            continue_command,
            _suggest_submit_steps,
        )
    )


def _suggest_submit_steps(summary: api.Summary) -> list[str]:
    counts = summary.counts
    lines = []
    if counts.submitted:
        items = format_count(counts.submitted, "item")
        lines.append(f"{items} submitted: {to_command_line('collect', summary.run)}")
    if counts.pending:
        lines.append(f"Then {suggest_submit(summary)}")
    if counts.failed:
        lines.append(f"Why items failed: {to_command_line('status', summary.run)}")
    return lines
