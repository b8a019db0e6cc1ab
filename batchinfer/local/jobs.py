"""Asynchronous predictions: one job for each object that came to `inputs/`.

Rules (contract section 2): an event is delivered at most once; a job is never repeated; `.log` and
`.json` are uploaded in random order; whatever goes wrong around the model leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import PurePosixPath
from random import Random
from typing import TypeVar

from batchinfer.local.bucket import Objects
from batchinfer.local.containers import Containers
from batchinfer.local.journal import Journal

_LONGEST_GAP = 0.01
_TRIES = 8
_PAUSE = 0.5
_T = TypeVar("_T")

Predict = Callable[[str, bytes], Awaitable[Mapping[str, bytes]]]


class Jobs:
    """A queue of events, and as many workers as there are containers."""

    def __init__(
        self,
        objects: Objects,
        containers: Containers,
        predict: Predict,
        journal: Journal,
        *,
        chance: Random,
        lose_events: float,
    ) -> None:
        self._objects = objects
        self._containers = containers
        self._predict = predict
        self._journal = journal
        self._chance = chance
        self._lose_events = lose_events
        self._keys: asyncio.Queue[str] = asyncio.Queue()

    def arrived(self, key: str) -> None:
        """Take note of an event: an object has come to `inputs/`."""
        if self._chance.random() < self._lose_events:
            self._journal.note("event_lost", mode="async", name=PurePosixPath(key).name)
        else:
            self._keys.put_nowait(key)

    async def work(self) -> None:
        """Do one job after the other, for ever."""
        while True:
            key = await self._keys.get()
            try:
                await self._do(key)
            except OSError as error:
                sys.stderr.write(f"the job of {key!r} is lost: {error}\n")

    async def _do(self, key: str) -> None:
        await asyncio.sleep(self._containers.warming())
        payload = await _patiently(lambda: self._objects.get(key))
        if payload is None:  # deleted meanwhile: the job's pod would crash
            return
        outputs = await self._predict(PurePosixPath(key).name, payload)
        for place, name in enumerate(self._chance.sample(list(outputs), len(outputs))):
            await asyncio.sleep(_LONGEST_GAP * self._chance.random() if place else 0)
            await _patiently(partial(self._objects.put, f"outputs/{name}", outputs[name]))


async def _patiently(act: Callable[[], Awaitable[_T]]) -> _T:
    """Try for some seconds, as the S3 library in the pod does; then raise OSError."""
    for again in range(_TRIES):
        try:
            return await act()
        except OSError:
            await asyncio.sleep(_PAUSE * (again + 1))
    return await act()
