"""Who carries the calls of a service."""

from __future__ import annotations

import sys

import pytest

from batchinfer.backends.aiohttp_carrier import AiohttpCarrier
from batchinfer.backends.http_backend import HttpBackend
from batchinfer.backends.http_carrier import DirectCarrier
from batchinfer.backends.loaded_payload import LoadedPayload
from batchinfer.domain import Reply
from support.http_calls import ITEM, OK, backend_at
from support.servers import Answer, stub


def carrier_of(backend: HttpBackend) -> type:
    return type(backend._carrier)


async def test_our_own_client_carries_them():
    async with backend_at(1) as backend:
        assert carrier_of(backend) is DirectCarrier


async def test_aiohttp_does_through_a_proxy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    async with backend_at(0, endpoint="http://inference.invalid/run/x") as backend:
        assert carrier_of(backend) is AiohttpCarrier


async def test_aiohttp_does_where_httptools_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "httptools", None)  # as if it was not there
    async with stub(Answer(body=OK)) as server, backend_at(server.port) as backend:
        assert carrier_of(backend) is AiohttpCarrier
        assert isinstance(await backend.attempt(ITEM, 1), Reply)


@pytest.mark.usefixtures("carrier")
async def test_headers_of_an_item_win_over_those_of_all():
    """Whatever their case."""
    payload = LoadedPayload((b"text",), headers={"CONTENT-TYPE": "text/plain", "X-Item": "1"})
    async with stub(Answer(body=OK)) as server, backend_at(server.port) as backend:
        await backend._call(payload, lambda: None)
        await backend.attempt(ITEM, 1)
    first, second = (request.headers for request in server.requests)
    assert (first["content-type"], first["x-item"]) == ("text/plain", "1")
    assert (second["content-type"], second.get("x-item")) == ("application/json", None)
    assert first["authorization"] == second["authorization"]
