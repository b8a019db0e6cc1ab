"""The tests of calls run over both of their carriers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.http_calls import CARRIER


@pytest.fixture(params=["direct", "aiohttp"])
def carrier(request: pytest.FixtureRequest) -> Iterator[str]:
    """Who carries the calls of `support.http_calls.backend_at`."""
    CARRIER.use_aiohttp = request.param == "aiohttp"
    yield request.param
    CARRIER.use_aiohttp = False
