"""`batchinfer resume`: continue a run."""

from __future__ import annotations

from pathlib import Path

import click

from batchinfer import api
from batchinfer.cli import cli_options
from batchinfer.cli.cli_options import Verbosity
from batchinfer.cli.detached_process import detach_run
from batchinfer.cli.execution import execute, exit_with, suggest_next_steps
from batchinfer.cli.execution_options import cluster_options, execution_options
from batchinfer.cli.output import to_command_line


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer resume my-run",
        "batchinfer resume my-run -n 4 --timeout 20m",
        "batchinfer resume my-run --source /media/disk/photos",
    )
)
@cli_options.run_argument
@cli_options.config_option
@execution_options
@cluster_options
@click.option(
    "--source",
    multiple=True,
    metavar="NEW",
    help="The source has moved: where it is now (of several, each in its order).",
)
@click.option(
    "--until-idle",
    metavar="DURATION",
    help="Of a run that watches its source: end when nothing new has come for so long, as 10m.",
)
@cli_options.shard_option
@cli_options.reuse_option
@cli_options.clean_option
@cli_options.detach_option
@cli_options.verbosity_options
def resume(
    *,
    run: Path,
    config: Path | None,
    limit: int | None,
    force: bool,
    source: tuple[str, ...],
    clean: bool,
    detach: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **settings: object,
) -> None:
    """Continue the run in RUN.

    Everything but the secrets is stored there: they come from the environment, or from CONFIG.
    Options hold for this process only.
    """
    api.require_job_run(run)
    if detach and (code := detach_run(quiet=quiet)) is not None:
        exit_with(code)
    job = api.Job(
        run=run,
        config=config,
        flags=cli_options.to_config_flags(settings),
        limit=limit,
        force=force,
        clean=clean,
        moved_to=source,
    )
    continue_command = to_command_line(
        "resume",
        run,
        *cli_options.carry_over_options(
            config, settings["env_file"], clean=clean, settings=settings
        ),
    )
    exit_with(
        execute(job, Verbosity(as_json, quiet, verbose), continue_command, suggest_next_steps)
    )
