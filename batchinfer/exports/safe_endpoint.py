"""The parts of an endpoint that are no secret: the host, and the name at its end. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_SAFE_HOST_PATTERN: Final = re.compile(r"[0-9A-Za-z.-]+|[0-9A-Fa-f.:]+")


def safe_host_and_name(endpoint: str) -> tuple[str, str]:
    """The host (with its port) and the service's name; "" where either may contain a secret.

    What stands before a host could be a password, and an `@` behind one the end of it.
    """
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "", ""
    if not _SAFE_HOST_PATTERN.fullmatch(host) or "@" in parts.path + parts.query + parts.fragment:
        return "", ""
    address = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    return address, parts.path.rstrip("/").rpartition("/")[2]
