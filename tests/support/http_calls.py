"""Calls of an inference service over real sockets."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from batchinfer.backends.http_backend import HttpBackend, open_http_backend
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Item
from support.protocols import AI4OS

TOKEN = "0123456789abcdef" * 4
NOW = 1_800_000_000.0
ITEM = Item("a", (), {"text": "hello"})
OK = b"""[*] Using DEEPaaS version 2.5.2
2026-11-23 07:35:30.497 6943 INFO deepaas.cmd.cli [-] predict was called.
2026-11-23 07:35:30.498 6943 INFO deepaas.cmd.cli [-] return: {'label': 'cat', 'score': 0.5}
"""


@dataclass
class Carrier:
    """Who carries the calls of a test; see the fixture `carrier`."""

    use_aiohttp: bool = False


CARRIER = Carrier()


def backend_at(
    port: int, scheme: str = "http", **changed: Any
) -> AbstractAsyncContextManager[HttpBackend]:
    known: dict[str, Any] = {
        "protocol": AI4OS,
        "endpoint": f"{scheme}://127.0.0.1:{port}/run/ai4papi-1",
        "token": TOKEN,
        "params": {"size": 1},
        "timeout": 30.0,
        "redactor": Redactor([TOKEN]),
        "clock": lambda: NOW,
        "use_aiohttp": CARRIER.use_aiohttp,
    }
    return open_http_backend(**(known | changed))
