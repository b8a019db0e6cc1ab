"""The secrets of a configuration, to be taken out of whatever is written or shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from urllib.parse import unquote

from batchinfer.config.interpolation import iter_reference_names, parse_reference
from batchinfer.config.sections import SECTIONS, Config
from batchinfer.config.value_parsers import Secret
from batchinfer.domain import Json


def collect_secrets(config: Config, env: Mapping[str, str]) -> tuple[str, ...]:
    """Every secret value, the longest first."""
    found = {*collect_named_secrets(config, env).values(), *find_proxy_passwords(env)}
    return tuple(sorted(found - {""}, key=lambda value: (-len(value), value)))


def collect_named_secrets(config: Config, env: Mapping[str, str]) -> Mapping[str, str]:
    """The value of every secret of the configuration by its setting, or by its variable."""
    tables: Json = [dict(config.params), dict(config.protocol_options)]
    found = {f"${{{name}}}": env.get(name, "").strip() for name in iter_reference_names(tables)}
    for section in SECTIONS:
        for each in fields(SECTIONS[section]):
            match getattr(getattr(config, section), each.name):
                case Secret(text):
                    name = parse_reference(text)
                    value = text if name is None else env.get(name, "").strip()
                    found[f"{section}.{each.name}"] = value
                case _:
                    pass
    for service in config.services:
        match service.token:
            case Secret(text):
                name = parse_reference(text)
                value = text if name is None else env.get(name, "").strip()
                found[f"service.{service.name}.token"] = value
            case None:
                pass
    return {name: value for name, value in found.items() if value}


def find_proxy_passwords(env: Mapping[str, str]) -> Iterator[str]:
    """The passwords in the addresses of proxies, as written and as they are sent."""
    for name, address in env.items():
        if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            user, separator, _ = address.rpartition("@")
            password = user.rpartition("//")[2].partition(":")[2]
            if separator and password:
                yield from (password, unquote(password))
