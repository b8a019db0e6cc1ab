"""Where items are sent to: the service, several of them, or the bucket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from batchinfer.config.run_settings import BucketSettings, ServiceSettings
from batchinfer.config.sections import ServiceSection
from batchinfer.config.setting_reader import SettingReader
from batchinfer.domain import Mode
from batchinfer.protocols.inference_protocol import InferenceProtocol


def _resolve_service(reader: SettingReader, protocol: InferenceProtocol | None) -> ServiceSettings:
    has_token = reader.config.service.token is not None
    needs_token = protocol is None or protocol.needs_token
    return ServiceSettings(
        endpoint=_resolve_endpoint(reader, "service"),
        token=_resolve_credential(reader, "service", "token") if has_token or needs_token else "",
        ca_file=_resolve_ca_file(reader, "service"),
        verify=reader.config.service.verify,
    )


def resolve_services(
    reader: SettingReader, protocol: InferenceProtocol | None
) -> tuple[ServiceSettings, ...]:
    """The services that take part, where several are configured. Problems are noted."""
    config = reader.config
    names = [str(each.name) for each in config.services]
    for name in config.run.service:
        if name not in names:
            there_is = f"There are {', '.join(names)}" if names else "Only one is configured"
            reader.problems.append(f'There is no service "{name}". {there_is}.')
    if not config.services:
        return ()
    if config.mode.uses_bucket:
        reader.problems.append(
            "Several services ([[service]]) are for sync mode; async mode has one [bucket]."
        )
        return ()
    chosen = [
        each
        for each in config.services
        if not config.run.service or each.name in config.run.service
    ]
    return tuple(_resolve_one_of_several(reader, each, protocol) for each in chosen)


def _resolve_one_of_several(
    reader: SettingReader, section: ServiceSection, protocol: InferenceProtocol | None
) -> ServiceSettings:
    origins = dict(reader.config.origins)
    for each in fields(section):
        place = origins.get(f"service.{section.name}.{each.name}")
        origins[f"service.{each.name}"] = place or f'[[service]] "{section.name}" {each.name}'
    config = replace(reader.config, service=section, origins=origins)
    settings = _resolve_service(replace(reader, config=config), protocol)
    return replace(settings, name=section.name)


def _resolve_bucket(reader: SettingReader, _protocol: InferenceProtocol | None) -> BucketSettings:
    name = reader.resolve_text("bucket", "name")
    if "/" in name or not name.isprintable():
        reader.add_problem("bucket", "name", "is not a bucket name (no slashes, no URL)")
    return BucketSettings(
        endpoint=_resolve_endpoint(reader, "bucket"),
        name=name,
        access_key=_resolve_credential(reader, "bucket", "access_key"),
        secret_key=_resolve_credential(reader, "bucket", "secret_key"),
        region=reader.resolve_text("bucket", "region"),
        notifications=reader.config.bucket.notifications != "off",
        ca_file=_resolve_ca_file(reader, "bucket"),
        verify=reader.config.bucket.verify,
    )


RESOLVE_TARGET: Mapping[
    Mode, Callable[[SettingReader, InferenceProtocol | None], ServiceSettings | BucketSettings]
] = {Mode.SYNC: _resolve_service, Mode.ASYNC: _resolve_bucket}
"""What items of each mode are sent to."""


def _resolve_endpoint(reader: SettingReader, section: str) -> str:
    url = reader.resolve_text(section, "endpoint").rstrip("/")
    if url and (problem := _find_url_problem(url)):
        reader.add_problem(section, "endpoint", problem)
    return url


def _find_url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        return "is not a URL"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "is not a URL that begins with https://"
    if parts.username is not None or parts.password is not None:
        return "contains a user name or a password: leave them out"
    if parts.query or parts.fragment or not url.isprintable() or " " in url:
        return "is not the plain URL of a service"
    return None


def _resolve_credential(reader: SettingReader, section: str, key: str) -> str:
    value = reader.resolve_text(section, key)
    if not value.isascii() or any(
        character.isspace() or not character.isprintable() for character in value
    ):
        reader.add_problem(section, key, "contains a space or an invalid character (not shown)")
    return value


def _resolve_ca_file(reader: SettingReader, section: str) -> str | None:
    if getattr(reader.config, section).ca_file is None:
        return None
    path = reader.resolve_text(section, "ca_file")
    if path and not Path(path).is_file():
        reader.add_problem(section, "ca_file", "is not a file")
    return path
