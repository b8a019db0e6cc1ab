"""The options of the protocol `oscar`: the keys of `[protocol]`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, Literal, cast, get_args

from batchinfer.domain import Json
from batchinfer.protocols.output_files_protocol import STEM
from batchinfer.protocols.protocol_options import make_option_error

Encoding = Literal["base64", "raw"]
AnswerKind = Literal["auto", "file", "text"]

DEFAULT_INPUT_PATH: Final = "inputs"
DEFAULT_OUTPUT_PATH: Final = "outputs"
DEFAULT_QUIET_SECONDS: Final = 10.0
DEFAULT_PATTERN_QUIET_SECONDS: Final = 60.0
"""With `outputs`: how long the last missing one is waited for."""
_SECONDS_BY_UNIT: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")
_PATH: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)*")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,62}")


@dataclass(frozen=True, slots=True)
class OscarOptions:
    """What a service is told about how it is used; its defaults suit most."""

    encoding: Encoding = "base64"
    """Sync mode: how the file is sent. Only texts can be sent raw to most services."""
    answer: AnswerKind = "auto"
    """Sync mode: what the service answers with. `file`: a text is a failure; `text`: base64 in it
    is not looked for; `auto`: a body that is one base64 text is a file."""
    input_path: str = DEFAULT_INPUT_PATH
    output_path: str = DEFAULT_OUTPUT_PATH
    """Async mode: folders of the bucket."""
    output_bucket: str | None = None
    """Async mode: the bucket with `output_path`; None: that of the inputs."""
    outputs: tuple[str, ...] = ()
    """Async mode: see `OutputFilesProtocol.patterns`."""
    quiet: float = DEFAULT_QUIET_SECONDS
    """Async mode: see `OutputFilesProtocol.quiet_seconds`."""


OSCAR_OPTION_NAMES: Final = tuple(field.name for field in fields(OscarOptions))


def parse_options(options: Mapping[str, Json]) -> OscarOptions:
    """The options, each checked. Raises BadProtocolOption, which quotes no value."""
    patterns = _parse_patterns(options.get("outputs", ()))
    default_quiet = DEFAULT_PATTERN_QUIET_SECONDS if patterns else DEFAULT_QUIET_SECONDS
    parsed = OscarOptions(
        encoding=cast("Encoding", _parse_choice(options, "encoding", get_args(Encoding))),
        answer=cast("AnswerKind", _parse_choice(options, "answer", get_args(AnswerKind))),
        input_path=_parse_path(options, "input_path", DEFAULT_INPUT_PATH),
        output_path=_parse_path(options, "output_path", DEFAULT_OUTPUT_PATH),
        output_bucket=_parse_bucket(options.get("output_bucket")),
        outputs=patterns,
        quiet=_parse_duration(options["quiet"]) if "quiet" in options else default_quiet,
    )
    one, other = f"{parsed.input_path}/", f"{parsed.output_path}/"
    if one.startswith(other) or other.startswith(one):
        raise make_option_error(
            "output_path",
            "must be another folder than input_path, and neither in the other: what the service "
            "writes would start it again.",
        )
    return parsed


def _parse_choice(options: Mapping[str, Json], name: str, choices: Sequence[str]) -> str:
    value = options.get(name, choices[0])
    if value not in choices:
        raise make_option_error(name, f"is one of: {', '.join(choices)}.")
    return cast("str", value)


def _parse_path(options: Mapping[str, Json], name: str, default: str) -> str:
    value = options.get(name, default)
    path = value.strip("/") if isinstance(value, str) else ""
    if not _PATH.fullmatch(path) or ".." in path.split("/"):
        raise make_option_error(
            name,
            f'is a folder of the bucket, as "{default}" or "a/{default}", and does not name the '
            "bucket.",
        )
    return path


def _parse_bucket(value: Json) -> str | None:
    if value is None or (isinstance(value, str) and _BUCKET.fullmatch(value)):
        return value
    raise make_option_error("output_bucket", "is the name of a bucket.")


def _parse_patterns(value: Json) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, Sequence) or not all(
        isinstance(each, str) and each.startswith(STEM) for each in patterns
    ):
        raise make_option_error(
            "outputs", f'is a list of names that begin with {STEM}, as "{STEM}*.json".'
        )
    return tuple(cast("Sequence[str]", patterns))


def _parse_duration(value: Json) -> float:
    """Seconds: a number, or a text as `30s`, `2m`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{value}"
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise make_option_error("quiet", 'is a duration, as "30s" or "2m".')
    return float(found[1]) * _SECONDS_BY_UNIT[found[2]]
