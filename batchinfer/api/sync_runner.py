"""Both forms of a public function from one: async code for callers that wait, and the reverse.

Works from a script, and from a notebook whose event loop runs in the calling thread.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from anyio.from_thread import start_blocking_portal

P = ParamSpec("P")
T = TypeVar("T")


def run_blocking(main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` to its end in an event loop of its own; uvloop's, where that is installed."""
    options: dict[str, Any] = {"use_uvloop": find_spec("uvloop") is not None}
    if not _is_loop_running():
        with _collect_garbage_rarely():
            return anyio.run(main, backend_options=options)
    # A notebook: its loop is running in this thread, so ours runs in another one.
    with start_blocking_portal(backend_options=options) as portal:
        future = portal.start_task_soon(main)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


def blocking(name: str, function: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """The sync form of an async function: it returns when the work is done."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_blocking(partial(function, *args, **kwargs))

    return _rename(call, name)


def in_thread(name: str, function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """The async form of a sync function: it runs in a thread, and finishes also when cancelled."""

    @wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return await anyio.to_thread.run_sync(partial(function, *args, **kwargs))

    return _rename(call, name)


def _rename(function: Callable[P, T], name: str) -> Callable[P, T]:
    function.__name__ = function.__qualname__ = name
    return function


@contextmanager
def _collect_garbage_rarely() -> Iterator[None]:
    """Let Python look for garbage less often: hundreds of results wait for their commit, no garbage
    any of them, and looking at them again and again would take a tenth of the time.
    """  # noqa: D205 - one thought, one sentence
    thresholds = gc.get_threshold()
    gc.set_threshold(10_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
