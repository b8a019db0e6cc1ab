"""What must be the same at both ends of a cluster, for attempts to mean the same."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from batchinfer._version import __version__
from batchinfer.protocols.registry import PROTOCOLS


def describe_versions(protocol: str) -> dict[str, str]:
    """The versions of this process that an attempt depends on, by name."""
    return {
        "Python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "batchinfer": __version__,
        f'the protocol "{protocol}"': PROTOCOLS.describe_origin(protocol),
    }


def find_differing_versions(expected: Mapping[str, str], here: Mapping[str, str]) -> str | None:
    """Say which versions of a worker differ from the coordinator's; None: none does."""
    differing = [
        f"{name} {here.get(name, 'missing')} instead of {version}"
        for name, version in expected.items()
        if here.get(name) != version
    ]
    return ", ".join(differing) or None
