"""`batchinfer collect`: the second half of async mode."""

from __future__ import annotations

from pathlib import Path

import click

from batchinfer import api
from batchinfer.cli import options
from batchinfer.cli.detach import detached
from batchinfer.cli.going import exit_with, go, looks_at, must_be_run, waiting_to_be_submitted
from batchinfer.cli.options import Voice
from batchinfer.cli.submit import in_async_mode
from batchinfer.cli.talk import command


@click.command(
    epilog=options.examples(
        "batchinfer collect my-run",
        "batchinfer collect my-run --timeout 3h",
    )
)
@options.RUN
@options.config_option
@click.option("--timeout", metavar="DURATION", help="From submission to output. Default: 1h.")
@click.option("--max-attempts", metavar="N", help="Tries of an item whose failure may pass.")
@click.option("--max-failures", metavar="N|P%", help="Give up when more items have failed.")
@options.clean_option
@options.detach_option
@options.voice_options
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
    must_be_run(run)
    if detach and (code := detached(quiet=quiet)) is not None:
        exit_with(code)
    job = api.Job(
        run=run,
        config=config,
        flags=options.flags(settings),
        half=api.Half.COLLECT,
        clean=clean,
    )
    again = command("collect", run, *options.again(config, settings["env_file"], clean=clean))
    exit_with(go(in_async_mode(job), Voice(as_json, quiet, verbose), again, _advice))


def _advice(summary: api.Summary) -> list[str]:
    waiting = [waiting_to_be_submitted(summary)] if summary.counts.pending else []
    return [*waiting, *looks_at(summary)]
