"""`batchinfer init`: write a configuration, to be filled in or from what the Dashboard shows."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import click

from batchinfer.cli import options
from batchinfer.cli.talk import command, say, spelled
from batchinfer.config import DEFAULT_FILE, TEMPLATE
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
@click.argument("file", metavar="[FILE]", type=click.Path(path_type=Path), default=DEFAULT_FILE)
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

    Secrets need not stand in it: it refers to environment variables. With --from they are put into
    a second file (batchinfer.env), to be loaded by a shell. Only you can read either. An existing
    file is never overwritten.
    """
    if source is not None:
        _init_from(file, source, env_only=env_only)
        return
    if env_only:
        raise click.UsageError("--env-only goes with --from.")
    _write_private({file: TEMPLATE})
    say(
        f"{file} is written. Replace every value that holds ... with what the Dashboard shows,",
        "export the variables that it names, then see what would be sent:",
        f"  {command('run', 'SOURCE', *_named(file), '--dry-run')}",
    )


def _init_from(file: Path, source: str, *, env_only: bool) -> None:
    found = read_dashboard(_read(source))
    env = file.with_suffix(".env")
    if env == file:
        raise ConfigError(f"{file} would be the name of the secrets' file: name another one.")
    _write_private({file: found.to_toml()} | ({} if env_only else {env: found.to_env()}))
    modes = " and ".join(mode.value for mode in found.modes)
    say(spelled(f"{file} is written, for {modes} mode. It takes its secrets from the environment:"))
    if env_only:
        say(*(f"  export {name}=..." for name in found.secrets))
    else:
        say(f"  . {_shell_path(env)}")
    say("Then see whether all is well:", f"  {command('check', *_named(file))}")
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
        raise ConfigError(f"{source} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{source} is not UTF-8 text.") from None


def _named(file: Path) -> tuple[str | Path, ...]:
    return () if file == Path(DEFAULT_FILE) else ("-c", file)


def _shell_path(path: Path) -> str:
    """A path that `.` does not look for in PATH."""
    text = str(path)
    return spelled(shlex.quote(text if "/" in text else f"./{text}"))


def _write_private(texts: Mapping[Path, str]) -> None:
    """Write new files that only their owner can read, from their first byte on: all, or none."""
    with ExitStack() as undo:
        for path, text in texts.items():
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                undo.callback(path.unlink, missing_ok=True)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
            except OSError as error:
                raise _refused(path, error) from None
        undo.pop_all()


def _refused(path: Path, error: OSError) -> ConfigError:
    if isinstance(error, FileExistsError):
        return ConfigError(
            f"{path} exists already and is left as it is. Name another file: "
            f"{command('init', 'other.toml')}"
        )
    return ConfigError(f"{path} cannot be written: {error.strerror}.")
