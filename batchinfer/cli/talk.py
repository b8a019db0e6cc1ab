"""How commands speak: talk on stderr, which is never a reason to fail, and data on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

import click

from batchinfer.errors import ConfigError
from batchinfer.progress import printable
from batchinfer.shell import command_line


def say(*lines: str) -> None:
    """Say something to the person."""
    with suppress(OSError, ValueError):  # nobody listens (any more)
        for line in lines:
            click.echo(line, err=True)


def tell(*lines: str) -> None:
    """Write data to stdout. Raises ConfigError when it cannot be written."""
    with told():
        for line in lines:
            click.echo(line)


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong with stdout, in words; BrokenPipeError is left to `main`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(f"Standard output cannot be written: {error.strerror}.") from error


def spelled(text: str) -> str:
    """`printable` line by line."""
    return "\n".join(map(printable, text.splitlines()))


def command(*words: str | Path | None) -> str:
    """A command line of ours to copy; None stands for nothing."""
    return command_line(*words)


def unused(name: str) -> str:
    """A file name like this one that is not taken here: "results.csv", "results-2.csv"."""
    path = Path(name)
    others = (f"{path.stem}-{number}{path.suffix}" for number in count(2))
    return next(each for each in chain([name], others) if not Path(each).exists())


def moment(at: float) -> str:
    """A moment for people, in their own time zone, which it names: "2026-05-01 12:00:00+02:00"."""
    local = datetime.fromtimestamp(at, UTC).astimezone()
    return local.isoformat(sep=" ", timespec="seconds")


def number(count: int, one: str, many: str | None = None) -> str:
    """A number and the right form of its noun: "1 item", "2,000 items"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def size(count: int) -> str:
    """A number of bytes: "812 bytes", "1.2 GB"."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:  # noqa: PLR2004 - SI
            break
        amount, unit = amount / 1000, larger
    return f"{count:,} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
