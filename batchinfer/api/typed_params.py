"""Values of `--param`, once their types are known from the model's help. Pure.

`--param x=true` is read as a boolean and `--param x=[1,2]` as a list, as most models expect. A
parameter that is a string by the model's own help gets exactly the characters that were typed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from batchinfer.config import Config
from batchinfer.config.sections import PARAMS_SECTION
from batchinfer.domain import Json, RunInfo
from batchinfer.protocols.model_schema import ModelSchema, Parameter


def find_text_params(config: Config, schema: ModelSchema | None) -> Mapping[str, Json]:
    """What was typed for each parameter that is a string to the model."""
    return {
        name: text
        for name, text in config.raw_params.items()
        if schema is not None
        and not isinstance(config.params.get(name), str)
        and _takes_text(_find_parameter(schema, name))
    }


def find_stored_numbers(config: Config, info: RunInfo) -> Mapping[str, Json]:
    """The numbers that a run was started with, where the same numbers were typed.

    Earlier versions read `0.50` as 0.5: such a run continues with that.
    """
    stored = info.config.get(PARAMS_SECTION)
    stored_params = stored if isinstance(stored, Mapping) else {}
    return {
        name: stored_params[name]
        for name, text in config.raw_params.items()
        if _is_number(stored_params.get(name))
        and config.params[name] == text
        and _parses_as(text, stored_params[name])
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parses_as(text: str, number: object) -> bool:
    try:
        return bool(json.loads(text) == number)
    except (ValueError, RecursionError):
        return False


def _find_parameter(schema: ModelSchema, name: str) -> Parameter | None:
    options = schema.expand_name(name)
    return schema.names.get(options[0]) if len(options) == 1 else None


def _takes_text(parameter: Parameter | None) -> bool:
    return parameter is not None and parameter.type == "str" and not parameter.is_file
