"""From file, environment and flags to one `Config`.

Each place is read as a list of settings; later settings win: default < run directory < file <
file of variables (`env_files`) < environment < flag. Every setting is checked, also one that
another one overrides. Messages name the place, what was expected and what was found, but never
show a secret.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from batchinfer.config import value_parsers
from batchinfer.config.env_files import EnvFile, merge_env, read_env_file, read_env_files
from batchinfer.config.protocol_section import parse_protocol_option
from batchinfer.config.sections import (
    FREE_SECTIONS,
    ORIGIN_SECTION,
    PARAMS_SECTION,
    SECTIONS,
    SERVICES_SECTION,
    BucketSection,
    ClusterSection,
    Config,
    InputSection,
    RunSection,
    ServiceSection,
    SourceSection,
    WatchSection,
)
from batchinfer.config.service_blocks import combine_service_blocks, iter_service_blocks
from batchinfer.config.template import DEFAULT_CONFIG_FILE
from batchinfer.domain import Json
from batchinfer.errors import ConfigError, option
from batchinfer.protocols.registry import OPTIONS_SECTION
from batchinfer.sources.shard import Shard
from batchinfer.suggestions import suggest

ENV_PREFIX = "BATCHINFER_"
LOCAL_ENV_PREFIX = "BATCHINFER_LOCAL_"
"""Settings of `batchinfer local`, which is not configured here."""
ENV_FILE_FLAG = f"{ORIGIN_SECTION}.env_file"
"""The flag that names a file of environment variables: it is no setting."""


def load_config(
    path: Path | Config | None, env: Mapping[str, str], flags: Mapping[str, object]
) -> Config:
    """Read the configuration of a new run; of one that has been read, only override it.

    `flags` are named `section.first_key` ("run.timeout", "params.imgsz"), or `ENV_FILE_FLAG`; None
    means not given. Raises ConfigError.
    """
    if isinstance(path, Config):
        return _override_config(path, flags)
    env_files = [*_read_named_env_file(flags), *read_env_files([path or Path(DEFAULT_CONFIG_FILE)])]
    settings = [
        _iter_file_settings(path),
        _iter_env_settings(merge_env(env, env_files)),
        _iter_flag_settings(flags),
    ]
    return replace(
        _build_config(settings), file=path and path.absolute(), env_files=tuple(env_files)
    )


def load_stored_config(
    stored: Mapping[str, Json],
    env: Mapping[str, str],
    flags: Mapping[str, object],
    path: Path | None = None,
    run: Path | None = None,
) -> Config:
    """Read the configuration of a run that is resumed: what is stored with it, overridden by the
    other places as in `load_config`. Files of variables are looked for beside `path`, beside the
    config that the run was started with, in the current folder, and beside `run`. Raises
    ConfigError.
    """  # noqa: D205 - one thought
    tables = {name: table for name, table in stored.items() if name != ORIGIN_SECTION}
    if SERVICES_SECTION in tables:
        tables["service"] = tables.pop(SERVICES_SECTION)
    stored_settings = _iter_table_settings(tables, "run directory", Path())
    original_file = get_stored_path(stored)
    defaults = [
        Path(DEFAULT_CONFIG_FILE),
        *([run.absolute().with_name(DEFAULT_CONFIG_FILE)] if run else []),
    ]
    configs = [each for each in (path, original_file, *defaults) if each]
    named_env_file = get_stored_path(stored, "env_file")
    env_files = [
        *_read_named_env_file(flags),
        *read_env_files(configs, [named_env_file] if named_env_file else []),
    ]
    variables = merge_env(env, env_files)
    settings = [
        stored_settings,
        _iter_file_settings(path),
        _iter_env_settings(variables),
        _iter_flag_settings(flags),
    ]
    return replace(_build_config(settings), file=original_file, env_files=tuple(env_files))


def _override_config(config: Config, flags: Mapping[str, object]) -> Config:
    settings = list(_iter_flag_settings(flags))
    read = _build_config([settings])
    given = {(each.section, each.key) for each in settings}
    if given & _INCLUDE_KEYS:
        given |= _INCLUDE_KEYS
    sections: dict[str, Any] = {
        name: replace(
            getattr(config, name),
            **{key: getattr(getattr(read, name), key) for section, key in given if section == name},
        )
        for name in SECTIONS
    }
    services = config.services
    if services and (given_service := {key for section, key in given if section == "service"}):
        changes = {key: getattr(read.service, key) for key in given_service}
        services = combine_service_blocks(
            {str(each.name): _collect_keys(each) for each in services}, changes, read.origins
        )
        sections["service"] = services[0]
    return replace(
        config,
        **sections,
        services=services,
        params={**config.params, **read.params},
        protocol_options={**config.protocol_options, **read.protocol_options},
        origins={**config.origins, **read.origins},
        raw_params={**config.raw_params, **read.raw_params},
        env_files=(*_read_named_env_file(flags), *config.env_files),
    )


def _collect_keys(section: ServiceSection) -> dict[str, Any]:
    return {each.name: getattr(section, each.name) for each in fields(section)}


def get_stored_path(stored: Mapping[str, Json], which: str = "file") -> Path | None:
    """The config (or `env_file`) that a run was started with; it may not exist any more."""
    table = stored.get(ORIGIN_SECTION)
    name = table.get(which) if isinstance(table, Mapping) else None
    return Path(name) if isinstance(name, str) else None


def get_stored_shard(stored: Mapping[str, Json]) -> Shard | None:
    """The shard that a run holds, by what it keeps of its configuration; None: all.

    Raises ConfigError when that cannot be read.
    """
    table = stored.get("input")
    text = table.get("shard") if isinstance(table, Mapping) else None
    if text is None:
        return None
    try:
        return value_parsers.parse_shard(text)
    except ValueError as error:
        raise ConfigError(f"run directory: [input] shard: expected {error}, got {text!r}") from None


def _read_named_env_file(flags: Mapping[str, object]) -> list[EnvFile]:
    path = flags.get(ENV_FILE_FLAG)
    return [] if path is None else [read_env_file(Path(str(path)))]


@dataclass(frozen=True, slots=True)
class _Setting:
    section: str
    key: str
    value: object
    origin: str
    base_folder: Path
    """What a relative path is relative to."""
    block: str | None = None
    """Name of the `[[service]]` block that it stands in; None: in a section."""


def _build_config(layers: Iterable[Iterable[_Setting]]) -> Config:
    parsed: dict[str, dict[str, Any]] = {name: {} for name in (*SECTIONS, *FREE_SECTIONS)}
    origins: dict[str, str] = {}
    raw_params: dict[str, str] = {}
    blocks: dict[str, dict[str, Any]] = {}
    for layer in layers:
        settings = list(layer)
        if any(each.block is not None for each in settings):
            parsed["service"] = {}
        if any((each.section, each.key) in _INCLUDE_KEYS for each in settings):
            for section, key in _INCLUDE_KEYS:  # one place overrules another in both names
                parsed[section].pop(key, None)
        for setting in settings:
            if isinstance(setting.value, value_parsers.RawParam):
                raw_params[setting.key] = setting.value.text
            if setting.block is None:
                parsed[setting.section][setting.key] = _parse_setting(setting)
                origins[f"{setting.section}.{setting.key}"] = setting.origin
            else:
                blocks.setdefault(setting.block, {})[setting.key] = _parse_setting(setting)
                origins[f"service.{setting.block}.{setting.key}"] = setting.origin
    services = combine_service_blocks(blocks, parsed["service"], origins)
    return Config(
        service=services[0] if services else ServiceSection(**parsed["service"]),
        services=services,
        bucket=BucketSection(**parsed["bucket"]),
        input=InputSection(**parsed["input"]),
        params=parsed[PARAMS_SECTION],
        protocol_options=parsed[OPTIONS_SECTION],
        run=RunSection(**parsed["run"]),
        watch=WatchSection(**parsed["watch"]),
        cluster=ClusterSection(**parsed["cluster"]),
        source=SourceSection(**parsed["source"]),
        origins=origins,
        raw_params=raw_params,
    )


_INCLUDE_KEYS = {("input", "include"), ("input", "glob")}


def _parse_setting(setting: _Setting) -> object:
    if setting.section == OPTIONS_SECTION:
        return parse_protocol_option(setting.key, setting.value, setting.origin)
    metadata: Mapping[str, Any] = {"read": value_parsers.parse_param_value}
    if setting.section != PARAMS_SECTION:
        known = {each.name: each.metadata for each in fields(SECTIONS[setting.section])}
        metadata = known[setting.key]
    try:
        value = metadata["read"](setting.value)
    except ValueError as error:
        shown = _format_value(setting.value, hide=metadata["read"] is value_parsers.parse_secret)
        raise ConfigError(f"{setting.origin}: expected {error}, got {shown}") from None
    if "path" not in metadata:
        return value
    if isinstance(value, tuple):
        return tuple([_make_absolute(each, setting.base_folder) for each in value])
    return _make_absolute(value, setting.base_folder)


def _make_absolute(path: str, base_folder: Path) -> str:
    if path.startswith("${"):
        return path
    return str((base_folder / Path(path).expanduser()).absolute())


def _iter_file_settings(path: Path | None) -> Iterator[_Setting]:
    if path is None:
        return iter(())
    try:
        tables = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; `batchinfer init {path}` writes one to fill in"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {_explain_toml_error(error, path)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is not valid TOML: it is nested too deeply") from None
    return _iter_table_settings(tables, str(path), path.parent)


def _explain_toml_error(error: tomllib.TOMLDecodeError, path: Path) -> str:
    what, _, place = str(error).partition(" (at ")
    where = place.partition(",")[0].rstrip(")") or "somewhere"
    if what == "Invalid value":
        what = 'text needs quotes, for example mode = "sync"'
    is_other_format = path.suffix.lower() not in {"", ".toml"}
    hint = f" (a {path.suffix} file? Only TOML is read)" if is_other_format else ""
    return f"is not valid TOML: {where}: {what}{hint}"


def _iter_table_settings(
    tables: Mapping[str, object], place: str, base_folder: Path
) -> Iterator[_Setting]:
    for section, table in tables.items():
        if section not in SECTIONS and section not in FREE_SECTIONS:
            raise ConfigError(f"{place}: {_unknown_section_message(section, table)}")
        if section == "service" and isinstance(table, list):
            for name, block in iter_service_blocks(table, place):
                for key, value in block.items():
                    _check_key(section, key, place)
                    where = f'{place}: [[service]] "{name}" {key}'
                    yield _Setting(section, key, value, where, base_folder, name)
            continue
        if not isinstance(table, Mapping):
            raise ConfigError(f"{place}: {section} is a section: write [{section}] on its own line")
        for key, value in table.items():
            _check_key(section, key, place)
            yield _Setting(section, key, value, f"{place}: [{section}] {key}", base_folder)


def _iter_env_settings(env: Mapping[str, str]) -> Iterator[_Setting]:
    known = {
        f"{ENV_PREFIX}{section}_{each.name}".upper(): (section, each.name)
        for section, keys in SECTIONS.items()
        for each in fields(keys)
    }
    for name, value in env.items():
        if not name.startswith(ENV_PREFIX) or name.startswith(LOCAL_ENV_PREFIX):
            continue
        if name.startswith(f"{ENV_PREFIX}PARAMS_"):
            raise ConfigError(
                f"environment: {name}: parameters are not taken from the environment (names of "
                f"parameters are case-sensitive); use {option(PARAMS_SECTION)} or [params]"
            )
        if name not in known:
            raise ConfigError(
                f"environment: there is no setting {name}."
                f"{_suggest_nearest(name, _list_likely_variables(known))} Unset it."
            )
        if value.strip():
            section, key = known[name]
            yield _Setting(section, key, value, f"environment: {name}", Path())


def _list_likely_variables(known: Iterable[str]) -> list[str]:
    """Without those of `[source]` that `[service]` has, too: few runs need them."""
    names = set(known)
    return [
        name for name in names if name.replace("_SOURCE_", "_SERVICE_", 1) not in names - {name}
    ]


def _iter_flag_settings(flags: Mapping[str, object]) -> Iterator[_Setting]:
    for name, value in flags.items():
        if name == ENV_FILE_FLAG:
            continue
        section, _, key = name.partition(".")
        if section == PARAMS_SECTION and key:
            yield _Setting(section, key, value, option(PARAMS_SECTION, key), Path())
            continue
        if section == OPTIONS_SECTION and key:
            yield _Setting(section, key, value, f"[{section}] {key}", Path())
            continue
        if section not in SECTIONS:
            raise ConfigError(f"flags: {_unknown_section_message(section, {})}")
        _check_key(section, key, "flags")
        if value is not None and value != ():  # a flag that may be repeated, and was not given
            yield _Setting(section, key, value, option(key), Path())


def _check_key(section: str, key: str, place: str) -> None:
    if section in FREE_SECTIONS:
        return
    known = [each.name for each in fields(SECTIONS[section])]
    if key not in known:
        raise ConfigError(
            f'{place}: [{section}] has no key "{key}".{_suggest_nearest(key, known)} It has '
            f"{', '.join(known)}."
        )


def _unknown_section_message(name: str, table: object) -> str:
    sections = [f"[{section}]" for section, keys in SECTIONS.items() if hasattr(keys, name)]
    if sections and not isinstance(table, Mapping):
        return f'"{name}" stands outside any section; it belongs in {" or ".join(sections)}'
    known = [*SECTIONS, *FREE_SECTIONS]
    listed = ", ".join(f"[{section}]" for section in known)
    hint = _suggest_nearest(name, known, "[{}]".format)
    return f"there is no section [{name}].{hint} There are {listed}."


def _suggest_nearest(
    name: str, known: Iterable[str], quote: Callable[[str], str] = '"{}"'.format
) -> str:
    return suggest(name, known, quote=quote, cutoff=0.5)


def _format_value(value: object, *, hide: bool) -> str:
    match value:
        case _ if hide:
            kind = "a text" if isinstance(value, str) else "something that is no text"
            return f"{kind} (not shown)"
        case bool():
            return str(value).lower()
        case str() | value_parsers.RawParam():
            value = value.text if isinstance(value, value_parsers.RawParam) else value
            return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'  # noqa: PLR2004 - a line
        case Mapping():
            return "a table"
        case Sequence():
            return "a list"
        case _:
            return str(value)
