"""Values of `--param`, once the model's help tells their types.

`--param x=true` is read as a truth, `--param x=[1,2]` as a list, for most models take them so. A
parameter that is a text by the model's own help gets what was typed, sign for sign.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from batchinfer.config import Config, Resolved
from batchinfer.config.sections import PARAMS
from batchinfer.domain import Json, RunInfo
from batchinfer.oscar.schema import Parameter, Schema


def keep_texts(
    config: Config, resolved: Resolved, schema: Schema | None
) -> tuple[Config, Resolved]:
    """Both with the text that was typed for each parameter that is a text to the model."""
    texts = {
        name: text
        for name, text in config.typed.items()
        if schema is not None
        and not isinstance(config.params.get(name), str)
        and _is_text(_parameter(schema, name))
    }
    return _with(config, resolved, texts)


def keep_stored(config: Config, resolved: Resolved, info: RunInfo) -> tuple[Config, Resolved]:
    """Both with the numbers that a run was begun with, where the same numbers were typed.

    Earlier versions read `0.50` as 0.5: such a run goes on with that.
    """
    stored = info.config.get(PARAMS)
    known = stored if isinstance(stored, Mapping) else {}
    same = {
        name: known[name]
        for name, text in config.typed.items()
        if _is_number(known.get(name))
        and config.params[name] == text
        and _reads_as(text, known[name])
    }
    return _with(config, resolved, same)


def _with(
    config: Config, resolved: Resolved, params: Mapping[str, Json]
) -> tuple[Config, Resolved]:
    if not params:
        return config, resolved
    return (
        replace(config, params={**config.params, **params}),
        replace(resolved, params={**resolved.params, **params}),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reads_as(text: str, number: object) -> bool:
    try:
        return bool(json.loads(text) == number)
    except (ValueError, RecursionError):
        return False


def _parameter(schema: Schema, name: str) -> Parameter | None:
    options = schema.full_names(name)
    return schema.names.get(options[0]) if len(options) == 1 else None


def _is_text(parameter: Parameter | None) -> bool:
    return parameter is not None and parameter.type == "str" and not parameter.is_file
