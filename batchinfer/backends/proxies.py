"""Which proxy stands before an address: the environment says so, once, and to both modes alike."""

from __future__ import annotations

import urllib.request
from typing import Final

_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Never behind a proxy: the local service."""


def proxy_for(scheme: str, host: str) -> str | None:
    """The URL from `HTTPS_PROXY` or `HTTP_PROXY`, unless `NO_PROXY` names the host."""
    proxy = urllib.request.getproxies().get(scheme)
    if not proxy or host in _HERE or urllib.request.proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
