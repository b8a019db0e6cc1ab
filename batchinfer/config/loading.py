"""From file, environment and flags to one `Config`.

Each place is read as a list of settings; later settings win: default < run directory < file <
environment < flag. Every setting is checked, also one that another overrules. Messages name the
place, what was expected and what was found, but never show a secret.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from batchinfer.config import values
from batchinfer.config.sections import PARAMS, SECTIONS, Bucket, Config, Input, Run, Service
from batchinfer.domain import Json
from batchinfer.errors import ConfigError

PREFIX = "BATCHINFER_"
LOCAL = "BATCHINFER_LOCAL_"
"""Settings of `batchinfer local`, which is not configured here."""


def load(path: Path | None, env: Mapping[str, str], flags: Mapping[str, object]) -> Config:
    """Read the configuration of a new run.

    `flags` are named `section.key` ("run.timeout", "params.imgsz"); None means not given. Raises
    ConfigError.
    """
    return _build([*_from_file(path), *_from_env(env), *_from_flags(flags)])


def from_stored(
    stored: Mapping[str, Json],
    env: Mapping[str, str],
    flags: Mapping[str, object],
    path: Path | None = None,
) -> Config:
    """Read the configuration of a run that goes on: what it keeps (`Config.unexpanded`) comes
    first, and the others overrule it as in `load`. Raises ConfigError.
    """  # noqa: D205 - one thought, one sentence
    kept = _from_tables(stored, "run directory", Path())
    return _build([*kept, *_from_file(path), *_from_env(env), *_from_flags(flags)])


@dataclass(frozen=True, slots=True)
class _Setting:
    section: str
    key: str
    value: object
    where: str
    base: Path
    """What a relative path is relative to."""


def _build(settings: Iterable[_Setting]) -> Config:
    read: dict[str, dict[str, Any]] = {name: {} for name in (*SECTIONS, PARAMS)}
    origins: dict[str, str] = {}
    typed: dict[str, str] = {}
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
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None
    return _from_tables(tables, str(path), path.parent)


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
        section, _, key = name.partition(".")
        if section == PARAMS and key:
            yield _Setting(section, key, value, f"--param {key}", Path())
            continue
        if section not in SECTIONS:
            raise ConfigError(f"flags: {_unknown_section(section, {})}")
        _check_key(section, key, "flags")
        if value is not None:
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
