"""`batchinfer init`: write a configuration, to be filled in or from what the Dashboard shows."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import click

from batchinfer.cli import options
from batchinfer.cli.talk import command, say, spelled
from batchinfer.config import DEFAULT_FILE, ENV_TEMPLATE, TEMPLATE, env_file_of
from batchinfer.config.dashboard import LONGEST, read_dashboard
from batchinfer.errors import ConfigError


@click.command(
    epilog=options.examples(
        "batchinfer init",
        "batchinfer init sync.toml",
        "batchinfer init --from info.json",
        "xclip -o | batchinfer init --from -",
    )
)
@click.argument("file", metavar="[FILE]", type=options.PATH, default=DEFAULT_FILE)
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
    if file.suffix.lower() not in {"", ".toml"}:
        name = file.with_suffix(".toml").name
        raise ConfigError(f"{file}: only TOML is written. Name the file {spelled(name)}.")
    if source is not None:
        _init_from(file, source, env_only=env_only)
        return
    if env_only:
        raise click.UsageError("--env-only goes with --from.")
    env = env_file_of(file)
    is_new = not env.exists()
    _write_private({file: TEMPLATE} | ({env: ENV_TEMPLATE} if is_new else {}), [])
    secrets = f"write the secrets into {env}," if is_new else f"keep the secrets in {env},"
    say(
        spelled(
            f"{file} is written. Replace every value that holds ... with what the Dashboard shows,"
        ),
        spelled(f"{secrets} then see whether all is well:"),
        f"  {command('check', *_named(file))}",
    )


def _init_from(file: Path, source: str, *, env_only: bool) -> None:
    try:
        found = read_dashboard(_read(source))
    except ConfigError as error:
        raise ConfigError(f"--from {source}: {error}") from None
    env = env_file_of(file)
    texts = {file: found.to_toml()} | ({} if env_only else {env: found.to_env()})
    _write_private(texts, ["--from", source, *(["--env-only"] if env_only else [])])
    modes = " and ".join(mode.value for mode in found.modes)
    say(spelled(f"{file} is written, for {modes} mode."))
    if env_only:
        say("It takes its secrets from the environment, or from a file beside it:")
        say(*(spelled(f"  {name}=... in {env}") for name in found.secrets))
    else:
        secrets = f"Its secrets are in {env}: only you can read it"
        say(spelled(f"{secrets}, and batchinfer reads it by itself."))
    say("Next, see whether all is well:", f"  {command('check', *_named(file))}")
    if not found.verify and "bucket" in found.tables():
        say("note: it says verify = false for the bucket: its certificate is not checked.")


def _read(source: str) -> str:
    try:
        if source == "-":
            data = sys.stdin.buffer.read(LONGEST + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(LONGEST + 1)
        return data.decode()
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError("it is not UTF-8 text.") from None


def _named(file: Path) -> tuple[str | Path, ...]:
    return () if file == Path(DEFAULT_FILE) else ("-c", file)


def _write_private(texts: Mapping[Path, str], options: Sequence[str]) -> None:
    """Write new files that only their owner can read, from their first byte on: all, or none.

    `options`: those of this command, for the line that is proposed when a file is there already.
    """
    with ExitStack() as undo:
        for path, text in texts.items():
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                undo.callback(path.unlink, missing_ok=True)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
            except OSError as error:
                raise _refused(path, error, next(iter(texts)), options) from None
        undo.pop_all()


def _refused(path: Path, error: OSError, file: Path, options: Sequence[str]) -> ConfigError:
    if isinstance(error, FileExistsError):
        return ConfigError(
            f"{path} exists already and is left as it is. Name another file: "
            f"{command('init', _free(file), *options)}"
        )
    if isinstance(error, FileNotFoundError):
        return ConfigError(f"The folder {path.parent} does not exist: create it first.")
    return ConfigError(f"{path} cannot be written: {error.strerror}.")


def _free(file: Path) -> Path:
    """A name like that of `file` which is not taken, and whose secrets' file is not either."""
    names = (file.with_name(f"{file.stem}-{number}{file.suffix}") for number in count(2))
    return next(name for name in names if not name.exists() and not env_file_of(name).exists())
