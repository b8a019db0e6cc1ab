"""`batchinfer run`: send a source through the service; start, or continue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from batchinfer import api
from batchinfer.api.preview import Preview, preview
from batchinfer.cli import options
from batchinfer.cli.detach import detached
from batchinfer.cli.going import exit_with, go, ready, results_of
from batchinfer.cli.options import Voice
from batchinfer.cli.talk import command, number, say, size, spelled, tell
from batchinfer.sources.skipped import sentence


@click.command(
    epilog=options.examples(
        "batchinfer run photos -o my-run",
        "batchinfer run photos --include '*.jpg' --exclude thumbs/ --param imgsz=640 -n 16",
        "batchinfer run items.csv -c sync.toml --dry-run",
        "batchinfer run photos --dry-run --curl | bash",
        "batchinfer run photos --estimate 50",
        "batchinfer run photos -o my-run --detach",
        "find photos -name '*.png' -newer last -print0 | batchinfer run --files-from - -o new",
    )
)
@click.argument("source", metavar="SOURCE...", nargs=-1)
@options.source_options
@options.config_option
@click.option("-o", "--run", "run_", metavar="RUN", type=options.PATH, help="Run directory.")
@click.option(
    "--mode", metavar="sync|async", help="How items reach the model. Default: as configured."
)
@options.pace_options
@options.item_options
@options.known_run_options
@options.validate_option
@options.clean_option
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
@click.option("--curl", is_flag=True, help="With --dry-run: the first item as a curl command.")
@click.option(
    "--estimate",
    type=click.IntRange(1),
    metavar="N",
    help="Send N items, keep their results, and say how long the others would take.",
)
@options.detach_option
@options.voice_options
def run(
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
    clean: bool,
    dry_run: bool,
    curl: bool,
    estimate: int | None,
    detach: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **settings: object,
) -> None:
    """Send every item of SOURCE through the service and record what comes back.

    SOURCE is a folder, a pattern, a file, a manifest (.csv, .tsv, .jsonl, also .gz), or - for a
    manifest on standard input. What is hidden, left behind by a system (Thumbs.db, @eaDir) or
    written by batchinfer is skipped.

    RUN is the run directory (default: the source's name and -run); if it holds this run already, it
    is continued. Ctrl-C stops it, the same line goes on.
    """
    source = options.sources(source, files_from, as_file=as_file)
    options.must_be_given(source)
    voice = Voice(as_json, quiet, verbose)
    if curl and not dry_run:
        raise click.UsageError("--curl goes with --dry-run: it shows, and sends nothing.")
    if estimate is not None and (limit is not None or dry_run or detach):
        raise click.UsageError("--estimate goes without --limit, --dry-run and --detach.")
    if detach and dry_run:
        raise click.UsageError("--dry-run sends nothing: there is nothing to --detach.")
    if detach and (code := detached(source, quiet=quiet)) is not None:
        exit_with(code)
    job = api.Job(
        run=run_ or _named(source[0], Voice(quiet=True) if dry_run else voice),
        sources=source,
        config=config,
        flags=options.flags(settings, params),
        limit=estimate or limit,
        force=force,
        clean=clean,
        validate=validate,
        stdin=options.standard_input(source),
        moved=moved,
        add=add,
    )
    if dry_run:
        found = preview(ready(job, voice)[0])
        if curl and not as_json:
            tell(found.curl or "# No item could be sent.")
        else:
            tell(*([json.dumps(found.as_json())] if as_json else _lines(found)))
        exit_with(api.EXIT_FAILED if found.payload is None else api.EXIT_OK)
    again = command("resume", job.run, *options.again(config, settings["env_file"], clean=clean))
    exit_with(go(job, voice, again, results_of, estimating=estimate is not None))


def _named(source: str, voice: Voice) -> Path:
    path = options.default_run(source)
    if not voice.quiet:
        say(f"Results go to {spelled(str(path))} (choose another with -o)")
    return path


def _lines(found: Preview) -> Iterator[str]:
    yield f"Dry run: {number(found.items, 'item')}, {size(found.bytes)}; nothing is sent."
    yield f"They would go to {spelled(found.destination)} ({found.mode} mode)."
    if found.taken or found.skipped:
        yield sentence(found.taken, found.skipped)
    for notice in found.notices:
        if notice.code == "skipped":  # said above
            continue
        yield f"note: {spelled(notice.message)}"
    for code, refused in found.refused.items():
        yield f"{number(refused.count, 'item')} would fail unsent: {code}; the first:"
        yield f"  {spelled(refused.key)}: {spelled(refused.message)}"
    if found.payload is None:
        yield "No item could be sent."
    else:
        yield f"The first, {spelled(found.key or '')}, as:"
        yield spelled(found.payload)
