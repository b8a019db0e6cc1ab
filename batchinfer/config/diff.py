"""What sets two configurations of one run apart, so that their results must not be mixed. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from batchinfer import defaults
from batchinfer.config.sections import FREE_SECTIONS, SERVICES_SECTION
from batchinfer.domain import Json, Mode
from batchinfer.protocols.registry import DEFAULT_PROTOCOL

_NOT_SET = object()


def find_differences(stored: Mapping[str, Json], current: Mapping[str, Json]) -> Sequence[str]:
    """Say, in sentences, what differs in service, mode or parameters; nothing: they go together.

    Both as `Config.to_tables` gives them. How fast and how patiently a run goes about it may
    change freely, and so may the half that its mode does not use.
    """
    return [
        _describe_difference(section, key, old, new)
        for section, key, old, new in _iter_differences(
            stored, current, _list_compared_settings(stored, current)
        )
    ]


def find_merge_differences(
    first: Mapping[str, Json], second: Mapping[str, Json]
) -> Sequence[tuple[str, str, str]]:
    """What keeps two runs from being one: each setting, what it is in the first and the second.

    Both as a run directory keeps them. Besides what `find_differences` compares, which files are
    chosen from a source; not which shard of it.
    """
    settings = [
        *_list_compared_settings(first, second),
        *(("input", key) for key in ("include", "glob", "exclude", "only")),
    ]
    return [
        (f"{section}.{key}", _to_json(old), _to_json(new))
        for section, key, old, new in _iter_differences(first, second, settings)
    ]


def _list_compared_settings(
    stored: Mapping[str, Json], current: Mapping[str, Json]
) -> Sequence[tuple[str, str]]:
    settings = [("run", "mode"), ("service", "protocol")]
    if _get_setting(stored, "run", "mode") == Mode.ASYNC:
        settings += [("bucket", "endpoint"), ("bucket", "name")]
    else:
        settings += [("service", "endpoint")]
    settings += [("input", "file_param"), ("input", "frames")]
    for section in FREE_SECTIONS:
        names = {**_get_section(stored, section), **_get_section(current, section)}
        settings += [(section, name) for name in names]
    return settings


def _iter_differences(
    stored: Mapping[str, Json], current: Mapping[str, Json], settings: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, str, object, object]]:
    for section, key in settings:
        old, new = _get_setting(stored, section, key), _get_setting(current, section, key)
        if _to_json(old) != _to_json(new):
            yield section, key, old, new


def _describe_difference(section: str, key: str, old: object, new: object) -> str:
    if (section, key) == ("run", "mode"):
        return f"mode {old} (you asked for {new})"
    name = f"{section}.{key}"
    before = f"no {name}" if old is _NOT_SET else f"{name} {_to_json(old)}"
    return f"{before} (you asked for {'none' if new is _NOT_SET else _to_json(new)})"


def _get_setting(config: Mapping[str, Json], section: str, key: str) -> object:
    table = _get_section(config, section)
    services = config.get(SERVICES_SECTION)
    if (section, key) == ("service", "endpoint") and isinstance(services, Sequence):
        return sorted(
            str(each.get(key)).rstrip("/") for each in services if isinstance(each, Mapping)
        )
    match section, key:
        case "input", "file_param":
            return table.get(key, defaults.FILE_PARAM)
        case "service", "protocol":
            return table.get(key, DEFAULT_PROTOCOL)
        case _, "endpoint" if isinstance(url := table.get(key), str):
            return url.rstrip("/")
        case _:
            return table.get(key, _NOT_SET)


def _get_section(config: Mapping[str, Json], section: str) -> Mapping[str, Json]:
    table = config.get(section, {})
    return table if isinstance(table, Mapping) else {}


def _to_json(value: object) -> str:
    if value is _NOT_SET:
        return "not set"
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
