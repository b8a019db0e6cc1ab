"""Commands to a running process: as values, as words, and as lines. Pure.

A line is one JSON object: `{"do": "pause"}`, `{"do": "concurrency", "value": "4-64"}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from batchinfer.config import Concurrency
from batchinfer.config.value_parsers import parse_concurrency, parse_rate
from batchinfer.errors import ConfigError


class SimpleCommand(StrEnum):
    """Commands without a value."""

    PAUSE = "pause"
    """Start nothing new; calls in flight finish and are recorded."""
    RESUME = "resume"
    """Start again."""
    STOP = "stop"
    """As the first Ctrl-C."""
    STATUS = "status"
    """Report the status; change nothing."""


@dataclass(frozen=True, slots=True)
class SetConcurrency:
    """Another limit: a fixed number, or bounds to adapt within."""

    value: Concurrency


@dataclass(frozen=True, slots=True)
class SetRate:
    """Another rate: starts per second; None: no limit."""

    value: float | None


ControlCommand: TypeAlias = SimpleCommand | SetConcurrency | SetRate

COMMAND_NAMES: Final = ("pause", "resume", "concurrency", "rate", "stop", "status")
"""Every first word."""
NO_RATE: Final = "none"


def parse_command(name: object, value: object = None) -> ControlCommand:
    """The instruction that a first word and its value make. Raises ConfigError."""
    try:
        match name:
            case "concurrency":
                # As text, so that a number that no store could keep is none.
                return SetConcurrency(
                    parse_concurrency(str(value) if type(value) is int else value)
                )
            case "rate":
                return SetRate(None if value == NO_RATE else parse_rate(value))
            case str() if name in COMMAND_NAMES and value is None:
                return SimpleCommand(name)
    except ValueError as error:
        expected = f"{error}, or {NO_RATE}" if name == "rate" else error
        raise ConfigError(f"{name}: expected {expected}, got {value!r}") from None
    if name in COMMAND_NAMES:
        raise ConfigError(f"{name} takes no value, got {value!r}")
    raise ConfigError(f"{name!r} is none of {', '.join(COMMAND_NAMES)}")


def encode_command(command: ControlCommand) -> bytes:
    """The line that asks for it."""
    fields: dict[str, object]
    match command:
        case SetConcurrency(value):
            fields = {"do": "concurrency", "value": str(value)}
        case SetRate(per_second):
            fields = {"do": "rate", "value": NO_RATE if per_second is None else per_second}
        case SimpleCommand():
            fields = {"do": command.value}
    return json.dumps(fields).encode() + b"\n"


def decode_command(line: bytes) -> ControlCommand:
    """The instruction that a line asks for. Raises ConfigError for whatever else it is."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise ConfigError('expected one line with a JSON object such as {"do": "status"}')
    return parse_command(fields.get("do"), fields.get("value"))
