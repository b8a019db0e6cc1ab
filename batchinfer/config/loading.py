"""From file, environment and flags to one `Config`.

Each place is read as a list of settings; later settings win: default < run directory < file <
file of variables (`env_files`) < environment < flag. Every setting is checked, also one that
another overrules. Messages name the place, what was expected and what was found, but never show a
secret.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from batchinfer.config import values
from batchinfer.config.env_files import EnvFile, merge_env, read_env_file, read_env_files
from batchinfer.config.sections import ORIGIN, PARAMS, SECTIONS, Bucket, Config, Input, Run, Service
from batchinfer.config.template import DEFAULT_FILE
from batchinfer.domain import Json
from batchinfer.errors import ConfigError

PREFIX = "BATCHINFER_"
LOCAL = "BATCHINFER_LOCAL_"
"""Settings of `batchinfer local`, which is not configured here."""
ENV_FILE = f"{ORIGIN}.env_file"
"""The flag that names a file of environment variables: it is no setting."""


def load(path: Path | None, env: Mapping[str, str], flags: Mapping[str, object]) -> Config:
    """Read the configuration of a new run.

    `flags` are named `section.key` ("run.timeout", "params.imgsz"), or `ENV_FILE`; None means not
    given. Raises ConfigError.
    """
    found = [*_named_env_file(flags), *read_env_files([path or Path(DEFAULT_FILE)])]
    settings = [_from_file(path), _from_env(merge_env(env, found)), _from_flags(flags)]
    return replace(_build(settings), file=path and path.absolute(), env_files=tuple(found))


def from_stored(
    stored: Mapping[str, Json],
    env: Mapping[str, str],
    flags: Mapping[str, object],
    path: Path | None = None,
    run: Path | None = None,
) -> Config:
    """Read the configuration of a run that goes on: what it keeps (`Config.stored`) comes
    first, and the others overrule it as in `load`. Files of variables are looked for beside `path`,
    the config that the run was started with, here, and beside `run`. Raises ConfigError.
    """  # noqa: D205 - one thought, one sentence
    tables = {name: table for name, table in stored.items() if name != ORIGIN}
    kept = _from_tables(tables, "run directory", Path())
    first = stored_file(stored)
    here = [Path(DEFAULT_FILE), *([run.absolute().with_name(DEFAULT_FILE)] if run else [])]
    configs = [each for each in (path, first, *here) if each]
    named = stored_file(stored, "env_file")
    found = [*_named_env_file(flags), *read_env_files(configs, [named] if named else [])]
    variables = merge_env(env, found)
    settings = [kept, _from_file(path), _from_env(variables), _from_flags(flags)]
    return replace(_build(settings), file=first, env_files=tuple(found))


def stored_file(stored: Mapping[str, Json], which: str = "file") -> Path | None:
    """The config (or `env_file`) that a run was started with, as it keeps it; it may be gone."""
    table = stored.get(ORIGIN)
    name = table.get(which) if isinstance(table, Mapping) else None
    return Path(name) if isinstance(name, str) else None


def _named_env_file(flags: Mapping[str, object]) -> list[EnvFile]:
    path = flags.get(ENV_FILE)
    return [] if path is None else [read_env_file(Path(str(path)))]


@dataclass(frozen=True, slots=True)
class _Setting:
    section: str
    key: str
    value: object
    where: str
    base: Path
    """What a relative path is relative to."""


def _build(places: Iterable[Iterable[_Setting]]) -> Config:
    read: dict[str, dict[str, Any]] = {name: {} for name in (*SECTIONS, PARAMS)}
    origins: dict[str, str] = {}
    typed: dict[str, str] = {}
    for place in places:
        settings = list(place)
        if any((each.section, each.key) in _INCLUDES for each in settings):
            for section, key in _INCLUDES:  # one place overrules another in both names
                read[section].pop(key, None)
        for setting in settings:
            if isinstance(setting.value, values.Typed):
                typed[setting.key] = setting.value.text
            read[setting.section][setting.key] = _read(setting)
            origins[f"{setting.section}.{setting.key}"] = setting.where
    return Config(
        service=Service(**read["service"]),
        bucket=Bucket(**read["bucket"]),
        input=Input(**read["input"]),
        params=read[PARAMS],
        run=Run(**read["run"]),
        origins=origins,
        typed=typed,
    )


_INCLUDES = (("input", "include"), ("input", "glob"))


def _read(setting: _Setting) -> object:
    metadata: Mapping[str, Any] = {"read": values.param}
    if setting.section != PARAMS:
        known = {each.name: each.metadata for each in fields(SECTIONS[setting.section])}
        metadata = known[setting.key]
    try:
        value = metadata["read"](setting.value)
    except ValueError as error:
        shown = _shown(setting.value, hide=metadata["read"] is values.secret)
        raise ConfigError(f"{setting.where}: expected {error}, got {shown}") from None
    if "path" in metadata and not value.startswith("${"):
        return str((setting.base / Path(value).expanduser()).absolute())
    return value


def _from_file(path: Path | None) -> Iterator[_Setting]:
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
        raise ConfigError(f"{path}: {_why_no_toml(error, path)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is not valid TOML: it is nested too deeply") from None
    return _from_tables(tables, str(path), path.parent)


def _why_no_toml(error: tomllib.TOMLDecodeError, path: Path) -> str:
    what, _, place = str(error).partition(" (at ")
    where = place.partition(",")[0].rstrip(")") or "somewhere"
    if what == "Invalid value":
        what = 'text needs quotes, for example mode = "sync"'
    other = path.suffix.lower() not in {"", ".toml"}
    hint = f" (a {path.suffix} file? Only TOML is read)" if other else ""
    return f"is not valid TOML: {where}: {what}{hint}"


def _from_tables(tables: Mapping[str, object], place: str, base: Path) -> Iterator[_Setting]:
    for section, table in tables.items():
        if section not in SECTIONS and section != PARAMS:
            raise ConfigError(f"{place}: {_unknown_section(section, table)}")
        if not isinstance(table, Mapping):
            raise ConfigError(f"{place}: {section} is a section: write [{section}] on its own line")
        for key, value in table.items():
            _check_key(section, key, place)
            yield _Setting(section, key, value, f"{place}: [{section}] {key}", base)


def _from_env(env: Mapping[str, str]) -> Iterator[_Setting]:
    known = {
        f"{PREFIX}{section}_{each.name}".upper(): (section, each.name)
        for section, keys in SECTIONS.items()
        for each in fields(keys)
    }
    for name, value in env.items():
        if not name.startswith(PREFIX) or name.startswith(LOCAL):
            continue
        if name.startswith(f"{PREFIX}PARAMS_"):
            raise ConfigError(
                f"environment: {name}: parameters are not taken from the environment (names of "
                "parameters are case-sensitive); use --param NAME=VALUE or [params]"
            )
        if name not in known:
            raise ConfigError(
                f"environment: there is no setting {name}.{_nearest(name, known)} Unset it."
            )
        if value.strip():
            section, key = known[name]
            yield _Setting(section, key, value, f"environment: {name}", Path())


def _from_flags(flags: Mapping[str, object]) -> Iterator[_Setting]:
    for name, value in flags.items():
        if name == ENV_FILE:
            continue
        section, _, key = name.partition(".")
        if section == PARAMS and key:
            yield _Setting(section, key, value, f"--param {key}", Path())
            continue
        if section not in SECTIONS:
            raise ConfigError(f"flags: {_unknown_section(section, {})}")
        _check_key(section, key, "flags")
        if value is not None and value != ():  # a flag that may be repeated, and was not given
            yield _Setting(section, key, value, f"--{key.replace('_', '-')}", Path())


def _check_key(section: str, key: str, place: str) -> None:
    if section == PARAMS:
        return
    known = [each.name for each in fields(SECTIONS[section])]
    if key not in known:
        raise ConfigError(
            f'{place}: [{section}] has no key "{key}".{_nearest(key, known)} It has '
            f"{', '.join(known)}."
        )


def _unknown_section(name: str, table: object) -> str:
    homes = [f"[{section}]" for section, keys in SECTIONS.items() if hasattr(keys, name)]
    if homes and not isinstance(table, Mapping):
        return f'"{name}" stands outside any section; it belongs in {" or ".join(homes)}'
    known = [*SECTIONS, PARAMS]
    listed = ", ".join(f"[{section}]" for section in known)
    return f"there is no section [{name}].{_nearest(name, known, '[{}]')} There are {listed}."


def _nearest(name: str, known: Iterable[str], form: str = '"{}"') -> str:
    folded = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return f" Did you mean {form.format(folded[close[0]])}?" if close else ""


def _shown(value: object, *, hide: bool) -> str:
    match value:
        case _ if hide:
            kind = "a text" if isinstance(value, str) else "something that is no text"
            return f"{kind} (not shown)"
        case bool():
            return str(value).lower()
        case str() | values.Typed():
            value = value.text if isinstance(value, values.Typed) else value
            return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'  # noqa: PLR2004 - a line
        case Mapping():
            return "a table"
        case Sequence():
            return "a list"
        case _:
            return str(value)
