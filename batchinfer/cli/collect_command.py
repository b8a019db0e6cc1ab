"""`batchinfer collect`: the second half of async mode."""

from __future__ import annotations

from pathlib import Path

import click

from batchinfer import api, defaults
from batchinfer.cli import cli_options
from batchinfer.cli.cli_options import Verbosity
from batchinfer.cli.detached_process import detach_run
from batchinfer.cli.execution import execute, exit_with, suggest_result_steps, suggest_submit
from batchinfer.cli.execution_options import process_options
from batchinfer.cli.output import to_command_line
from batchinfer.domain import Mode


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer collect my-run",
        "batchinfer collect my-run --timeout 3h",
    )
)
@cli_options.run_argument
@cli_options.config_option
@click.option(
    "--timeout",
    metavar="DURATION",
    help="From submission to output. Default: "
    f"{cli_options.format_default(defaults.ATTEMPT_TIMEOUT[Mode.ASYNC])}.",
)
@click.option("--max-attempts", metavar="N", help="Tries of an item whose failure may pass.")
@click.option("--max-failures", metavar="N|P%", help="Give up when more items have failed.")
@process_options
@cli_options.clean_option
@cli_options.detach_option
@cli_options.verbosity_options
def collect(
    *,
    run: Path,
    config: Path | None,
    clean: bool,
    detach: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **settings: str | None,
) -> None:
    """Fetch what the service has put into the bucket, until nothing submitted is left.

    Items that have to be tried again wait for the next submit.
    """
    api.require_job_run(run)
    if detach and (code := detach_run(quiet=quiet)) is not None:
        exit_with(code)
    job = api.Job(
        run=run,
        config=config,
        flags=cli_options.to_config_flags(settings),
        phase=api.AsyncPhase.COLLECT,
        clean=clean,
    )
    continue_command = to_command_line(
        "collect",
        run,
        *cli_options.carry_over_options(
            config, settings["env_file"], clean=clean, settings=settings
        ),
    )
    exit_with(
        execute(
            job,
            Verbosity(as_json, quiet, verbose),
            continue_command,
            _suggest_collect_steps,
        )
    )


def _suggest_collect_steps(summary: api.Summary) -> list[str]:
    submit_steps = [suggest_submit(summary)] if summary.counts.pending else []
    return [*submit_steps, *suggest_result_steps(summary)]
