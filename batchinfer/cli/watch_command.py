"""`batchinfer watch`: a run that takes what is added to its sources, and never ends."""

from __future__ import annotations

from pathlib import Path

import click

from batchinfer import api, defaults
from batchinfer.cli import cli_options
from batchinfer.cli.cli_options import Verbosity
from batchinfer.cli.detached_process import detach_run
from batchinfer.cli.execution import execute, exit_with, suggest_next_steps
from batchinfer.cli.execution_options import cluster_options, execution_options
from batchinfer.cli.output import to_command_line
from batchinfer.cli.param_types import PATH_PARAM_TYPE

watch_options = cli_options.combine_options(
    click.option(
        "--until-idle",
        metavar="DURATION",
        help="End when all is done and nothing new has come for so long, as 10m. Default: never.",
    ),
    click.option(
        "--settle",
        metavar="DURATION",
        help="A file is taken when it has stayed as it is for so long. Default: "
        f"{defaults.WATCH_SETTLE_SECONDS:g}s.",
    ),
    click.option(
        "--interval",
        metavar="DURATION",
        help="Between two scans, at least. Default: "
        f"{defaults.WATCH_INTERVAL_SECONDS:g}s, and longer where nothing comes.",
    ),
    click.option(
        "--events/--no-events",
        default=None,
        help="Let the system tell what is new, so that scans are rare. Default: yes, where it can.",
    ),
    click.option(
        "--again-when-changed",
        is_flag=True,
        default=None,
        help="Send a file again that has changed since it was sent; the new result replaces the "
        "earlier one.",
    ),
)


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer watch incoming -o my-run",
        "batchinfer watch incoming -o my-run --until-idle 10m",
        "batchinfer watch s3://camera/2026 -o my-run --interval 30s",
        "batchinfer watch incoming -o my-run --include '*.jpg' --settle 10s --detach",
    )
)
@click.argument("source", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "-o", "--run", "run_", metavar="RUN", type=PATH_PARAM_TYPE, required=True, help="Run directory."
)
@watch_options
@cli_options.config_option
@click.option(
    "--mode", metavar="sync|async", help="How items reach the model. Default: as configured."
)
@execution_options
@cluster_options
@cli_options.item_options
@cli_options.shard_option
@cli_options.reuse_option
@cli_options.existing_run_options
@cli_options.validate_option
@cli_options.clean_option
@cli_options.detach_option
@cli_options.verbosity_options
def watch(
    *,
    source: tuple[str, ...],
    config: Path | None,
    run_: Path,
    params: tuple[str, ...],
    limit: int | None,
    force: bool,
    moved: bool,
    add: bool,
    validate: bool,
    clean: bool,
    detach: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **settings: object,
) -> None:
    """Send what is in SOURCE, and whatever is added to it, until you stop it.

    SOURCE is a folder, a pattern, or an address that can be listed (s3://...). A file is taken
    once, when it is whole: see --settle. While SOURCE is away (a disk, a server) it is waited for.

    Ctrl-C stops it; the same command line, or `batchinfer resume RUN`, goes on watching, also after
    a restart of the machine.
    """
    if detach and (code := detach_run(source, quiet=quiet)) is not None:
        exit_with(code)
    job = api.Job(
        run=run_,
        sources=source,
        config=config,
        flags=cli_options.to_config_flags({**settings, "enabled": True}, params),
        limit=limit,
        force=force,
        clean=clean,
        validate=validate,
        sources_moved=moved,
        add_sources=add,
    )
    continue_command = to_command_line(
        "resume",
        run_,
        *cli_options.carry_over_options(
            config, settings["env_file"], clean=clean, settings=settings
        ),
    )
    exit_with(
        execute(job, Verbosity(as_json, quiet, verbose), continue_command, suggest_next_steps)
    )
