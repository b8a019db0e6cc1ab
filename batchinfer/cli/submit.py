"""`batchinfer submit`: the first half of async mode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from batchinfer import api
from batchinfer.api.preparing import known
from batchinfer.cli import options
from batchinfer.cli.detach import detached
from batchinfer.cli.going import exit_with, go, must_be_run, ready, waiting_to_be_submitted
from batchinfer.cli.options import Voice
from batchinfer.cli.talk import command, number, say, spelled
from batchinfer.config import Concurrency, Config
from batchinfer.domain import Mode

OBJECTS = 1_000
"""Submitted and unfinished at a time, unless configured: each is a Kubernetes job."""


@click.command(
    epilog=options.examples(
        "batchinfer submit photos -o my-run",
        "batchinfer collect my-run",
        "batchinfer submit -o my-run",
    )
)
@click.argument("source", metavar="[SOURCE]...", nargs=-1)
@options.source_options
@options.config_option
@click.option("-o", "--run", "run_", metavar="RUN", type=options.PATH, help="Run directory.")
@options.pace_options
@options.item_options
@options.known_run_options
@options.validate_option
@options.detach_option
@options.voice_options
def submit(
    *,
    source: tuple[str, ...],
    files_from: tuple[str, ...],
    as_file: bool,
    config: Path | None,
    run_: Path | None,
    params: tuple[str, ...],
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
    next submit. Without SOURCE it goes on with the run that -o names.
    """
    source = options.sources(source, files_from, as_file=as_file)
    voice = Voice(as_json, quiet, verbose)
    if not source:
        if run_ is None:
            raise click.UsageError("Name a SOURCE, or with -o the run to go on with.")
        must_be_run(run_)
    if detach and (code := detached(source, quiet=quiet)) is not None:
        exit_with(code)
    run = run_ or options.default_run(source[0])
    if run_ is None and not quiet:
        say(f"Results go to {spelled(str(run))} (choose another with -o)")
    job = api.Job(
        run=run,
        sources=source,
        config=config,
        flags=options.flags(settings, params),
        half=api.Half.SUBMIT,
        limit=limit,
        force=force,
        validate=validate,
        stdin=options.standard_input(source),
        moved=moved,
        add=add,
    )
    repeated = options.again(config, settings["env_file"], clean=False)
    again = command("submit", "-o", run, *repeated)
    exit_with(go(_bounded(in_async_mode(job), voice), voice, again, _advice))


def in_async_mode(job: api.Job) -> api.Job:
    """The job in async mode, unless its run is in sync mode already."""
    info = known(job.run)
    if info is not None and info.mode is Mode.SYNC:
        return job
    return replace(job, flags={**job.flags, "run.mode": Mode.ASYNC.value})


def _bounded(job: api.Job, voice: Voice) -> api.Job:
    if job.flags.get("run.concurrency") is None and _unbounded(job, voice):
        return replace(job, flags={**job.flags, "run.concurrency": OBJECTS})
    return job


def _unbounded(job: api.Job, voice: Voice) -> bool:
    config = ready(job, replace(voice, quiet=True))[0].config
    return isinstance(config, Config) and config.run.concurrency == Concurrency()


def _advice(summary: api.Summary) -> list[str]:
    counts = summary.counts
    lines = []
    if counts.submitted:
        items = number(counts.submitted, "item")
        lines.append(f"{items} submitted: {command('collect', summary.run)}")
    if counts.pending:
        lines.append(f"Then {waiting_to_be_submitted(summary)}")
    if counts.failed:
        lines.append(f"Why items failed: {command('status', summary.run)}")
    return lines
