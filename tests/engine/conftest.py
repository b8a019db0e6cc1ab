"""The core runs on a virtual clock: hours pass in milliseconds, on any machine."""

import pytest
import trio.testing
from world import World


@pytest.fixture
def anyio_backend():
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


@pytest.fixture
def world() -> World:
    return World()
