"""`batchinfer describe`: what the model takes."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap

import click

from batchinfer import api
from batchinfer.api.blocking import wait_for
from batchinfer.api.describing import describe as ask
from batchinfer.api.describing import kept_help
from batchinfer.api.preparing import configured, known
from batchinfer.cli import options
from batchinfer.cli.going import must_be_run, ready
from batchinfer.cli.options import Voice
from batchinfer.cli.talk import say, tell
from batchinfer.config import DEFAULT_FILE, ENV_FILE, Config, load
from batchinfer.domain import Failure, Mode
from batchinfer.oscar.payload import sendable
from batchinfer.oscar.schema import Parameter, Schema
from batchinfer.progress import Lines, Quiet, printable

_NARROW, _WIDE = 40, 100
"""Signs that a line has at least, and without a terminal."""
_LONG = 24
"""Signs of a default that are shown."""
_ACCEPT = "Media type of the answer (DEEPaaS's own)."


@click.command(
    epilog=options.examples(
        "batchinfer describe",
        "batchinfer describe my-run",
        "batchinfer describe --json | jq -r '.parameters[].name'",
    )
)
@click.argument("run", metavar="[RUN]", required=False, type=options.PATH)
@options.config_option
@click.option(
    "--mode",
    type=click.Choice([each.value for each in Mode]),
    help="Ask by a call (sync), or by a job through the bucket (async). Default: by a call, if"
    " [service] is configured.",
)
@click.option("--again", is_flag=True, help="Ask, even if RUN keeps the answer.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors and the answer.")
def describe(
    *,
    run: Path | None,
    config: Path | None,
    env_file: Path | None,
    mode: str | None,
    again: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what the model takes: names, types, defaults, choices.

    The service is asked for its help; a cold one is waited for. With RUN its service is asked, and
    the answer is kept there: parameters are checked against it before anything is sent.
    """
    if run is not None:
        must_be_run(run)
    kept = None if run is None or again else kept_help(run)
    found = kept or _asked(run, config, env_file, mode, quiet=quiet)
    if as_json:
        tell(json.dumps(found.as_json()))
    else:
        tell(*_lines(found.schema))


def _asked(
    run: Path | None, config: Path | None, env_file: Path | None, mode: str | None, *, quiet: bool
) -> api.Description:
    display = Quiet() if quiet else Lines(sys.stderr, clock=time.monotonic)
    flags = {"run.mode": mode, ENV_FILE: env_file}
    settings = _configured(run, config, flags, quiet=quiet)
    if not quiet:
        say("Asking the service; if it is cold, this takes minutes.")
    chosen = None if mode is None else Mode(mode)
    return wait_for(lambda: ask(settings, os.environ, display, run=run, mode=chosen, again=True))


def _configured(
    run: Path | None, config: Path | None, flags: Mapping[str, object], *, quiet: bool
) -> Config:
    """The configuration to ask with; of the run, if there is one. Raises ConfigError."""
    if run is None:
        default = Path(DEFAULT_FILE)
        return load(config or (default if default.exists() else None), os.environ, flags)
    job = api.Job(run=run, config=config, flags=flags)
    return configured(ready(job, Voice(quiet=quiet))[0], known(run))


def _lines(schema: Schema) -> Iterator[str]:
    rows = [_row(each) for each in schema.parameters]
    head = ("name", "type", "default", "what it is")
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(3)]
    width = shutil.get_terminal_size((_WIDE, 24)).columns - 1 if sys.stdout.isatty() else _WIDE
    indent = sum(widths) + 2 * len(widths)
    for *cells, words in [head, *rows]:
        start = "".join(f"{cell:<{size}}  " for cell, size in zip(cells, widths, strict=True))
        texts = [
            line
            for text in words.splitlines()
            for line in wrap(text, max(_NARROW, width - indent)) or [""]
        ]
        for at, text in enumerate(texts or [""]):
            yield f"{' ' * indent if at else start}{text}".rstrip()
    if schema.open:
        yield "It takes other parameters, too."
    yield "Given in [params], with --param NAME=VALUE, or in a manifest; files: --file-param NAME."


def _row(parameter: Parameter) -> tuple[str, str, str, str]:
    default = "required" if parameter.required else printable(parameter.default or "")
    default = default if len(default) <= _LONG else f"{default[: _LONG - 3]}..."
    words = parameter.help or (_ACCEPT if parameter.name == "accept" else "")
    texts = [printable(line) for line in words.splitlines()]
    if parameter.choices:
        texts.append(f"One of: {', '.join(printable(str(each)) for each in parameter.choices)}.")
    if isinstance(refused := sendable({parameter.name: 0}, (), Mode.ASYNC), Failure):
        texts.append(f"Cannot be sent: {printable(refused.message.partition(': ')[2])}.")
    kind = "file" if parameter.is_file else parameter.type or "?"
    return printable(parameter.name), kind, default, "\n".join(texts)
