"""`batchinfer prepare`: write payload files, for the web UI or for curl."""

from __future__ import annotations

import json
from pathlib import Path

import click

from batchinfer.cli import cli_options
from batchinfer.cli.execution import exit_with
from batchinfer.cli.output import echo_data, echo_message, escape_lines
from batchinfer.config.template import DEFAULT_CONFIG_FILE
from batchinfer.domain import Failure, Item
from batchinfer.text_format import escape_unprintable, format_count, format_size

EXIT_FAILED = 1


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer prepare photos -o payloads",
        "batchinfer prepare items.csv -o payloads --file-param images",
        'curl -H "Authorization: Bearer $OSCAR_TOKEN" --data-binary @payloads/FILE ENDPOINT',
    )
)
@click.argument("source", metavar="SOURCE...", nargs=-1)
@cli_options.source_options
@cli_options.config_option
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory to write to.",
)
@cli_options.item_options
@click.option("--force", is_flag=True, help="Write into a directory that is not empty.")
@click.option("--json", "as_json", is_flag=True, help="What was written, as one JSON object.")
def prepare(
    *,
    source: tuple[str, ...],
    files_from: tuple[str, ...],
    as_file: bool,
    sheet: str | None,
    config: Path | None,
    output: Path,
    params: tuple[str, ...],
    force: bool,
    as_json: bool,
    **settings: object,
) -> None:
    """Write what would be sent for each item of SOURCE as a JSON file into DIR. Nothing is sent.

    Each can be given to the OSCAR web UI (Invoke), or to curl. index.csv says which file is which.
    No endpoint, token or bucket is needed.
    """
    from batchinfer.api import payload_files
    from batchinfer.api.sync_runner import run_blocking

    source = cli_options.combine_sources(source, files_from, as_file=as_file, sheet=sheet)
    cli_options.require_source(source)
    if config is None and Path(DEFAULT_CONFIG_FILE).exists():
        config = Path(DEFAULT_CONFIG_FILE)
    request = payload_files.PrepareRequest(
        sources=source,
        directory=output,
        config=config,
        flags=cli_options.to_config_flags(settings, params),
        force=force,
        stdin=cli_options.get_stdin(source),
    )
    result = run_blocking(lambda: payload_files.prepare(request, _echo_failure))
    if as_json:
        echo_data(json.dumps(result.as_json()))
    for notice in result.notices:
        echo_message(f"note: {escape_lines(notice.message)}")
    files = format_count(result.written, "payload")
    echo_message(
        f"{files} ({format_size(result.bytes)}) written to {escape_lines(result.directory)}; see "
        f"{payload_files.INDEX_FILE} in it."
    )
    if failed := sum(result.failures.values()):
        echo_message(f"{format_count(failed, 'item')} could not be prepared.")
        exit_with(EXIT_FAILED)


def _echo_failure(item: Item, failure: Failure) -> None:
    echo_message(f"{escape_unprintable(item.key)}: {failure.code}: {escape_lines(failure.message)}")
