"""`batchinfer retry`: put failed items back to pending."""

from __future__ import annotations

from pathlib import Path

import click

from batchinfer import api
from batchinfer.cli import cli_options
from batchinfer.cli.output import echo_message, to_command_line
from batchinfer.domain import State
from batchinfer.errors import ConfigError
from batchinfer.text_format import escape_unprintable, format_count


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer retry my-run",
        "batchinfer retry my-run --code timeout",
        "batchinfer retry my-run --key photos/a.jpg",
    )
)
@cli_options.run_argument
@click.option("--code", metavar="CODE", help="Only those that failed with this code.")
@click.option("--key", metavar="KEY", help="Only the item with this key.")
@click.option(
    "--reused",
    is_flag=True,
    help="Instead those whose results were taken over from an earlier run (--reuse).",
)
def retry(*, run: Path, code: str | None, key: str | None, reused: bool) -> None:
    """Put failed items of RUN back to pending, with a fresh budget of attempts.

    Their files are taken as they are now. Nothing is sent until you resume.
    """
    code = code and escape_unprintable(
        code
    )  # no code is otherwise; a byte that is no text asks for none
    if reused and code is not None:
        raise click.UsageError("--reused goes without --code: what is reused has not failed.")
    count = api.retry(run, code=code, key=key, reused=reused)
    if count:
        verb = "is" if count == 1 else "are"
        echo_message(
            f"{format_count(count, 'item')} {verb} pending again; go on with: "
            f"{to_command_line('resume', run)}"
        )
        return
    if reused:
        echo_message("Nothing was reused: there is nothing to ask the service for.")
        return
    if code is None and key is None:
        echo_message("Nothing has failed: there is nothing to try again.")
        return
    raise ConfigError(_explain_no_match(run, code, key))


def _explain_no_match(run: Path, code: str | None, key: str | None) -> str:
    if key is not None:
        result = api.show(run, key).result
        if result.reused is not None:
            return (
                f"{key!r} has not failed: its result was taken over from {result.reused}. Add "
                "--reused to ask the service for it."
            )
        if result.state is not State.FAILED:
            return f"{key!r} has not failed: it is {result.state}. Only failed items are retried."
        return f"{key!r} did not fail with {code!r} but with {result.code!r}."
    groups = [f"{group.code} ({group.count:,})" for group in api.status(run).failures]
    hint = f"There are: {', '.join(groups)}" if groups else "Nothing has failed"
    return f"No item failed with {code!r}. {hint}."
