"""Which proxy stands before an address: the environment says so, once, and to both modes alike.

`NO_PROXY` is read as curl reads it: names and the names below them, with or without a leading dot
or `*.`; addresses and networks (`10.0.0.0/8`); each with a port or without; `*` for all.
"""

from __future__ import annotations

import ipaddress
import os
import re
import urllib.request
from typing import Final
from urllib.parse import SplitResult, urlsplit

from batchinfer.errors import ConfigError

_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Never behind a proxy: the local service."""


def find_proxy(scheme: str, host: str, port: int | None = None) -> str | None:
    """The URL from `HTTPS_PROXY` or `HTTP_PROXY`, unless `NO_PROXY` names the host.

    Raises ConfigError when it is no address of a proxy; its message shows no password.
    """
    proxy = (urllib.request.getproxies().get(scheme) or "").strip()
    if not proxy or host in _LOCAL_HOSTS or _bypasses_proxy(host, port):
        return None
    url = proxy if "://" in proxy else f"http://{proxy}"
    if fault := _find_proxy_url_error(url):
        raise ConfigError(
            f"{_find_proxy_variable(scheme)} is no address of a proxy: {fault}. Write it as "
            "http://proxy.example:3128 (or http://user:password@proxy.example:3128; in a password, "
            "write @ as %40, : as %3A, / as %2F), or unset it."
        )
    return url


def find_proxy_for_url(endpoint: str) -> str | None:
    """As `find_proxy`, for a URL; None, too, when that is no URL."""
    try:
        url = urlsplit(endpoint)
        return find_proxy(url.scheme, url.hostname or "", url.port)
    except ValueError:
        return None


def _find_proxy_variable(scheme: str) -> str:
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
    return next((name for name in names if os.environ.get(name)), "The system's proxy setting")


def _find_proxy_url_error(url: str) -> str | None:
    """What is wrong with it. Shows at most its scheme and its port, never a name or a password."""
    try:
        parts = urlsplit(url)
        port = 0 if (host := parts.hostname or "") == "" else _parse_port(parts)
    except ValueError:
        return "it is no URL"
    faults = {
        "it holds a blank": not url.isprintable() or re.search(r"\s", url) is not None,
        f"{parts.scheme}:// is not supported, only http:// and https://": parts.scheme
        not in {"http", "https"},
        "it names no host": not host,
        "its host is no name": re.fullmatch(r"[\w.:%-]*", host) is None,
        "its port is no number from 1 to 65535": host != "" and port == 0,
    }
    return next((fault for fault, holds in faults.items() if holds), None)


def _parse_port(parts: SplitResult) -> int | None:
    """The port; 0 when what stands there is none."""
    try:
        return parts.port
    except ValueError:
        return 0


def _bypasses_proxy(host: str, port: int | None) -> bool:
    """Whether `NO_PROXY` names the host, or (macOS, Windows) the system's settings do."""
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    if listed is None:
        return bool(urllib.request.proxy_bypass(host))
    return any(
        _matches_no_proxy_entry(entry, host.lower(), port)
        for entry in re.split(r"[,\s]+", listed)
        if entry
    )


def _matches_no_proxy_entry(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    name, its_port = entry.lower(), ""
    if found := re.fullmatch(r"(\[.*\]|[^:]+):(\d+)", name):
        name, its_port = found.groups()
    if its_port and int(its_port) != port:
        return False
    name = name.strip("[]")
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False)
    except ValueError:
        name = name.removeprefix("*").strip(".")
        return bool(name) and (host.rstrip(".") == name or host.rstrip(".").endswith(f".{name}"))
