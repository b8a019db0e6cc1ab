"""A cluster in this process: real workers and links, and between them calls that can fail."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchinfer.cluster.attempt_worker import AttemptWorker
from batchinfer.cluster.cluster_backend import BucketAttempts, ClusterBackend, open_cluster_backend
from batchinfer.cluster.cluster_pool import ClusterPool
from batchinfer.cluster.sealed_factory import BackendFactory, seal_factory
from batchinfer.cluster.worker_transport import WorkerSetup
from batchinfer.cluster.worker_versions import describe_versions
from batchinfer.domain import Item
from batchinfer.flow.memory_budget import MemoryBudget
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.ports import Backend
from support.world import Notebook

SCRIPTS: dict[str, Callable[[Item, int], Awaitable[Any]]] = {}
"""What backends of this process do, by name: a function cannot be pickled, its name can."""


@dataclass
class ScriptedBackend:
    """Follows a script, and notes what became of its attempts."""

    script: str
    bandwidth: BandwidthLimiter | None = None
    unconfirmed: set[tuple[int, int]] = field(default_factory=set)

    async def attempt(self, item: Item, number: int) -> Any:
        return await SCRIPTS[self.script](item, number)

    def mark_unconfirmed(self, position: int, number: int) -> None:
        self.unconfirmed.add((position, number))


@dataclass
class ScriptedFactory:
    """Opens backends of a script, as often as a worker asks."""

    script: str

    @asynccontextmanager
    async def __call__(
        self, scratch_folder: Path, bandwidth: BandwidthLimiter | None = None
    ) -> AsyncIterator[Backend]:
        assert os.path.isdir(scratch_folder)  # noqa: ASYNC240, PTH112
        yield ScriptedBackend(self.script, bandwidth)


class FakeWorker:
    """A worker that may be cut off."""

    def __init__(self, cluster: FakeCluster, address: str) -> None:
        self.cluster, self.address = cluster, address
        self.actor = cluster.make_actor()
        self.calls: Counter[str] = Counter()

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any) -> Any:
            self.calls[verb] += 1
            self._check()
            await self.cluster.before_call(verb)
            answer = await getattr(self.actor, verb)(*args)
            self._check()
            await self.cluster.after_call(verb)
            return answer

        return call

    def _check(self) -> None:
        if self.address not in self.cluster.addresses:
            raise ConnectionRefusedError(self.address)


async def _do_nothing(verb: str) -> None:
    pass


@dataclass
class FakeCluster:
    """See `WorkerTransport`."""

    addresses: list[str]
    make_actor: Callable[[], AttemptWorker] = AttemptWorker
    workers: dict[str, FakeWorker] = field(default_factory=dict)
    before_call: Callable[[str], Awaitable[None]] = _do_nothing
    after_call: Callable[[str], Awaitable[None]] = _do_nothing
    is_scheduler_away: bool = False

    async def list_addresses(self) -> Sequence[str]:
        if self.is_scheduler_away:
            raise ConnectionRefusedError("scheduler")
        return list(self.addresses)

    async def connect(self, address: str) -> FakeWorker:
        if address not in self.addresses:
            raise ConnectionRefusedError(address)
        self.workers[address] = FakeWorker(self, address)
        return self.workers[address]

    async def kill(self, address: str) -> None:
        """The process of a worker dies: what it does ends, and nobody is told."""
        self.addresses.remove(address)
        await self.workers[address].actor.close()


async def until(condition: Callable[[], object]) -> None:
    """Ask again and again what nothing here is woken by."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def make_setup(factory: BackendFactory, **changed: Any) -> WorkerSetup:
    known: dict[str, Any] = {
        "versions": describe_versions("ai4os"),
        "protocol": "ai4os",
        "lease_seconds": 30.0,
        "sealed_factory": seal_factory(factory),
    }
    return WorkerSetup(**(known | changed))


@asynccontextmanager
async def open_fake(
    cluster: FakeCluster,
    factory: BackendFactory,
    *,
    notebook: Notebook | None = None,
    memory: int = 1 << 26,
    give_up_after: float = 60.0,
    refused_seconds: float = 0.5,
    max_in_flight: int | None = None,
    bucket_attempts: BucketAttempts | None = None,
    bandwidth: float | None = None,
    **setup: Any,
) -> AsyncIterator[ClusterBackend]:
    pool = ClusterPool(
        cluster,
        make_setup(factory, bandwidth=bandwidth, **setup),
        notebook or Notebook(),
        MemoryBudget(memory),
        give_up_after=give_up_after,
        max_in_flight=max_in_flight,
        bandwidth=bandwidth,
        refused_seconds=refused_seconds,
    )
    async with open_cluster_backend(pool, bucket_attempts) as backend:
        yield backend
