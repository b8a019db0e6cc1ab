"""What commands write: messages on stderr, which never fail, and data on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

import click

from batchinfer.errors import BatchInferError, ConfigError
from batchinfer.shell import format_command
from batchinfer.text_format import escape_unprintable


def echo_message(*lines: str) -> None:
    """Write lines to stderr, if it can be written."""
    with suppress(OSError, ValueError):
        for line in lines:
            click.echo(line, err=True)


def echo_data(*lines: str) -> None:
    """Write data to stdout. Raises ConfigError when it cannot be written."""
    with translate_stdout_errors():
        for line in lines:
            click.echo(line)


@contextmanager
def translate_stdout_errors() -> Iterator[None]:
    """Errors of stdout as ConfigError; BrokenPipeError is left to `main`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(f"Standard output cannot be written: {error.strerror}.") from error


def format_error(error: BatchInferError) -> str:
    """The message of an error, its options spelled as flags."""
    return error.format(_format_flag)


def _format_flag(name: str, value: str) -> str:
    if name == "params":
        return f"--param {value or 'NAME=VALUE'}"
    if value == "False":
        return f"--no-{name.replace('_', '-')}"
    if name == "as_file":
        return "--as-file"
    flag = _FLAGS.get(name) or f"--{name.replace('_', '-')}"
    return flag if value in {"", "True"} else f"{flag} {value}"


_FLAGS = {"run": "-o", "to": "-o", "into": "-o"}
"""Flags that are not called as the argument is."""


def escape_lines(text: str) -> str:
    """`escape_unprintable` line by line."""
    return "\n".join(map(escape_unprintable, text.splitlines()))


def to_command_line(*words: str | Path | None) -> str:
    """A command line of ours to copy; None stands for nothing."""
    return format_command(*words)


def next_free_name(name: str) -> str:
    """A file name like this one that is not taken here: "results.csv", "results-2.csv"."""
    path = Path(name)
    numbered_names = (f"{path.stem}-{number}{path.suffix}" for number in count(2))
    return next(each for each in chain([name], numbered_names) if not Path(each).exists())


def format_time(timestamp: float) -> str:
    """A moment for people, in their own time zone, which it names: "2026-05-01 12:00:00+02:00"."""
    local = datetime.fromtimestamp(timestamp, UTC).astimezone()
    return local.isoformat(sep=" ", timespec="seconds")
