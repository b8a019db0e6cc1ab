"""The section `[protocol]`: any keys, whose values are kept with the run. Pure.

What is kept must be no secret. Which option is one, only the protocol knows; but what goes by the
name of a secret (`headers.Authorization`, `api_key`) is taken from the environment, or refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from batchinfer.config.interpolation import iter_reference_names
from batchinfer.config.value_parsers import parse_param_value
from batchinfer.domain import Json
from batchinfer.errors import ConfigError

_SECRET_NAME: Final = re.compile(
    r"(.*[-_.])?(authorization|api[-_]?key|access[-_]?key|secret([-_]key)?|token|password|cookie"
    r"|credentials?)",
    re.IGNORECASE,
)


def parse_protocol_option(name: str, value: object, origin: str) -> Json:
    """An option: whatever JSON can say. `origin`: its place, for messages. Raises ConfigError."""
    try:
        parsed = parse_param_value(value)
    except ValueError as error:
        raise ConfigError(f"{origin}: expected {error}") from None
    for path, text in _iter_texts(parsed, name):
        is_reference = next(iter_reference_names(text), None) is not None
        if text and not is_reference and _SECRET_NAME.fullmatch(path.rpartition(".")[2]):
            raise ConfigError(
                f'{origin}: {path} is a secret by its name: write it as "${{NAME}}", which stands '
                "for the environment variable NAME, so that it is not kept with the run"
            )
    return parsed


def _iter_texts(value: Json, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case Mapping():
            for name, each in value.items():
                yield from _iter_texts(each, f"{path}.{name}")
        case Sequence():
            for each in value:
                yield from _iter_texts(each, path)
        case _:
            return
