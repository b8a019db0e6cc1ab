"""`batchinfer init`: write a configuration, to be filled in or from what the Dashboard shows."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import click

from batchinfer.cli import cli_options
from batchinfer.cli.output import echo_message, escape_lines, to_command_line
from batchinfer.cli.param_types import PATH_PARAM_TYPE
from batchinfer.config.env_files import get_env_file_path
from batchinfer.config.template import DEFAULT_CONFIG_FILE
from batchinfer.errors import ConfigError


@click.command(
    epilog=cli_options.format_examples(
        "batchinfer init",
        "batchinfer init sync.toml",
        "batchinfer init --from info.json",
        "xclip -o | batchinfer init --from -",
    )
)
@click.argument("file", metavar="[FILE]", type=PATH_PARAM_TYPE, default=DEFAULT_CONFIG_FILE)
@click.option(
    "--from",
    "source",
    metavar="INFO|-",
    help="Fill it in from the Dashboard's JSON, or from the lines of its page; - for stdin.",
)
@click.option(
    "--env-only", is_flag=True, help="With --from: write no secret at all, also to no other file."
)
def init(*, file: Path, source: str | None, env_only: bool) -> None:
    """Write a commented configuration to FILE (default: batchinfer.toml), to be filled in.

    Secrets do not stand in it. They stand in a second file beside it (.batchinfer.env), which
    every command reads by itself, and which only you can read. An existing file is never
    overwritten.
    """
    from batchinfer.api.config_files import make_config_texts

    if source is not None:
        _init_from(file, source, env_only=env_only)
        return
    if env_only:
        raise click.UsageError("--env-only goes with --from.")
    env, texts = get_env_file_path(file), make_config_texts(file, None)
    is_new_env = env in texts
    _create_files(texts, [])
    secrets = f"write the secrets into {env}," if is_new_env else f"keep the secrets in {env},"
    echo_message(
        escape_lines(
            f"{file} is written. Replace every value that holds ... with what the Dashboard shows,"
        ),
        escape_lines(f"{secrets} then see whether all is well:"),
        f"  {to_command_line('check', *_config_arguments(file))}",
    )


def _init_from(file: Path, source: str, *, env_only: bool) -> None:
    from batchinfer.api.config_files import make_config_texts
    from batchinfer.config.dashboard import parse_dashboard

    try:
        dashboard = parse_dashboard(_read_dashboard_text(source))
    except ConfigError as error:
        raise ConfigError(f"--from {source}: {error.message}") from None
    env = get_env_file_path(file)
    texts = make_config_texts(file, dashboard, env_only)
    _create_files(texts, ["--from", source, *(["--env-only"] if env_only else [])])
    modes = " and ".join(mode.value for mode in dashboard.modes)
    echo_message(escape_lines(f"{file} is written, for {modes} mode."))
    if env_only:
        echo_message("It takes its secrets from the environment, or from a file beside it:")
        echo_message(*(escape_lines(f"  {name}=... in {env}") for name in dashboard.secrets))
    else:
        secrets = f"Its secrets are in {env}: only you can read it"
        echo_message(escape_lines(f"{secrets}, and batchinfer reads it by itself."))
    echo_message(
        "Next, see whether all is well:", f"  {to_command_line('check', *_config_arguments(file))}"
    )
    if not dashboard.verify and "bucket" in dashboard.to_tables():
        echo_message("note: it says verify = false for the bucket: its certificate is not checked.")


def _read_dashboard_text(source: str) -> str:
    from batchinfer.config.dashboard import MAX_DASHBOARD_CHARS

    try:
        if source == "-":
            data = sys.stdin.buffer.read(MAX_DASHBOARD_CHARS + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(MAX_DASHBOARD_CHARS + 1)
        return data.decode()
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError("it is not UTF-8 text.") from None


def _config_arguments(file: Path) -> tuple[str | Path, ...]:
    return () if file == Path(DEFAULT_CONFIG_FILE) else ("-c", file)


def _create_files(texts: Mapping[Path, str], options: Sequence[str]) -> None:
    """`options`: those of this command, for the line that is proposed when a file is there."""
    from batchinfer.api.config_files import create_config_files

    other_file = _next_free_path(next(iter(texts)))
    create_config_files(texts, to_command_line("init", other_file, *options))


def _next_free_path(file: Path) -> Path:
    """A name like that of `file` which is not taken, and whose secrets' file is not either."""
    names = (file.with_name(f"{file.stem}-{number}{file.suffix}") for number in count(2))
    return next(
        name for name in names if not name.exists() and not get_env_file_path(name).exists()
    )
