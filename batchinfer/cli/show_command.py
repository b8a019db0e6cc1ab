"""`batchinfer show`: everything about one item."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from batchinfer import api
from batchinfer.cli import cli_options
from batchinfer.cli.output import echo_data, escape_lines, format_time
from batchinfer.domain import Attempt, Failure, Json, Reply, Submitted
from batchinfer.text_format import escape_unprintable, format_count, format_duration

_MAX_SHOWN_FILES = 100


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer show my-run photos/a.jpg",
        "batchinfer show my-run photos/a.jpg --json | jq .prediction",
    )
)
@cli_options.run_argument
@click.argument("key", metavar="KEY")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def show(*, run: Path, key: str, as_json: bool) -> None:
    """Show all that is known of the item KEY of RUN: what was sent, attempts, prediction, log.

    Characters that would act on your terminal are spelled out.
    """
    detail = api.show(run, key)
    exported = _load_exported(detail)
    files = _list_files(run, detail)
    if as_json:
        attempts: list[Json] = [_attempt_as_json(attempt) for attempt in detail.attempts]
        inputs: list[Json] = [asdict(sent) for sent in detail.inputs]
        outputs: list[Json] = [{"name": name, "size": size} for name, size in files]
        shown = {**exported, "inputs": inputs, "history": attempts}
        echo_data(json.dumps({**shown, "files": outputs} if outputs else shown))
    else:
        echo_data(*_format_item(detail, exported["prediction"], files))


def _load_exported(detail: api.Detail) -> dict[str, Json]:
    """The item exactly as it is exported."""
    from batchinfer.exports.item_rows import encode_row, make_row

    loaded: dict[str, Json] = json.loads(encode_row(make_row(detail.result)))
    return loaded


def _list_files(run: Path, detail: api.Detail) -> Sequence[tuple[str, int]]:
    """Name and bytes of the files in the zip of an item, its prediction or beside it."""
    from batchinfer.store.output_archive import list_members_of_output

    return list_members_of_output(run, detail.output_name)


def _attempt_as_json(attempt: Attempt) -> dict[str, Json]:
    common: dict[str, Json] = {
        "number": attempt.number,
        "started_at": attempt.started_at,
        "seconds": attempt.seconds,
        **({} if attempt.service is None else {"service": attempt.service}),
    }
    match attempt.outcome:
        case Reply(log=log, server_seconds=server_seconds):
            return {**common, "code": None, "log": log, "server_seconds": server_seconds}
        case Failure(code=code, message=message, log=log):
            return {**common, "code": code, "message": message, "log": log}
        case Submitted():
            return common


def _format_item(
    detail: api.Detail, prediction: Json, files: Sequence[tuple[str, int]]
) -> Iterator[str]:
    result = detail.result
    yield f"{escape_unprintable(result.key)}: {result.state}"
    for file in detail.item.files:
        yield f"  {escape_unprintable(file.param)} = {escape_unprintable(file.path)}"
    for name, value in result.params.items():
        text = json.dumps(value, ensure_ascii=False, default=str)
        yield f"  {escape_unprintable(name)} = {escape_unprintable(text)}"
    if detail.submitted_at is not None:
        yield f"submitted {format_time(detail.submitted_at)}"
    for attempt in detail.attempts:
        yield from _format_attempt(attempt)
    for sent in detail.inputs:
        description = f"{format_count(sent.size, 'byte')}, sha256 {escape_unprintable(sent.sha256)}"
        yield f'input "{escape_unprintable(sent.param)}": {description}'
    if detail.retry_at is not None:
        yield f"not tried again before {format_time(detail.retry_at)}"
    if result.media_type is not None:
        yield f"prediction ({escape_unprintable(result.media_type)}):"
        yield from _indent_lines(_format_prediction(prediction))
    if files:
        yield from _format_files(detail, files)
    if detail.attempts and (log := _get_log(detail.attempts[-1])):
        yield "log of the last attempt:"
        yield from _indent_lines(log)


def _format_files(detail: api.Detail, files: Sequence[tuple[str, int]]) -> Iterator[str]:
    yield f"files in {escape_unprintable(detail.output_name or '')}:"
    for name, size in files[:_MAX_SHOWN_FILES]:
        yield f"  {escape_unprintable(name)}, {format_count(size, 'byte')}"
    if len(files) > _MAX_SHOWN_FILES:
        yield f"  and {len(files) - _MAX_SHOWN_FILES:,} more"


def _format_attempt(attempt: Attempt) -> Iterator[str]:
    heading = (
        f"attempt {attempt.number}, {format_time(attempt.started_at)}, "
        f"{format_duration(attempt.seconds)}"
    )
    if attempt.service is not None:
        heading += f", {escape_unprintable(attempt.service)}"
    match attempt.outcome:
        case Failure(code=code, message=message):
            yield f"{heading}: {escape_unprintable(code)}"
            yield from _indent_lines(message)
        case Reply(server_seconds=float(seconds)):
            yield f"{heading} ({seconds:.1f}s on the server): a reply"
        case Reply():
            yield f"{heading}: a reply"
        case Submitted():
            yield f"{heading}: submitted"


def _get_log(attempt: Attempt) -> str:
    match attempt.outcome:
        case Reply(log=log) | Failure(log=log):
            return log
        case Submitted():
            return ""


def _format_prediction(prediction: Json) -> str:
    if isinstance(prediction, str):
        return prediction
    return json.dumps(prediction, indent=2, ensure_ascii=False)


def _indent_lines(text: str) -> Iterator[str]:
    yield from (f"  {line}" for line in escape_lines(text).splitlines())
