"""Resolves how remote inputs are reached: `[source]`, and `[bucket]` for `bucket://`.

Most runs read local files, so nothing that is missing here is refused at once: it is kept as a
problem, which whoever opens such an input is told (`inputs/source_access.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

from batchinfer.config.interpolation import expand_text, parse_reference
from batchinfer.config.sections import (
    ORIGIN_SECTION,
    WRITTEN_SECRETS_KEY,
    BucketSection,
    Config,
    SourceSection,
)
from batchinfer.config.value_parsers import Secret
from batchinfer.domain import Json
from batchinfer.errors import ConfigError, IncompleteConfig
from batchinfer.inputs.source_access import SourceSettings, StoreSettings
from batchinfer.protocols.registry import load_protocol


def resolve_source(config: Config, env: Mapping[str, str]) -> SourceSettings:
    """Everything that inputs are reached with. `env`: completed by the files of variables."""
    source = _SectionReader("source", config.source, env)
    store = source.read_store()
    token = source.read("token")
    if token and not store.endpoint:
        source.problems.append(
            "[source] token needs [source] endpoint, the address (https://HOST) that it is sent to"
        )
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        source.problems.append("[source] token contains an invalid character (not shown)")
    bucket = _SectionReader("bucket", config.bucket, env)
    bucket_store = bucket.read_store()
    bucket_name = bucket.read("name")
    if not (bucket_store.endpoint and bucket_store.access_key and bucket_store.secret_key):
        bucket.problems.append("bucket:// needs [bucket] endpoint, access_key and secret_key")
    return SourceSettings(
        store=store,
        token=token,
        problem="; ".join(source.problems),
        bucket_store=None if bucket.problems else bucket_store,
        bucket_name=bucket_name,
        bucket_problem="; ".join(bucket.problems),
        service_folders=_list_service_folders(config),
    )


def _list_service_folders(config: Config) -> tuple[str, ...]:
    if not config.mode.uses_bucket:
        return ()
    try:
        protocol = load_protocol(config.service.protocol, config.protocol_options).bucket
    except ConfigError:  # reported where the protocol is needed
        return ()
    return (protocol.inputs_prefix, protocol.outputs_prefix) if protocol else ()


def require_source_secrets(config: Config, stored: Mapping[str, Json]) -> None:
    """Raise IncompleteConfig when a run had secrets in `[source]` that are not known now."""
    missing = list_missing_source_secrets(config, stored)
    if missing:
        raise IncompleteConfig(
            f"[source] {', '.join(missing)} stood in the config itself, and is not kept with the "
            "run: name that config, or set it in the environment."
        )


def list_missing_source_secrets(config: Config, stored: Mapping[str, Json]) -> list[str]:
    """Keys of `[source]` that a run was started with, and that are not known now."""
    origin = stored.get(ORIGIN_SECTION)
    names = origin.get(WRITTEN_SECRETS_KEY) if isinstance(origin, Mapping) else None
    known = {each.name for each in fields(SourceSection)}
    listed = [str(name) for name in names] if isinstance(names, list) else []
    return [each for each in listed if each in known and getattr(config.source, each) is None]


@dataclass(slots=True)
class _SectionReader:
    """Reads a section; what is wrong is noted."""

    name: str
    section: SourceSection | BucketSection
    env: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def read_store(self) -> StoreSettings:
        """All that a store asks for."""
        store = StoreSettings(
            endpoint=self._read_endpoint(),
            region=self.read("region"),
            access_key=self.read("access_key"),
            secret_key=self.read("secret_key"),
            session_token=self.read("session_token"),
            ca_file=self.read("ca_file"),
            verify=self.section.verify,
        )
        if bool(store.access_key) != bool(store.secret_key) and not self.problems:
            self.problems.append(f"[{self.name}] needs both access_key and secret_key, or neither")
        if store.ca_file and not Path(store.ca_file).is_file():
            self.problems.append(f"[{self.name}] ca_file is not a file")
        return store

    def read(self, key: str) -> str | None:
        """The value, expanded; None when there is none."""
        given: str | Secret | None = getattr(self.section, key, None)
        if given is None:
            return None
        text = given.text if isinstance(given, Secret) else given
        if isinstance(given, Secret) and parse_reference(text) is None:
            return text
        return expand_text(text, lambda name: self._look_up(key, name)).strip() or None

    def _look_up(self, key: str, name: str) -> str:
        value = self.env.get(name, "").strip()
        if not value:
            state = "empty" if name in self.env else "not set"
            self.problems.append(
                f"[{self.name}] {key} needs the environment variable {name}, which is {state}"
            )
        return value

    def _read_endpoint(self) -> str | None:
        url = (self.read("endpoint") or "").rstrip("/")
        if not url:
            return None
        try:
            parts = urlsplit(url)
            is_web = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
            is_plain = is_web and "@" not in url and not parts.query and url.isprintable()
        except ValueError:
            is_plain = False
        if not is_plain:
            self.problems.append(f"[{self.name}] endpoint is not a plain URL (https://HOST)")
        return url
