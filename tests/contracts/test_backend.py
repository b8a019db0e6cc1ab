"""What holds for every backend in sync mode: in this process, or by the workers of a cluster."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from batchinfer.api.deliveries import open_backend
from batchinfer.api.distribution import WorkerBackendFactory
from batchinfer.cluster.cluster_backend import open_cluster_backend
from batchinfer.cluster.cluster_pool import ClusterPool
from batchinfer.cluster.dask_transport import DaskTransport
from batchinfer.config import load_config, resolve_run_settings
from batchinfer.domain import Failure, InputFile, Reply, ServiceSignal, get_signal
from batchinfer.errors import FatalError
from batchinfer.flow.memory_budget import MemoryBudget
from batchinfer.ports import Backend
from support.fake_cluster import FakeCluster, make_setup, open_fake
from support.http_calls import ITEM, OK, TOKEN
from support.servers import Answer, Stub, stub
from support.world import Notebook

pytestmark = [pytest.mark.event_loops("asyncio"), pytest.mark.slow]


@asynccontextmanager
async def open_dask(factory: WorkerBackendFactory) -> AsyncIterator[Backend]:
    """Scheduler and workers of Dask in this process; all that passes between them is real."""
    async with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        asynchronous=True,
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
    ) as cluster:

        async def connect() -> Client:
            return await Client(
                cluster.scheduler_address,
                asynchronous=True,
                direct_to_workers=True,
                set_as_default=False,
            )

        transport = DaskTransport(await connect(), connect)
        try:
            pool = ClusterPool(
                transport, make_setup(factory), Notebook(), MemoryBudget(1 << 26), give_up_after=60
            )
            async with open_cluster_backend(pool) as backend:
                yield backend
        finally:
            await transport.close()


@asynccontextmanager
async def open_here(factory: WorkerBackendFactory) -> AsyncIterator[Backend]:
    async with open_backend(factory.settings, factory.run_id, Path()) as (backend, _):
        yield backend


@asynccontextmanager
async def open_links(factory: WorkerBackendFactory) -> AsyncIterator[Backend]:
    async with open_fake(FakeCluster(["a", "b"]), factory) as backend:
        yield backend


@pytest.fixture(params=[open_here, open_links, open_dask])
def opened(request):
    """Opens a backend that calls a server of the test."""

    @asynccontextmanager
    async def use(server: Stub) -> AsyncIterator[Backend]:
        endpoint = f"http://127.0.0.1:{server.port}/run/ai4papi-1"
        config = load_config(None, {}, {"service.endpoint": endpoint, "service.token": TOKEN})
        settings = resolve_run_settings(config, {})
        async with request.param(WorkerBackendFactory(settings, "run1", "epoch")) as backend:
            yield backend

    return use


async def test_a_reply_comes_back(opened):
    async with stub(Answer(body=OK)) as server, opened(server) as backend:
        outcome = await backend.attempt(ITEM, 1)
    assert isinstance(outcome, Reply)
    assert outcome.prediction == {"label": "cat", "score": 0.5}
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


async def test_an_answer_that_is_a_failure_is_a_value(opened):
    async with stub(Answer(status=503)) as server, opened(server) as backend:
        outcome = await backend.attempt(ITEM, 1)
    assert isinstance(outcome, Failure)
    assert get_signal(outcome) is ServiceSignal.OVERLOADED


async def test_what_no_item_survives_is_raised(opened):
    async with stub(Answer(status=401)) as server, opened(server) as backend:
        with pytest.raises(FatalError) as error:
            await backend.attempt(ITEM, 1)
    assert TOKEN not in str(error.value)


async def test_the_bytes_that_were_sent_are_told(opened, tmp_path: Path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 1000)
    file = InputFile("files", str(path))
    async with stub(Answer(body=OK)) as server, opened(server) as backend:
        outcome = await backend.attempt(replace(ITEM, files=(file,)), 1)
    (sent,) = outcome.inputs
    assert (sent.size, sent.sha256) == (1000, hashlib.sha256(b"x" * 1000).hexdigest())


async def test_a_file_that_is_not_there_is_its_items_failure(opened, tmp_path: Path):
    file = InputFile("files", str(tmp_path / "gone"))
    async with stub(Answer(body=OK)) as server, opened(server) as backend:
        outcome = await backend.attempt(replace(ITEM, files=(file,)), 1)
    assert outcome.code == "file_missing"
    assert not server.requests


async def test_a_cancelled_attempt_closes_its_connection(opened):
    async with stub(Answer(never=True)) as server, opened(server) as backend:
        attempt = asyncio.create_task(backend.attempt(ITEM, 1))
        async with asyncio.timeout(30):
            while not server.requests:  # noqa: ASYNC110 - the server wakes nobody
                await asyncio.sleep(0.01)
            attempt.cancel()
            await server.gone.wait()


async def test_many_attempts_at_once_each_get_their_own_outcome(opened):
    def echo(request) -> Answer:
        number = json.loads(request.body)["number"]
        return Answer(body=OK.replace(b"'cat'", f"'{number}'".encode()))

    items = [replace(ITEM, key=f"item-{n}", position=n, params={"number": n}) for n in range(1, 41)]
    async with stub(echo) as server, opened(server) as backend:
        outcomes = await asyncio.gather(*(backend.attempt(each, 1) for each in items))
    assert [each.prediction["label"] for each in outcomes] == [str(n) for n in range(1, 41)]


async def test_a_large_reply_comes_whole(opened):
    long = "x" * 3_000_000
    body = OK.replace(b"'cat'", repr(long).encode())
    async with stub(Answer(body=body)) as server, opened(server) as backend:
        outcome = await backend.attempt(ITEM, 1)
    assert outcome.prediction["label"] == long
