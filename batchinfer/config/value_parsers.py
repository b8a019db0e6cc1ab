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

from batchinfer.config.interpolation import check_references, parse_reference
from batchinfer.domain import Json, Mode
from batchinfer.errors import ConfigError
from batchinfer.protocols.inference_protocol import MAX_PARAM_DEPTH
from batchinfer.sources.file_kinds import FILE_KINDS
from batchinfer.sources.item_choice import Order
from batchinfer.sources.shard import Shard
from batchinfer.sources.source_formats import AUTO_FORMAT, SOURCE_FORMATS
from batchinfer.videos.frame_rule import FrameRule


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


CLUSTER_KINDS = ("dask", "none")
"""What attempts may be made on, besides this process."""


def parse_text(value: object) -> str:
    """A text, which may hold `${NAME}`."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text in quotes")
    check_references(value)
    return value.strip()


def parse_service_name(value: object) -> str:
    """The name of one of several services."""
    if isinstance(value, str) and re.fullmatch(r"[\w.-]{1,60}", value):
        return value
    raise ValueError("a name of letters, digits, dots, hyphens and underscores")


def parse_plugin_name(value: object) -> str:
    """A name of letters, digits, `_`, `-` and `.`."""
    if not isinstance(value, str) or not re.fullmatch(r"[\w.-]+", value.strip()):
        raise ValueError("a name of letters, digits, _, - and .")
    return value.strip()


def parse_texts(value: object) -> tuple[str, ...]:
    """One text or several; each may hold `${NAME}`."""
    match value:
        case str() if value.strip():
            return (parse_text(value),)
        case list() | tuple() if all(isinstance(each, str) and each.strip() for each in value):
            return tuple([parse_text(each) for each in value])
        case _:
            raise ValueError('a text in quotes, or a list of texts, as ["*.jpg", "*.png"]')


def parse_source_format(value: object) -> str:
    """The format of a source: auto, csv, jsonl, parquet, arrow, xlsx, coco, yolo or hf."""
    known = (AUTO_FORMAT, *SOURCE_FORMATS)
    if not isinstance(value, str) or (found := value.strip().lower()) not in known:
        raise ValueError(f"one of {', '.join(known)}")
    return found


def parse_file_kinds(value: object) -> tuple[str, ...]:
    """One kind of files or several."""
    match value:
        case str():
            found = [each.strip().lower() for each in value.split(",")]
        case list() | tuple():
            found = [str(each).strip().lower() for each in value]
        case _:
            found = [""]
    if not set(found) <= FILE_KINDS.keys():
        raise ValueError(f"one or several of {', '.join(FILE_KINDS)}")
    return tuple(found)


def parse_shard(value: object) -> Shard:
    """A part of the source: "3/16" is the third of sixteen."""
    return Shard.parse(value if isinstance(value, str) else "")


def parse_frame_rule(value: object) -> FrameRule:
    """Which frames of videos: "every=2s", "fps=1" or "n=20"."""
    return FrameRule.parse(value if isinstance(value, str) else "")


def parse_order(value: object) -> Order:
    """The order in which items are sent."""
    if isinstance(value, str) and value.strip().lower() in set(Order):
        return Order(value.strip().lower())
    raise ValueError(f"one of {', '.join(Order)}")


def parse_seed(value: object) -> int:
    """A whole number that chooses among the random choices there are."""
    seed = _parse_whole_number(value)
    if seed is None or not 0 <= seed < 1 << 63:
        raise ValueError("a whole number from zero up")
    return seed


def parse_runs(value: object) -> tuple[str, ...]:
    """One run directory or several; "none" is none."""
    runs = parse_texts(value)
    return () if runs == ("none",) else runs


def parse_secret(value: object) -> Secret:
    """Exactly `${NAME}`, or the secret itself, in which no sign has a meaning of its own."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError('a text in quotes, best "${NAME}"')
    stripped = value.strip()
    if "${" in stripped and parse_reference(stripped) is None:
        raise ValueError('exactly "${NAME}", with nothing around it')
    return Secret(stripped)


def parse_boolean(value: object) -> bool:
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


def parse_mode(value: object) -> Mode:
    """One of the two modes."""
    try:
        return Mode(value.strip().lower() if isinstance(value, str) else "")
    except ValueError:
        raise ValueError('"sync" or "async"') from None


def parse_cluster_kind(value: object) -> str:
    """The kind of a cluster, or "none"."""
    kind = value.strip().lower() if isinstance(value, str) else ""
    if kind not in CLUSTER_KINDS:
        raise ValueError(" or ".join(f'"{each}"' for each in CLUSTER_KINDS))
    return kind


def parse_notification_choice(value: object) -> str:
    """Either "auto" or "off"."""
    choice = value.strip().lower() if isinstance(value, str) else ""
    if choice not in {"auto", "off"}:
        raise ValueError('"auto" or "off"')
    return choice


def parse_count(value: object) -> int:
    """A whole number from 1."""
    number = _parse_whole_number(value)
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


def parse_concurrency(value: object) -> Concurrency:
    """How many at once: "auto", a number, or bounds such as "4-64"."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return Concurrency()
    lowest, dash, highest = value.partition("-") if isinstance(value, str) else (value, "", "")
    lower, upper = _parse_whole_number(lowest), _parse_whole_number(highest if dash else lowest)
    if lower is None or upper is None or not 1 <= lower <= upper:
        raise ValueError('"auto", a whole number from 1, or bounds such as "4-64"')
    return Concurrency(lower, upper)


def parse_duration(value: object) -> float:
    """A duration: "90s", "10m", "1h30m", "500ms"; a number is seconds."""
    total = _parse_number(value)
    if total is None and isinstance(value, str):
        total = _parse_duration_text(value.strip())
    if total is None or not 0 < total < math.inf:
        raise ValueError('a duration above zero such as "90s", "10m" or "1h30m"')
    return total


def parse_rate(value: object) -> float:
    """Starts per second: "5/s", "300/m", "1000/h"; a number is per second."""
    per_second = _parse_number(value)
    if per_second is None and isinstance(value, str):
        amount, _, unit = value.partition("/")
        number = _parse_number(amount)
        divisor = {"s": 1, "m": 60, "min": 60, "h": 3600}.get(unit.strip())
        per_second = number / divisor if number is not None and divisor else None
    if per_second is None or not 0 < per_second < math.inf:
        raise ValueError('a rate above zero such as "5/s" or "300/m"')
    return per_second


def parse_size(value: object) -> int:
    """Bytes: "256MB", "1GiB", "500k"; a number is bytes."""
    number = _parse_whole_number(value)
    if number is None and isinstance(value, str):
        found = _SIZE_PATTERN.fullmatch(value.strip().lower())
        amount = float(found["amount"]) * _SIZE_PREFIXES[found["prefix"]] if found else math.inf
        number = round(amount) if amount < math.inf else None
    if number is None or number < 1:
        raise ValueError('a size above zero such as "256MB" or "1GiB"')
    return number


def parse_bandwidth(value: object) -> float:
    """Bytes per second: "10MB/s", "80Mbit/s"; a number is bytes per second."""
    per_second = _parse_number(value)
    if (
        per_second is None
        and isinstance(value, str)
        and (found := _BANDWIDTH_PATTERN.fullmatch(value))
    ):
        per_second = float(found["amount"]) * _SIZE_PREFIXES[found["prefix"].lower()]
        per_second /= 8 if found["unit"] == "bit" else 1
    if per_second is None or not 0 < per_second < math.inf:
        raise ValueError('bytes or bits per second such as "10MB/s" or "80Mbit/s"')
    return per_second


def parse_max_failures(value: object) -> MaxFailures:
    """A number of items, or a share of them: 100, "100", "5%"."""
    if isinstance(value, str) and value.strip().endswith("%"):
        share = _parse_number(value.strip()[:-1])
        if share is not None and 0 <= share <= 100:  # noqa: PLR2004 - a percentage
            return Percent(share)
    else:
        number = _parse_whole_number(value)
        if number is not None and number >= 0:
            return number
    raise ValueError('a whole number such as 100, or a share such as "5%"')


@dataclass(frozen=True, slots=True)
class RawParam:
    """The value of a model parameter as somebody typed it."""

    text: str


def parse_param_value(value: object, depth: int = 0) -> Json:
    """A model parameter: whatever JSON can say. TOML's dates and nan are none of it."""
    if depth > MAX_PARAM_DEPTH:
        raise ValueError(f"lists and tables of at most {MAX_PARAM_DEPTH} levels")
    match value:
        case RawParam(text):
            return _parse_raw_param(text)
        case None | bool() | int():
            return value
        case str():
            check_references(value)
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return [parse_param_value(each, depth + 1) for each in value]
        case Mapping():
            return {str(name): parse_param_value(each, depth + 1) for name, each in value.items()}
        case float():
            raise ValueError('a finite number; other numbers are written in quotes, "nan"')
        case _:
            raise ValueError(
                "a text, number, true/false, list or table; dates and times are written in quotes"
            )


def parse_param_argument(argument: str) -> tuple[str, Json]:
    """Take `NAME=VALUE` apart: a VALUE that is JSON is read as such, any other is a text.

    A number is only what is spelled as Python spells it: `1.10` and `1e3` stay texts, so that the
    model gets what was typed. Raises ConfigError when there is no name.
    """
    name, value = split_param_argument(argument)
    return name, parse_param_value(value)


def split_param_argument(argument: str) -> tuple[str, RawParam]:
    """The name and the value of `NAME=VALUE`. Raises ConfigError when there is no name."""
    name, equals, value = argument.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--param: expected NAME=VALUE, got {argument!r}")
    return name.strip(), RawParam(value)


def _parse_raw_param(text: str) -> Json:
    try:
        value = parse_param_value(json.loads(text))
    except (ValueError, RecursionError):
        value = text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if (
        is_number
        and repr(value) != text
        and (text[0] != "-" or _CLI_NEGATIVE_NUMBER.fullmatch(text))
    ):
        return text
    if isinstance(value, str):
        check_references(value)
    return value


_CLI_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
"""Negative numbers that a command line takes as a value: `-1e5` must be written out."""

_DURATION_PATTERN = re.compile(
    r"(?:(?P<d>\d+(?:\.\d+)?)d)?\s*(?:(?P<h>\d+(?:\.\d+)?)h)?\s*(?:(?P<m>\d+(?:\.\d+)?)m)?\s*"
    r"(?:(?P<s>\d+(?:\.\d+)?)s)?\s*(?:(?P<ms>\d+(?:\.\d+)?)ms)?"
)
_SECONDS_PER_UNIT = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_SIZE_PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12} | {
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_SIZE_PATTERN = re.compile(r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<prefix>(?:[kmgt]i?)?)b?")
# Not in any case: a Mb would be eight times less than a MB.
_BANDWIDTH_PATTERN = re.compile(
    r"\s*(?P<amount>\d+(?:\.\d+)?)\s*(?P<prefix>(?:[kKMG]i?)?)(?P<unit>B|bit)/s\s*"
)


def _parse_duration_text(written: str) -> float | None:
    parts = _DURATION_PATTERN.fullmatch(written)
    if not parts:
        return None
    return sum(
        float(amount) * _SECONDS_PER_UNIT[unit] for unit, amount in parts.groupdict("0").items()
    )


def _parse_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _parse_whole_number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,15}\s*", value):
        return int(value)
    return None
