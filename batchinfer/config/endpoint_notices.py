"""What a person should know of where a run goes, before anything is sent. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from batchinfer.ports import Notice


def iter_endpoint_notices(endpoint: str, *, verify: bool) -> Iterator[Notice]:
    """What there is to say of an address, and of whether its certificate is checked."""
    parts = urlsplit(endpoint)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        yield Notice(
            "plain_http",
            f"{endpoint} is not encrypted: whoever is on the way can read the credentials "
            "and the data. Use https:// if the service has it.",
        )
    if parts.scheme == "https" and not verify:
        yield Notice(
            "tls_unverified",
            f"The certificate of {endpoint} is not checked (verify = false): anybody could "
            "stand in for it. For a self-signed cluster, ca_file is the safe way.",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
