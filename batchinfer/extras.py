"""Libraries that not everybody needs: brought when they are used, a clear word when missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from batchinfer.errors import ConfigError


def import_optional(module: str, feature: str, extra: str) -> ModuleType:
    """The module; `what` needs it, and the extra named `extra` installs it. Raises ConfigError."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{feature} needs the library {module.partition('.')[0]}, which is not installed: pip "
            f"install 'batchinfer[{extra}]'"
        ) from error
