"""The event loop's clock, read cheaply: it is read several times for each attempt."""

from __future__ import annotations

from asyncio import _get_running_loop

import anyio


def loop_time() -> float:
    """Seconds on the running event loop's clock.

    The same as `anyio.current_time`, which looks up the library of the loop each time; that takes
    several times as long. Under another loop than asyncio's it is still asked.
    """
    loop = _get_running_loop()
    return anyio.current_time() if loop is None else loop.time()
