"""What a run keeps of how it reads its source: its choice (`--sample`, `--order`), whether it
watches it.
"""  # noqa: D205 - one thought

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from batchinfer.config.sections import Config
from batchinfer.config.value_parsers import parse_count, parse_order, parse_seed
from batchinfer.domain import Json
from batchinfer.errors import ConfigError
from batchinfer.sources.item_choice import ItemChoice

_PARSERS: Final[Mapping[str, Any]] = {
    "sample": parse_count,
    "seed": parse_seed,
    "order": parse_order,
}
"""The keys of the section [input] that make the choice."""


def get_stored_choice(stored: Mapping[str, Json]) -> ItemChoice:
    """What a run has chosen, by what it keeps of its configuration. Raises ConfigError."""
    table = stored.get("input")
    given = table if isinstance(table, Mapping) else {}
    values = {}
    for key, parse in _PARSERS.items():
        if key in given:
            try:
                values[key] = parse(given[key])
            except ValueError as error:
                raise ConfigError(
                    f"run directory: [input] {key}: expected {error}, got {given[key]!r}"
                ) from None
    return ItemChoice(**values)


def keep_stored_choice(config: Config, stored: Mapping[str, Json]) -> Config:
    """The configuration with the choice of its run, unless another one was asked for."""
    if any(f"input.{key}" in config.origins for key in _PARSERS):
        return config
    kept = get_stored_choice(stored)
    return replace(
        config, input=replace(config.input, sample=kept.sample, seed=kept.seed, order=kept.order)
    )


def is_watched(stored: Mapping[str, Json]) -> bool:
    """Whether a run watches its source, by what it keeps of its configuration."""
    table = stored.get("watch")
    return isinstance(table, Mapping) and table.get("enabled") is True
