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
from typing import TYPE_CHECKING

import click

from batchinfer import api
from batchinfer.cli import cli_options
from batchinfer.cli.cli_options import Verbosity
from batchinfer.cli.output import echo_data, echo_message
from batchinfer.cli.param_types import PATH_PARAM_TYPE
from batchinfer.config.template import DEFAULT_CONFIG_FILE
from batchinfer.domain import Mode
from batchinfer.text_format import escape_unprintable

if TYPE_CHECKING:
    from batchinfer.config import Config
    from batchinfer.protocols.model_schema import Parameter

_MIN_COLUMNS, _FALLBACK_COLUMNS = 40, 100
"""Signs that a line has at least, and without a terminal."""
_MAX_DEFAULT_CHARS = 24
"""Signs of a default that are shown."""
_ACCEPT_HELP = "Media type of the answer (DEEPaaS's own)."


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer describe",
        "batchinfer describe my-run",
        "batchinfer describe --json | jq -r '.parameters[].name'",
    )
)
@click.argument("run", metavar="[RUN]", required=False, type=PATH_PARAM_TYPE)
@cli_options.config_option
@click.option(
    "--mode",
    type=click.Choice([each.value for each in Mode]),
    help="Ask by a call (sync), or by a job through the bucket (async). Default: by a call, if"
    " [service] is configured.",
)
@cli_options.service_option
@click.option("--again", is_flag=True, help="Ask, even if RUN keeps the answer.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors and the answer.")
def describe(
    *,
    run: Path | None,
    config: Path | None,
    env_file: Path | None,
    mode: str | None,
    service: tuple[str, ...],
    again: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what the model takes: names, types, defaults, choices.

    The service is asked for its help; a cold one is waited for. With RUN its service is asked, and
    the answer is kept there: parameters are checked against it before anything is sent.
    """
    from batchinfer.api.model_help import load_stored_help

    if run is not None:
        api.require_job_run(run)
    stored = None if run is None or again or service else load_stored_help(run)
    description = stored or _fetch_description(
        run, config, env_file, mode, service=service, quiet=quiet
    )
    if as_json:
        echo_data(json.dumps(description.as_json()))
    else:
        echo_data(*_format_schema(description))


def _fetch_description(
    run: Path | None,
    config: Path | None,
    env_file: Path | None,
    mode: str | None,
    *,
    service: tuple[str, ...],
    quiet: bool,
) -> api.ModelDescription:
    from batchinfer.api import model_help
    from batchinfer.api.sync_runner import run_blocking
    from batchinfer.config import ENV_FILE_FLAG
    from batchinfer.progress import LogDisplay, QuietDisplay

    display = QuietDisplay() if quiet else LogDisplay(sys.stderr, clock=time.monotonic)
    flags = {"run.mode": mode, "run.service": service, ENV_FILE_FLAG: env_file}
    loaded_config = _load_config(run, config, flags, quiet=quiet)
    if not quiet:
        echo_message("Asking the service; if it is cold, this takes minutes.")
    chosen_mode = None if mode is None else Mode(mode)
    return run_blocking(
        lambda: model_help.describe(
            loaded_config, os.environ, display, run=run, mode=chosen_mode, refresh=True
        )
    )


def _load_config(
    run: Path | None, config: Path | None, flags: Mapping[str, object], *, quiet: bool
) -> Config:
    """The configuration to ask with; of the run, if there is one. Raises ConfigError."""
    from batchinfer.cli.execution import resolve_run
    from batchinfer.config import load_config

    if run is None:
        default = Path(DEFAULT_CONFIG_FILE)
        return load_config(config or (default if default.exists() else None), os.environ, flags)
    job = api.Job(run=run, config=config, flags=flags)
    return resolve_run(job, Verbosity(quiet=quiet)).config


def _format_schema(description: api.ModelDescription) -> Iterator[str]:
    schema, unsendable = description.schema, description.unsendable
    rows = [_format_parameter(each, unsendable.get(each.name)) for each in schema.parameters]
    head = ("name", "type", "default", "what it is")
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(3)]
    width = (
        shutil.get_terminal_size((_FALLBACK_COLUMNS, 24)).columns - 1
        if sys.stdout.isatty()
        else _FALLBACK_COLUMNS
    )
    indent = sum(widths) + 2 * len(widths)
    for *cells, words in [head, *rows]:
        start = "".join(f"{cell:<{size}}  " for cell, size in zip(cells, widths, strict=True))
        texts = [
            line
            for text in words.splitlines()
            for line in wrap(text, max(_MIN_COLUMNS, width - indent)) or [""]
        ]
        for at, text in enumerate(texts or [""]):
            yield f"{' ' * indent if at else start}{text}".rstrip()
    if schema.accepts_unlisted:
        yield "It takes other parameters, too."
    yield "Given in [params], with --param NAME=VALUE, or in a manifest; files: --file-param NAME."


def _format_parameter(parameter: Parameter, unsendable: str | None) -> tuple[str, str, str, str]:
    default = "required" if parameter.required else escape_unprintable(parameter.default or "")
    default = (
        default if len(default) <= _MAX_DEFAULT_CHARS else f"{default[: _MAX_DEFAULT_CHARS - 3]}..."
    )
    words = parameter.help or (_ACCEPT_HELP if parameter.name == "accept" else "")
    texts = [escape_unprintable(line) for line in words.splitlines()]
    if parameter.choices:
        texts.append(
            f"One of: {', '.join(escape_unprintable(str(each)) for each in parameter.choices)}."
        )
    limits = [(parameter.minimum, "at least"), (parameter.maximum, "at most")]
    if told := [f"{word} {limit:g}" for limit, word in limits if limit is not None]:
        texts.append(f"{' and '.join(told).capitalize()}.")
    if unsendable is not None:
        texts.append(f"Cannot be sent: {escape_unprintable(unsendable)}.")
    kind = "file" if parameter.is_file else parameter.type or "?"
    return escape_unprintable(parameter.name), kind, default, "\n".join(texts)
