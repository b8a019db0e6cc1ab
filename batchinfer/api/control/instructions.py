"""What a process at work on a run can be told: as values, as words, and as lines. Pure.

A line is one JSON object: `{"do": "pause"}`, `{"do": "concurrency", "value": "4-64"}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from batchinfer.config import Concurrency
from batchinfer.config.values import concurrency, rate
from batchinfer.errors import ConfigError


class Simple(StrEnum):
    """What needs no value."""

    PAUSE = "pause"
    """Begin nothing new; what is in flight finishes and is recorded."""
    RESUME = "resume"
    """Begin again."""
    STOP = "stop"
    """As the first Ctrl-C."""
    STATUS = "status"
    """Say how it goes; change nothing."""


@dataclass(frozen=True, slots=True)
class SetConcurrency:
    """Another limit: a number that stays, or bounds to adapt within."""

    value: Concurrency


@dataclass(frozen=True, slots=True)
class SetRate:
    """Another pace: starts per second; None: none."""

    value: float | None


Instruction: TypeAlias = Simple | SetConcurrency | SetRate

KNOWN: Final = ("pause", "resume", "concurrency", "rate", "stop", "status")
"""Every first word."""
NO_RATE: Final = "none"


def read(do: object, value: object = None) -> Instruction:
    """The instruction that a first word and its value make. Raises ConfigError."""
    try:
        match do:
            case "concurrency":
                # As text, so that a number that no store could keep is none.
                return SetConcurrency(concurrency(str(value) if type(value) is int else value))
            case "rate":
                return SetRate(None if value == NO_RATE else rate(value))
            case str() if do in KNOWN and value is None:
                return Simple(do)
    except ValueError as error:
        wanted = f"{error}, or {NO_RATE}" if do == "rate" else error
        raise ConfigError(f"{do}: expected {wanted}, got {value!r}") from None
    if do in KNOWN:
        raise ConfigError(f"{do} takes no value, got {value!r}")
    raise ConfigError(f"{do!r} is none of {', '.join(KNOWN)}")


def line_of(instruction: Instruction) -> bytes:
    """The line that asks for it."""
    told: dict[str, object]
    match instruction:
        case SetConcurrency(value):
            told = {"do": "concurrency", "value": str(value)}
        case SetRate(per_second):
            told = {"do": "rate", "value": NO_RATE if per_second is None else per_second}
        case Simple():
            told = {"do": instruction.value}
    return json.dumps(told).encode() + b"\n"


def instruction_of(line: bytes) -> Instruction:
    """The instruction that a line asks for. Raises ConfigError for whatever else it is."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise ConfigError('expected one line with a JSON object such as {"do": "status"}')
    return read(told.get("do"), told.get("value"))
