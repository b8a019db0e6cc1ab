"""`batchinfer show`: everything about one item."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from batchinfer import api
from batchinfer.cli import options
from batchinfer.cli.talk import moment, number, spelled, tell
from batchinfer.domain import Attempt, Failure, Json, Reply, Submitted
from batchinfer.progress import duration, printable
from batchinfer.sinks.rows import line


@click.command(
    epilog=options.examples(
        "batchinfer show my-run photos/a.jpg",
        "batchinfer show my-run photos/a.jpg --json | jq .prediction",
    )
)
@options.RUN
@click.argument("key", metavar="KEY")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def show(*, run: Path, key: str, as_json: bool) -> None:
    """Show all that is known of the item KEY of RUN: what was sent, attempts, prediction, log.

    Characters that would act on your terminal are spelled out.
    """
    detail = api.show(run, key)
    row = _row(detail)
    if as_json:
        attempts: list[Json] = [_as_json(attempt) for attempt in detail.attempts]
        inputs: list[Json] = [asdict(sent) for sent in detail.inputs]
        tell(json.dumps({**row, "inputs": inputs, "history": attempts}))
    else:
        tell(*_lines(detail, row["prediction"]))


def _row(detail: api.Detail) -> dict[str, Json]:
    """The item exactly as it is exported."""
    loaded: dict[str, Json] = json.loads(line(detail.result))
    return loaded


def _as_json(attempt: Attempt) -> dict[str, Json]:
    common: dict[str, Json] = {
        "number": attempt.number,
        "started_at": attempt.started_at,
        "seconds": attempt.seconds,
    }
    match attempt.outcome:
        case Reply(log=log, server_seconds=server_seconds):
            return {**common, "code": None, "log": log, "server_seconds": server_seconds}
        case Failure(code=code, message=message, log=log):
            return {**common, "code": code, "message": message, "log": log}
        case Submitted():
            return common


def _lines(detail: api.Detail, prediction: Json) -> Iterator[str]:
    result = detail.result
    yield f"{printable(result.key)}: {result.state}"
    for file in detail.item.files:
        yield f"  {printable(file.param)} = {printable(file.path)}"
    for name, value in result.params.items():
        text = json.dumps(value, ensure_ascii=False, default=str)
        yield f"  {printable(name)} = {printable(text)}"
    if detail.submitted_at is not None:
        yield f"submitted {moment(detail.submitted_at)}"
    for attempt in detail.attempts:
        yield from _attempt(attempt)
    for sent in detail.inputs:
        told = f"{number(sent.size, 'byte')}, sha256 {printable(sent.sha256)}"
        yield f'input "{printable(sent.param)}": {told}'
    if detail.retry_at is not None:
        yield f"not tried again before {moment(detail.retry_at)}"
    if result.media_type is not None:
        yield f"prediction ({printable(result.media_type)}):"
        yield from _indented(_pretty(prediction))
    if detail.attempts and (log := _log(detail.attempts[-1])):
        yield "log of the last attempt:"
        yield from _indented(log)


def _attempt(attempt: Attempt) -> Iterator[str]:
    when = f"attempt {attempt.number}, {moment(attempt.started_at)}, {duration(attempt.seconds)}"
    match attempt.outcome:
        case Failure(code=code, message=message):
            yield f"{when}: {printable(code)}"
            yield from _indented(message)
        case Reply(server_seconds=float(seconds)):
            yield f"{when} ({seconds:.1f}s on the server): a reply"
        case Reply():
            yield f"{when}: a reply"
        case Submitted():
            yield f"{when}: submitted"


def _log(attempt: Attempt) -> str:
    match attempt.outcome:
        case Reply(log=log) | Failure(log=log):
            return log
        case Submitted():
            return ""


def _pretty(prediction: Json) -> str:
    if isinstance(prediction, str):
        return prediction
    return json.dumps(prediction, indent=2, ensure_ascii=False)


def _indented(text: str) -> Iterator[str]:
    yield from (f"  {line}" for line in spelled(text).splitlines())
