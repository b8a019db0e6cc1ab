"""What sets two configurations of one run apart, so that their results must not be mixed. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from batchinfer.config.sections import FILE_PARAM, PARAMS
from batchinfer.domain import Json, Mode

_MISSING = object()


def differences(stored: Mapping[str, Json], now: Mapping[str, Json]) -> Sequence[str]:
    """Say, in sentences, what differs in service, mode or parameters; nothing: they go together.

    Both as `Config.unexpanded` gives them. How fast and how patiently a run goes about it may
    change freely, and so may the half that its mode does not use.
    """
    places = [("run", "mode")]
    if _get(stored, "run", "mode") == Mode.ASYNC:
        places += [("bucket", "endpoint"), ("bucket", "name")]
    else:
        places += [("service", "endpoint")]
    places += [("input", "file_param")]
    names = {**_table(stored, PARAMS), **_table(now, PARAMS)}
    places += [(PARAMS, name) for name in names]
    return list(_sentences(stored, now, places))


def _sentences(
    stored: Mapping[str, Json], now: Mapping[str, Json], places: Sequence[tuple[str, str]]
) -> Iterator[str]:
    for section, key in places:
        was, is_ = _get(stored, section, key), _get(now, section, key)
        if _spelled(was) != _spelled(is_):
            yield _sentence(section, key, was, is_)


def _sentence(section: str, key: str, was: object, is_: object) -> str:
    if (section, key) == ("run", "mode"):
        return f"mode {was} (you asked for {is_})"
    name = f"{section}.{key}"
    before = f"no {name}" if was is _MISSING else f"{name} {_spelled(was)}"
    return f"{before} (you asked for {'none' if is_ is _MISSING else _spelled(is_)})"


def _get(config: Mapping[str, Json], section: str, key: str) -> object:
    table = _table(config, section)
    match section, key:
        case "input", "file_param":
            return table.get(key, FILE_PARAM)
        case _, "endpoint" if isinstance(url := table.get(key), str):
            return url.rstrip("/")
        case _:
            return table.get(key, _MISSING)


def _table(config: Mapping[str, Json], section: str) -> Mapping[str, Json]:
    table = config.get(section, {})
    return table if isinstance(table, Mapping) else {}


def _spelled(value: object) -> str:
    if value is _MISSING:
        return "not set"
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
