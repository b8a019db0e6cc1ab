"""Values of `--param`, once the model's help tells their types.

`--param x=true` is read as a truth, `--param x=[1,2]` as a list, for most models take them so. A
parameter that is a text by the model's own help gets what was typed, sign for sign.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from batchinfer.config import Config, RunSettings
from batchinfer.config.sections import PARAMS_SECTION
from batchinfer.domain import Json, RunInfo
from batchinfer.protocols.model_schema import ModelSchema, Parameter


def restore_text_params(
    config: Config, settings: RunSettings, schema: ModelSchema | None
) -> tuple[Config, RunSettings]:
    """Both with the text that was typed for each parameter that is a text to the model."""
    texts = {
        name: text
        for name, text in config.raw_params.items()
        if schema is not None
        and not isinstance(config.params.get(name), str)
        and _takes_text(_find_parameter(schema, name))
    }
    return _replace_params(config, settings, texts)


def restore_stored_numbers(
    config: Config, settings: RunSettings, info: RunInfo
) -> tuple[Config, RunSettings]:
    """Both with the numbers that a run was begun with, where the same numbers were typed.

    Earlier versions read `0.50` as 0.5: such a run goes on with that.
    """
    stored = info.config.get(PARAMS_SECTION)
    stored_params = stored if isinstance(stored, Mapping) else {}
    same = {
        name: stored_params[name]
        for name, text in config.raw_params.items()
        if _is_number(stored_params.get(name))
        and config.params[name] == text
        and _parses_as(text, stored_params[name])
    }
    return _replace_params(config, settings, same)


def _replace_params(
    config: Config, settings: RunSettings, params: Mapping[str, Json]
) -> tuple[Config, RunSettings]:
    if not params:
        return config, settings
    return (
        replace(config, params={**config.params, **params}),
        replace(settings, params={**settings.params, **params}),
    )


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
