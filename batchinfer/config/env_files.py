"""Files of environment variables (`.batchinfer.env`): where they are looked for, how they are read.

Beside a config `NAME.toml` these are read, the first that has a variable wins: `.NAME.env` (which
`batchinfer init` writes), `NAME.env` (which older versions wrote), `.batchinfer.env`,
`batchinfer.env`. The environment itself wins over all of them.

A line is `NAME=VALUE` or `export NAME=VALUE`, with a POSIX shell's quotes and comments, so that a
shell may read the file, too. Nothing is expanded or executed.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from batchinfer.config.template import DEFAULT_CONFIG_FILE
from batchinfer.errors import ConfigError
from batchinfer.ports import Notice

_ENV_LINE: Final = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=(?P<value>.*)")
_ENV_VALUE_PART: Final = re.compile(
    r"""(?P<end>\s+\#.*|\s*$)|'(?P<single>[^']*)'|"(?P<double>(?:\\.|[^"\\])*)"|"""
    r"""\\(?P<escaped>.)|(?P<plain>[^'"\\\s]+|\s+)"""
)
_MAX_ENV_FILE_BYTES: Final = 1 << 20
"""Bytes; what is longer is no file of variables."""


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A file of environment variables that was read."""

    path: Path
    variables: Mapping[str, str] = field(repr=False)
    notices: tuple[Notice, ...] = ()
    """What is wrong with it: others can read it, lines were skipped."""
    is_named: bool = False
    """Whether it was named by the user, rather than found."""


def get_env_file_path(config: Path) -> Path:
    """The file beside a config that `init` writes its secrets to: `.NAME.env` for `NAME.toml`."""
    return config.with_name(f".{config.stem.lstrip('.')}.env")


def find_env_files(configs: Sequence[Path]) -> list[Path]:
    """The files of variables that lie beside these configs, those that win first."""
    found: dict[Path, None] = {}
    for config in (each for each in configs if each.name not in {"", ".."}):
        hidden, default = (
            get_env_file_path(config),
            get_env_file_path(config.with_name(DEFAULT_CONFIG_FILE)),
        )
        for path in (hidden, default):
            for each in (path, path.with_name(path.name.removeprefix("."))):
                if each.is_file():
                    found[each.absolute()] = None
    return list(found)


def read_env_files(configs: Sequence[Path], others: Sequence[Path] = ()) -> list[EnvFile]:
    """Read others, where they exist, and the files that lie beside these configs.

    Files that cannot be read are skipped, with a notice.
    """
    existing = [path.absolute() for path in others if path.is_file()]
    paths = dict.fromkeys([*existing, *find_env_files(configs)])
    return [_read_file(path, strict=False) for path in paths]


def read_env_file(path: Path) -> EnvFile:
    """Read a file that the user named. Raises ConfigError, which never quotes a value."""
    return _read_file(path.absolute(), strict=True)


def merge_env(env: Mapping[str, str], files: Sequence[EnvFile]) -> Mapping[str, str]:
    """The environment, completed by files; the first of them that has a variable wins.

    An empty variable of the environment counts as not set.
    """
    merged: dict[str, str] = {}
    for file in reversed(files):
        merged |= file.variables
    return merged | {
        name: value for name, value in env.items() if value.strip() or name not in merged
    }


def _read_file(path: Path, *, strict: bool) -> EnvFile:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_ENV_FILE_BYTES).decode("utf-8-sig")
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        return _raise_or_skip(path, f"it cannot be read: {error.strerror}", strict=strict)
    except UnicodeDecodeError:
        return _raise_or_skip(path, "it is not UTF-8 text", strict=strict)
    variables: dict[str, str] = {}
    bad_lines: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        parsed = _parse_line(line.strip())
        if parsed is None:
            bad_lines.append(number)
        elif parsed:
            variables[parsed[0]] = parsed[1]
    if bad_lines and strict:
        raise ConfigError(f"{path}, line {bad_lines[0]}: expected NAME=VALUE.")
    return EnvFile(path, variables, tuple(_iter_env_file_notices(path, mode, bad_lines)), strict)


def _raise_or_skip(path: Path, problem: str, *, strict: bool) -> EnvFile:
    if strict:
        raise ConfigError(f"{path}: {problem}.")
    return EnvFile(path, {}, (Notice("env_file_skipped", f"{path} is not used: {problem}."),))


def _parse_line(line: str) -> tuple[str, str] | tuple[()] | None:
    """Name and value; nothing for a line without a variable; None when it is no such line."""
    if not line or line.startswith("#"):
        return ()
    match = _ENV_LINE.fullmatch(line)
    if match is None:
        return None
    value = _parse_value(match["value"])
    return None if value is None else (match["name"], value)


def _parse_value(text: str) -> str | None:
    """What a shell would make of the text; None when a quote is not closed.

    Blanks belong to the value, although a shell would end it there.
    """
    parts: list[str] = []
    offset = 0
    if text.startswith((" ", "\t", "#")):  # NAME= # comment
        text = f" {text.lstrip()}" if text.lstrip().startswith("#") else text.lstrip()
    while offset < len(text):
        part = _ENV_VALUE_PART.match(text, offset)
        if part is None:
            return None
        offset = part.end()
        match part.lastgroup:
            case "end":
                break
            case "double":
                parts.append(re.sub(r'\\([\\"$`])', r"\1", part["double"]))
            case str(name):
                parts.append(part[name])
            case None:  # a pair of quotes with nothing between them
                continue
    return "".join(parts)


def _iter_env_file_notices(path: Path, mode: int, bad_lines: Sequence[int]) -> Iterator[Notice]:
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        yield Notice(
            "env_file_readable",
            f"Other users of this machine can read the secrets in {path}. Protect them: chmod 600 "
            f"{shlex.quote(str(path))}",
        )
    if bad_lines:
        lines = ", ".join(map(str, bad_lines[:5])) + (", ..." if len(bad_lines) > 5 else "")  # noqa: PLR2004
        yield Notice(
            "env_file_skipped",
            f"{path}: expected NAME=VALUE in each line; skipped: line {lines}.",
        )
