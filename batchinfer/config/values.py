"""The forms in which a person may write a value, and what each is read as.

A reader takes what TOML, the environment or a flag holds and returns the value, or raises a
ValueError whose text completes "expected ...". Pure; knows no file and no section.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from batchinfer.config.references import check, reference
from batchinfer.domain import Json, Mode
from batchinfer.errors import ConfigError
from batchinfer.oscar.payload import MAX_NESTED
from batchinfer.sources.selection import KINDS


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret as it was written: exactly `${NAME}`, or the secret itself. Never shows itself."""

    text: str

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Percent:
    """So many of a hundred."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:g}%"


MaxFailures: TypeAlias = int | Percent
"""How many items may fail before the run is given up: a number of items, or a share of them."""


def text(value: object) -> str:
    """A text, which may hold `${NAME}`."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text in quotes")
    check(value)
    return value.strip()


def texts(value: object) -> tuple[str, ...]:
    """One text or several; each may hold `${NAME}`."""
    match value:
        case str() if value.strip():
            return (text(value),)
        case list() | tuple() if all(isinstance(each, str) and each.strip() for each in value):
            return tuple([text(each) for each in value])
        case _:
            raise ValueError('a text in quotes, or a list of texts, as ["*.jpg", "*.png"]')


def kinds(value: object) -> tuple[str, ...]:
    """One kind of files or several."""
    match value:
        case str():
            found = [each.strip().lower() for each in value.split(",")]
        case list() | tuple():
            found = [str(each).strip().lower() for each in value]
        case _:
            found = [""]
    if not set(found) <= KINDS.keys():
        raise ValueError(f"one or several of {', '.join(KINDS)}")
    return tuple(found)


def secret(value: object) -> Secret:
    """Exactly `${NAME}`, or the secret itself, in which no sign has a meaning of its own."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError('a text in quotes, best "${NAME}"')
    stripped = value.strip()
    if "${" in stripped and reference(stripped) is None:
        raise ValueError('exactly "${NAME}", with nothing around it')
    return Secret(stripped)


def switch(value: object) -> bool:
    """True or false."""
    match value:
        case bool():
            return value
        case str() if value.strip().lower() in {"true", "yes", "on", "1"}:
            return True
        case str() if value.strip().lower() in {"false", "no", "off", "0"}:
            return False
        case _:
            raise ValueError("true or false")


def mode(value: object) -> Mode:
    """One of the two modes."""
    try:
        return Mode(value.strip().lower() if isinstance(value, str) else "")
    except ValueError:
        raise ValueError('"sync" or "async"') from None


def count(value: object) -> int:
    """A whole number from 1."""
    number = _whole(value)
    if number is None or number < 1:
        raise ValueError("a whole number from 1")
    return number


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many at once: a number that stays (`lowest == highest`), or bounds to adapt within."""

    lowest: int = 1
    highest: int | None = None
    """None: as many as the mode bears."""

    def __str__(self) -> str:
        """As it is written in a config."""
        if self.highest is None:
            return "auto"
        alone = self.lowest == self.highest
        return str(self.lowest) if alone else f"{self.lowest}-{self.highest}"


def concurrency(value: object) -> Concurrency:
    """How many at once: "auto", a number, or bounds such as "4-64"."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return Concurrency()
    lowest, dash, highest = value.partition("-") if isinstance(value, str) else (value, "", "")
    least, most = _whole(lowest), _whole(highest if dash else lowest)
    if least is None or most is None or not 1 <= least <= most:
        raise ValueError('"auto", a whole number from 1, or bounds such as "4-64"')
    return Concurrency(least, most)


def seconds(value: object) -> float:
    """A duration: "90s", "10m", "1h30m", "500ms"; a number is seconds."""
    total = _number(value)
    if total is None and isinstance(value, str):
        total = _duration(value.strip())
    if total is None or not 0 < total < math.inf:
        raise ValueError('a duration above zero such as "90s", "10m" or "1h30m"')
    return total


def rate(value: object) -> float:
    """Starts per second: "5/s", "300/m", "1000/h"; a number is per second."""
    per_second = _number(value)
    if per_second is None and isinstance(value, str):
        amount, _, unit = value.partition("/")
        number = _number(amount)
        divisor = {"s": 1, "m": 60, "min": 60, "h": 3600}.get(unit.strip())
        per_second = number / divisor if number is not None and divisor else None
    if per_second is None or not 0 < per_second < math.inf:
        raise ValueError('a rate above zero such as "5/s" or "300/m"')
    return per_second


def size(value: object) -> int:
    """Bytes: "256MB", "1GiB", "500k"; a number is bytes."""
    number = _whole(value)
    if number is None and isinstance(value, str):
        found = _SIZE.fullmatch(value.strip().lower())
        amount = float(found["amount"]) * _PREFIXES[found["prefix"]] if found else math.inf
        number = round(amount) if amount < math.inf else None
    if number is None or number < 1:
        raise ValueError('a size above zero such as "256MB" or "1GiB"')
    return number


def bandwidth(value: object) -> float:
    """Bytes per second: "10MB/s", "80Mbit/s"; a number is bytes per second."""
    per_second = _number(value)
    if per_second is None and isinstance(value, str) and (found := _BANDWIDTH.fullmatch(value)):
        per_second = float(found["amount"]) * _PREFIXES[found["prefix"].lower()]
        per_second /= 8 if found["unit"] == "bit" else 1
    if per_second is None or not 0 < per_second < math.inf:
        raise ValueError('bytes or bits per second such as "10MB/s" or "80Mbit/s"')
    return per_second


def max_failures(value: object) -> MaxFailures:
    """A number of items, or a share of them: 100, "100", "5%"."""
    if isinstance(value, str) and value.strip().endswith("%"):
        share = _number(value.strip()[:-1])
        if share is not None and 0 <= share <= 100:  # noqa: PLR2004 - a percentage
            return Percent(share)
    else:
        number = _whole(value)
        if number is not None and number >= 0:
            return number
    raise ValueError('a whole number such as 100, or a share such as "5%"')


@dataclass(frozen=True, slots=True)
class Typed:
    """The value of a model parameter as somebody typed it."""

    text: str


def param(value: object, depth: int = 0) -> Json:
    """A model parameter: whatever JSON can say. TOML's dates and nan are none of it."""
    if depth > MAX_NESTED:
        raise ValueError(f"lists and tables of at most {MAX_NESTED} levels")
    match value:
        case Typed(text):
            return _typed_value(text)
        case None | bool() | int():
            return value
        case str():
            check(value)
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return [param(each, depth + 1) for each in value]
        case Mapping():
            return {str(name): param(each, depth + 1) for name, each in value.items()}
        case float():
            raise ValueError('a finite number; other numbers are written in quotes, "nan"')
        case _:
            raise ValueError(
                "a text, number, true/false, list or table; dates and times are written in quotes"
            )


def parse_param(argument: str) -> tuple[str, Json]:
    """Take `NAME=VALUE` apart: a VALUE that is JSON is read as such, any other is a text.

    A number is only what is spelled as Python spells it: `1.10` and `1e3` stay texts, so that the
    model gets what was typed. Raises ConfigError when there is no name.
    """
    name, value = split_param(argument)
    return name, param(value)


def split_param(argument: str) -> tuple[str, Typed]:
    """The name and the value of `NAME=VALUE`. Raises ConfigError when there is no name."""
    name, equals, value = argument.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--param: expected NAME=VALUE, got {argument!r}")
    return name.strip(), Typed(value)


def _typed_value(text: str) -> Json:
    try:
        value = param(json.loads(text))
    except (ValueError, RecursionError):
        value = text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and repr(value) != text and (text[0] != "-" or _CAN_BE_SENT.fullmatch(text)):
        return text
    if isinstance(value, str):
        check(value)
    return value


_CAN_BE_SENT = re.compile(r"-\d+|-\d*\.\d+")
"""Negative numbers that a command line takes as a value: `-1e5` must be written out."""

_DURATION = re.compile(
    r"(?:(?P<d>\d+(?:\.\d+)?)d)?\s*(?:(?P<h>\d+(?:\.\d+)?)h)?\s*(?:(?P<m>\d+(?:\.\d+)?)m)?\s*"
    r"(?:(?P<s>\d+(?:\.\d+)?)s)?\s*(?:(?P<ms>\d+(?:\.\d+)?)ms)?"
)
_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12} | {
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_SIZE = re.compile(r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<prefix>(?:[kmgt]i?)?)b?")
# Not in any case: a Mb would be eight times less than a MB.
_BANDWIDTH = re.compile(
    r"\s*(?P<amount>\d+(?:\.\d+)?)\s*(?P<prefix>(?:[kKMG]i?)?)(?P<unit>B|bit)/s\s*"
)


def _duration(written: str) -> float | None:
    parts = _DURATION.fullmatch(written)
    if not parts:
        return None
    return sum(float(amount) * _SECONDS[unit] for unit, amount in parts.groupdict("0").items())


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,15}\s*", value):
        return int(value)
    return None
