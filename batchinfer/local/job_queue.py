"""Asynchronous predictions: one job for each object that came to `inputs/`.

Rules (docs/platform.md, "Order and loss"): an event is delivered at most once; a job is never
repeated; `.log` and `.json` are uploaded in random order; whatever goes wrong around the model
leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import PurePosixPath
from random import Random
from typing import TypeVar

from batchinfer.local.container_pool import ContainerPool
from batchinfer.local.journal import Journal
from batchinfer.local.s3_proxy import LocalBucket

_MAX_UPLOAD_GAP_SECONDS = 0.01
_STORE_ATTEMPTS = 8
_STORE_BACKOFF_SECONDS = 0.5
_T = TypeVar("_T")

PredictJob = Callable[[str, bytes], Awaitable[Mapping[str, bytes]]]


class JobQueue:
    """A queue of events, and as many workers as there are containers."""

    def __init__(
        self,
        objects: LocalBucket,
        containers: ContainerPool,
        predict: PredictJob,
        journal: Journal,
        *,
        rng: Random,
        lose_events: float,
    ) -> None:
        self._objects = objects
        self._containers = containers
        self._predict = predict
        self._journal = journal
        self._rng = rng
        self._lose_events = lose_events
        self._keys: asyncio.Queue[str] = asyncio.Queue()

    def on_upload(self, key: str) -> None:
        """Take note of an event: an object has come to `inputs/`."""
        if self._rng.random() < self._lose_events:
            self._journal.record("event_lost", mode="async", name=PurePosixPath(key).name)
        else:
            self._keys.put_nowait(key)

    async def run_worker(self) -> None:
        """Do one job after the other, for ever."""
        while True:
            key = await self._keys.get()
            try:
                await self._run_job(key)
            except OSError as error:
                sys.stderr.write(f"the job of {key!r} is lost: {error}\n")

    async def _run_job(self, key: str) -> None:
        await asyncio.sleep(self._containers.seconds_until_warm())
        payload = await _retry_store(lambda: self._objects.get(key))
        if payload is None:  # deleted meanwhile: the job's pod would crash
            return
        outputs = await self._predict(PurePosixPath(key).name, payload)
        for place, name in enumerate(self._rng.sample(list(outputs), len(outputs))):
            await asyncio.sleep(_MAX_UPLOAD_GAP_SECONDS * self._rng.random() if place else 0)
            await _retry_store(partial(self._objects.put, f"outputs/{name}", outputs[name]))


async def _retry_store(operation: Callable[[], Awaitable[_T]]) -> _T:
    """Try for some seconds, as the S3 library in the pod does; then raise OSError."""
    for attempt in range(_STORE_ATTEMPTS):
        try:
            return await operation()
        except OSError:
            await asyncio.sleep(_STORE_BACKOFF_SECONDS * (attempt + 1))
    return await operation()
