"""The protocols that are installed, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from batchinfer.domain import Json, RunInfo
from batchinfer.errors import ConfigError
from batchinfer.plugins import PluginError, Registry
from batchinfer.protocols.inference_protocol import InferenceProtocol

DEFAULT_PROTOCOL: Final = "ai4os"
"""The protocol of a service, unless the configuration names another."""
OPTIONS_SECTION: Final = "protocol"
"""The section of a configuration that holds the protocol's own options."""

PROTOCOLS: Final = Registry[type[InferenceProtocol]](
    "batchinfer.protocols",
    {
        DEFAULT_PROTOCOL: "batchinfer.protocols.ai4os.ai4os_protocol:Ai4osProtocol",
        "deepaas": "batchinfer.protocols.deepaas.deepaas_protocol:DeepaasProtocol",
        "http-json": "batchinfer.protocols.http_json.http_json_protocol:HttpJsonProtocol",
        "oscar": "batchinfer.protocols.oscar.oscar_protocol:OscarProtocol",
    },
)
_MAX_CONFIGURED: Final = 16
"""Protocols that are kept with their options, so that none is configured again for each use."""


def load_protocol(name: str, options: Mapping[str, Json] | None = None) -> InferenceProtocol:
    """The protocol of that name with its options (the keys of `[protocol]`).

    Raises ConfigError, naming those that are installed, or the option that cannot be used.
    """
    return _configure_protocol(name, json.dumps(dict(options or {})))


@lru_cache(maxsize=_MAX_CONFIGURED)
def _configure_protocol(name: str, options: str) -> InferenceProtocol:
    """`options`: as JSON, whose order counts: it may be that of what is sent."""
    protocol = _make_protocol(name)
    try:
        configured = protocol.configure(json.loads(options))
    except ConfigError:
        raise
    except Exception as error:
        raise PluginError(_BROKEN_MESSAGE.format(name=name, error=type(error).__name__)) from error
    return _check_protocol(name, configured)


def _make_protocol(name: str) -> InferenceProtocol:
    try:
        protocol_class = PROTOCOLS.get(name)
    except KeyError:
        raise ConfigError(
            f'There is no protocol "{name}". Installed are: {", ".join(PROTOCOLS.names())}.'
        ) from None
    try:
        protocol = protocol_class()
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise PluginError(_BROKEN_MESSAGE.format(name=name, error=what)) from error
    return _check_protocol(name, protocol)


def get_protocol_name(info: RunInfo) -> str:
    """The protocol that a run was started with; runs of older versions do not say."""
    service = info.config.get("service")
    name = service.get("protocol") if isinstance(service, Mapping) else None
    return name if isinstance(name, str) else DEFAULT_PROTOCOL


def find_run_protocol(info: RunInfo) -> InferenceProtocol | None:
    """The protocol of a run, to read its results; None: it is not installed here.

    Its options are as the run keeps them, `${NAME}` unexpanded.
    """
    options = info.config.get(OPTIONS_SECTION)
    try:
        return load_protocol(
            get_protocol_name(info), options if isinstance(options, Mapping) else None
        )
    except ConfigError:
        return None


def _check_protocol(name: str, protocol: object) -> InferenceProtocol:
    if not isinstance(protocol, InferenceProtocol):
        raise PluginError(f'The plugin "{name}" is no InferenceProtocol. Repair its package.')
    return protocol


_BROKEN_MESSAGE: Final = (
    'The protocol "{name}" cannot be used ({error}). Repair or remove its package.'
)
