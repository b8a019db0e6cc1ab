"""The protocols that are installed, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from batchinfer.domain import RunInfo
from batchinfer.errors import ConfigError
from batchinfer.plugins import PluginError, Registry
from batchinfer.protocols.inference_protocol import InferenceProtocol

DEFAULT_PROTOCOL: Final = "ai4os"
"""The protocol of a service, unless the configuration names another."""

PROTOCOLS: Final = Registry[type[InferenceProtocol]](
    "batchinfer.protocols",
    {
        DEFAULT_PROTOCOL: "batchinfer.protocols.ai4os.ai4os_protocol:Ai4osProtocol",
        "oscar": "batchinfer.protocols.oscar.oscar_protocol:OscarProtocol",
    },
)
_loaded: dict[str, InferenceProtocol] = {}


def load_protocol(name: str) -> InferenceProtocol:
    """The protocol of that name. Raises ConfigError, naming those that are installed."""
    if name not in _loaded:
        try:
            protocol_class = PROTOCOLS.get(name)
        except KeyError:
            raise ConfigError(
                f'There is no protocol "{name}". Installed are: {", ".join(PROTOCOLS.names())}.'
            ) from None
        _loaded[name] = _make_protocol(name, protocol_class)
    return _loaded[name]


def get_protocol_name(info: RunInfo) -> str:
    """The protocol that a run was started with; runs of older versions do not say."""
    service = info.config.get("service")
    name = service.get("protocol") if isinstance(service, Mapping) else None
    return name if isinstance(name, str) else DEFAULT_PROTOCOL


def find_run_protocol(info: RunInfo) -> InferenceProtocol | None:
    """The protocol of a run, to read its results; None: it is not installed here."""
    try:
        return load_protocol(get_protocol_name(info))
    except ConfigError:
        return None


def _make_protocol(name: str, protocol_class: type[InferenceProtocol]) -> InferenceProtocol:
    try:
        protocol = protocol_class()
    except Exception as error:
        raise PluginError(
            f'The protocol "{name}" cannot be used ({type(error).__name__}: {error}). Repair or '
            "remove its package."
        ) from error
    if not isinstance(protocol, InferenceProtocol):
        raise PluginError(f'The plugin "{name}" is no InferenceProtocol. Repair its package.')
    return protocol
