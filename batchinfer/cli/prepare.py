"""`batchinfer prepare`: write payload files, for the web UI or for curl."""

from __future__ import annotations

import json
from pathlib import Path

import click

from batchinfer.api.blocking import wait_for
from batchinfer.api.payloads import INDEX, Order
from batchinfer.api.payloads import prepare as prepare_all
from batchinfer.cli import options
from batchinfer.cli.going import exit_with
from batchinfer.cli.talk import number, say, size, spelled, tell
from batchinfer.config import DEFAULT_FILE
from batchinfer.domain import Failure, Item
from batchinfer.progress import printable

EXIT_FAILED = 1


@click.command(
    epilog=options.examples(
        "batchinfer prepare photos -o payloads",
        "batchinfer prepare items.csv -o payloads --file-param images",
        'curl -H "Authorization: Bearer $OSCAR_TOKEN" --data-binary @payloads/FILE ENDPOINT',
    )
)
@click.argument("source", metavar="SOURCE...", nargs=-1)
@options.source_options
@options.config_option
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory to write to.",
)
@options.item_options
@click.option("--force", is_flag=True, help="Write into a directory that is not empty.")
@click.option("--json", "as_json", is_flag=True, help="What was written, as one JSON object.")
def prepare(
    *,
    source: tuple[str, ...],
    files_from: tuple[str, ...],
    as_file: bool,
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
    source = options.sources(source, files_from, as_file=as_file)
    options.must_be_given(source)
    if config is None and Path(DEFAULT_FILE).exists():
        config = Path(DEFAULT_FILE)
    order = Order(
        sources=source,
        to=output,
        config=config,
        flags=options.flags(settings, params),
        force=force,
        stdin=options.standard_input(source),
    )
    done = wait_for(lambda: prepare_all(order, _refused))
    if as_json:
        tell(json.dumps(done.as_json()))
    for notice in done.notices:
        say(f"note: {spelled(notice.message)}")
    files = number(done.written, "payload")
    say(f"{files} ({size(done.bytes)}) written to {spelled(done.directory)}; see {INDEX} in it.")
    if failed := sum(done.failures.values()):
        say(f"{number(failed, 'item')} could not be prepared.")
        exit_with(EXIT_FAILED)


def _refused(item: Item, failure: Failure) -> None:
    say(f"{printable(item.key)}: {failure.code}: {spelled(failure.message)}")
