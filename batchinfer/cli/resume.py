"""`batchinfer resume`: go on with a run."""

from __future__ import annotations

from pathlib import Path

import click

from batchinfer import api
from batchinfer.cli import options
from batchinfer.cli.detach import detached
from batchinfer.cli.going import exit_with, go, must_be_run, results_of
from batchinfer.cli.options import Voice
from batchinfer.cli.talk import command


@click.command(
    epilog=options.examples(
        "batchinfer resume my-run",
        "batchinfer resume my-run -n 4 --timeout 20m",
        "batchinfer resume my-run --source /media/disk/photos",
    )
)
@options.RUN
@options.config_option
@options.pace_options
@click.option(
    "--source",
    multiple=True,
    metavar="NEW",
    help="The source has moved: where it is now (of several, each in its order).",
)
@options.clean_option
@options.detach_option
@options.voice_options
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
    **settings: str | None,
) -> None:
    """Go on with the run in RUN, from wherever it stands.

    All it needs is kept there, but for secrets: they come from the environment, or from CONFIG.
    Options hold for this go only.
    """
    must_be_run(run)
    if detach and (code := detached(quiet=quiet)) is not None:
        exit_with(code)
    job = api.Job(
        run=run,
        config=config,
        flags=options.flags(settings),
        limit=limit,
        force=force,
        clean=clean,
        moved_to=source,
    )
    again = command("resume", run, *options.again(config, settings["env_file"], clean=clean))
    exit_with(go(job, Voice(as_json, quiet, verbose), again, results_of))
