"""Running async code from a caller that is not async: a script, or a notebook whose loop runs."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

import anyio
from anyio.from_thread import start_blocking_portal

T = TypeVar("T")


def run_blocking(main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` to its end in a loop of its own; uvloop's, where that is installed."""
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
