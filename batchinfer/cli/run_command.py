"""`batchinfer run`: send a source through the service; start, or continue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from batchinfer import api
from batchinfer.cli import cli_options
from batchinfer.cli.cli_options import Verbosity
from batchinfer.cli.compared_runs import execute_for_each_service
from batchinfer.cli.detached_process import detach_run
from batchinfer.cli.execution import execute, exit_with, resolve_run, suggest_next_steps
from batchinfer.cli.execution_options import cluster_options, execution_options
from batchinfer.cli.output import echo_data, echo_message, escape_lines, to_command_line
from batchinfer.cli.param_types import PATH_PARAM_TYPE
from batchinfer.text_format import format_count, format_size


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer run photos -o my-run",
        "batchinfer run photos --include '*.jpg' --exclude thumbs/ --param imgsz=640 -n 16",
        "batchinfer run items.csv -c sync.toml --dry-run",
        "batchinfer run photos --dry-run --curl | bash",
        "batchinfer run photos --estimate 50",
        "batchinfer run photos -o look --sample 200",
        "batchinfer run photos -o june --reuse may",
        "batchinfer run photos -o my-run --detach",
        "batchinfer run photos -o shard-3 --shard 3/16",
        "batchinfer run photos -o runs --service old --service new --compare",
        "batchinfer run photos -o my-run --on dask --scheduler tcp://10.0.0.1:8786",
        "find photos -name '*.png' -newer last -print0 | batchinfer run --files-from - -o new",
    )
)
@click.argument("source", metavar="SOURCE...", nargs=-1)
@cli_options.source_options
@cli_options.config_option
@click.option("-o", "--run", "run_", metavar="RUN", type=PATH_PARAM_TYPE, help="Run directory.")
@click.option(
    "--mode", metavar="sync|async", help="How items reach the model. Default: as configured."
)
@execution_options
@cluster_options
@cli_options.item_options
@cli_options.shard_option
@cli_options.choice_options
@cli_options.reuse_option
@cli_options.existing_run_options
@cli_options.validate_option
@cli_options.clean_option
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
@click.option("--curl", is_flag=True, help="With --dry-run: the first item as a curl command.")
@click.option(
    "--estimate",
    type=click.IntRange(1),
    metavar="N",
    help="Send N items, keep their results, and say how long the others would take.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="A run of its own for each of several services ([[service]], --service), in folders of RUN"
    " by their names; then pages that show how their results differ.",
)
@cli_options.detach_option
@cli_options.verbosity_options
def run(
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
    clean: bool,
    dry_run: bool,
    curl: bool,
    estimate: int | None,
    compare: bool,
    detach: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **settings: object,
) -> None:
    """Send every item of SOURCE through the service and record what comes back.

    SOURCE is a folder, a pattern, a file, an archive (.zip, .tar, .tar.gz ...), a manifest (.csv,
    .tsv, .jsonl, also .gz), or - for a manifest on standard input. What is hidden, left behind by a
    system (Thumbs.db, @eaDir) or written by batchinfer is skipped.

    RUN is the run directory (default: the source's name and -run); if it holds this run already, it
    is continued. Ctrl-C stops it, the same command line continues it.
    """
    source = cli_options.combine_sources(source, files_from, as_file=as_file, sheet=sheet)
    cli_options.require_source(source)
    verbosity = Verbosity(as_json, quiet, verbose)
    if curl and not dry_run:
        raise click.UsageError("--curl goes with --dry-run: it shows, and sends nothing.")
    if estimate is not None and (limit is not None or dry_run or detach):
        raise click.UsageError("--estimate goes without --limit, --dry-run and --detach.")
    if detach and dry_run:
        raise click.UsageError("--dry-run sends nothing: there is nothing to --detach.")
    if compare and (dry_run or estimate is not None or detach):
        raise click.UsageError("--compare goes without --dry-run, --estimate and --detach.")
    if compare and cli_options.uses_stdin(source):
        raise click.UsageError(
            "--compare reads the source once for each service: standard input can be read only "
            "once. Save the list as a file, and name that."
        )
    if detach and (code := detach_run(source, quiet=quiet)) is not None:
        exit_with(code)
    job = api.Job(
        run=run_
        or _default_run_directory(
            source[0], shard, Verbosity(quiet=True) if dry_run else verbosity
        ),
        sources=source,
        config=config,
        flags=cli_options.to_config_flags({**settings, "shard": shard}, params),
        limit=estimate or limit,
        force=force,
        clean=clean,
        validate=validate,
        stdin=cli_options.get_stdin(source),
        sources_moved=moved,
        add_sources=add,
    )
    if dry_run:
        exit_with(_echo_preview(job, verbosity, curl=curl))
    if compare:
        exit_with(execute_for_each_service(job, verbosity, "the same command line"))
    continue_command = to_command_line(
        "resume",
        job.run,
        *cli_options.carry_over_options(
            config, settings["env_file"], clean=clean, settings=settings
        ),
    )
    exit_with(
        execute(
            job, verbosity, continue_command, suggest_next_steps, with_estimate=estimate is not None
        )
    )


def _echo_preview(job: api.Job, verbosity: Verbosity, *, curl: bool) -> int:
    """Show what would be sent; the exit code."""
    preview = api.preview(resolve_run(job, verbosity))
    if verbosity.as_json:
        import json

        echo_data(json.dumps(preview.as_json()))
    elif curl:
        echo_data(preview.curl or "# No item could be sent.")
    else:
        echo_data(*_format_preview(preview))
    return api.EXIT_FAILED if preview.payload is None else api.EXIT_OK


def _default_run_directory(source: str, shard: str | None, verbosity: Verbosity) -> Path:
    path = cli_options.default_run_directory(source, shard)
    if not verbosity.quiet:
        echo_message(f"Results go to {escape_lines(str(path))} (choose another with -o)")
    return path


def _format_preview(dry_run_preview: api.Preview) -> Iterator[str]:
    yield (
        f"Dry run: {format_count(dry_run_preview.items, 'item')}, "
        f"{format_size(dry_run_preview.bytes)}; nothing is sent."
    )
    yield (
        f"They would go to {escape_lines(dry_run_preview.destination)} ({dry_run_preview.mode} "
        "mode)."
    )
    if dry_run_preview.taken or dry_run_preview.skipped:
        from batchinfer.sources.skip_counts import describe_skipped

        yield describe_skipped(dry_run_preview.taken, dry_run_preview.skipped)
    for notice in dry_run_preview.notices:
        if notice.code == "skipped":  # said above
            continue
        yield f"note: {escape_lines(notice.message)}"
    for code, group in dry_run_preview.refused.items():
        yield f"{format_count(group.count, 'item')} would fail unsent: {code}; the first:"
        yield f"  {escape_lines(group.key)}: {escape_lines(group.message)}"
    if dry_run_preview.payload is None:
        yield "No item could be sent."
    else:
        yield f"The first, {escape_lines(dry_run_preview.key or '')}, as:"
        yield escape_lines(dry_run_preview.payload)
