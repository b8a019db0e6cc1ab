"""The clock of the event loop, whichever loop it is."""

import anyio
import pytest

from batchinfer.flow.loop_clock import loop_time

pytestmark = [pytest.mark.anyio, pytest.mark.event_loops("asyncio", "virtual")]


async def test_it_is_the_clock_of_the_loop():
    before = anyio.current_time()
    now = loop_time()
    assert before <= now <= anyio.current_time()
    await anyio.sleep(0.01)
    assert loop_time() > now
