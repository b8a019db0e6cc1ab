"""The local service put together: the only room here that knows all the others.

It has one port: calls go to `/run/<name>`, everything it does not know is taken for S3. A second
thing to know is that it owns what it starts: whichever way it ends, the S3 server ends with it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from aiohttp import ClientSession, TCPConnector, web

from batchinfer.errors import ConfigError
from batchinfer.local.bucket import REGION, Objects, Proxy
from batchinfer.local.connection import BucketAccess, Connection
from batchinfer.local.containers import Containers
from batchinfer.local.gateway import Gateway
from batchinfer.local.jobs import Jobs
from batchinfer.local.journal import Journal
from batchinfer.local.options import Options
from batchinfer.local.predictor import Order, Predictor
from batchinfer.local.rclone import Rclone

_HOST = "127.0.0.1"
_NO_LIMIT = 2**40


def serve(options: Options, announce: Callable[[Connection], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; `announce` is called once calls and objects can come.

    Raises ConfigError when it cannot start: no rclone, no such model, the port is taken.
    """
    with TemporaryDirectory() as temporary:
        directory = options.data_directory or Path(temporary)
        asyncio.run(_until_signal(options, directory, announce))


async def _until_signal(
    options: Options, directory: Path, announce: Callable[[Connection], None]
) -> None:
    serving = asyncio.create_task(_serve(options, directory, announce))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN and number == signal.SIGHUP:
            continue  # started by nohup
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:  # by the signal
        pass
    except BaseExceptionGroup as group:
        raise _cause(group) from group


def _cause(error: BaseException) -> BaseException:
    """The first error inside groups of groups: one plain error leaves the house."""
    return _cause(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _serve(options: Options, directory: Path, announce: Callable[[Connection], None]) -> None:
    (directory / options.name).mkdir(parents=True, exist_ok=True)
    journal = Journal(options.journal)
    server = Rclone(directory, options.access_key, options.secret_key)
    try:
        predictions = Predictions(options, Predictor(options, journal))
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"there is no model {options.model!r}: {error}") from error
    try:
        await server.start()
        async with (
            ClientSession(connector=TCPConnector(limit=0)) as session,
            asyncio.TaskGroup() as tasks,
        ):
            parts = _assemble(
                options,
                server,
                session,
                predictions=predictions,
                journal=journal,
                tasks=tasks,
            )
            runner = await _listen(options, parts)
            try:
                announce(_connection(options, runner))
                await asyncio.Event().wait()
            finally:
                predictions.stop()
                await runner.cleanup()
    finally:
        await server.stop()
        journal.close()


class Predictions:
    """The predictor as the event loop sees it: latency, chances, and a thread for each place."""

    def __init__(self, options: Options, predictor: Predictor) -> None:
        self._options = options
        self._predictor = predictor
        self._chance = Random(options.seed)  # noqa: S311 - no secret comes of it
        self._pool = ThreadPoolExecutor(2 * options.containers)

    async def call(self, name: str, payload: bytes) -> bytes:
        """The body of a call's answer."""
        await self._latency()
        loop, order = asyncio.get_running_loop(), self._order("sync", name, payload)
        return await loop.run_in_executor(self._pool, self._predictor.call, order)

    async def job(self, name: str, payload: bytes) -> Mapping[str, bytes]:
        """What a job uploads."""
        await self._latency()
        loop, order = asyncio.get_running_loop(), self._order("async", name, payload)
        return await loop.run_in_executor(self._pool, self._predictor.job, order)

    def stop(self) -> None:
        """End what runs, so far as that is possible, and start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._predictor.stop()

    async def _latency(self) -> None:
        slow = self._chance.random() < self._options.slow_rate
        await asyncio.sleep(self._options.latency + slow * self._options.slow_seconds)

    def _order(self, mode: str, name: str, payload: bytes) -> Order:
        die = self._chance.random() < self._options.kill_models
        own = Random(self._chance.random())  # noqa: S311 - as above
        return Order(mode, name, payload, own, die=die)


@dataclass(frozen=True, slots=True)
class _Parts:
    gateway: Gateway
    proxy: Proxy
    journal: Journal


def _assemble(
    options: Options,
    server: Rclone,
    session: ClientSession,
    *,
    predictions: Predictions,
    journal: Journal,
    tasks: asyncio.TaskGroup,
) -> _Parts:
    """Make the rooms that know each other, and start what runs by itself."""
    chance = Random(options.seed)  # noqa: S311 - no secret comes of it
    containers = Containers(
        options.containers,
        clock=asyncio.get_running_loop().time,
        cold_start=options.cold_start,
        scale_to_zero=options.scale_to_zero,
    )
    jobs = Jobs(
        Objects(options, server, session),
        containers,
        predictions.job,
        journal,
        chance=chance,
        lose_events=options.lose_events,
    )
    for _ in range(options.containers):
        tasks.create_task(jobs.work())
    if options.store_restarts is not None:
        tasks.create_task(_restart(server, options.store_restarts, options.store_outage))
    return _Parts(
        Gateway(options, containers, predictions.call, chance, tasks),
        Proxy(options, server, session, chance, jobs.arrived),
        journal,
    )


async def _restart(server: Rclone, every: float, outage: float) -> None:
    """Take the S3 server away for a while, again and again."""
    while True:
        await asyncio.sleep(every)
        await server.stop()
        sys.stderr.write(f"the store is away for {outage:g} s\n")
        await asyncio.sleep(outage)
        await server.start()


async def _listen(options: Options, parts: _Parts) -> web.AppRunner:
    """Open the port. Raises ConfigError if it is taken."""

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="Ok")

    async def stats(_: web.Request) -> web.Response:
        return web.json_response(dict(parts.journal.counts))

    app = web.Application(client_max_size=_NO_LIMIT)
    app.router.add_post("/run/{name}", parts.gateway.run)
    app.router.add_get("/health", health)
    app.router.add_get("/local/stats", stats)
    app.router.add_route("*", "/{rest:.*}", parts.proxy.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, _HOST, options.port).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(f"cannot listen on port {options.port}: {error.strerror}") from error
    return runner


def _connection(options: Options, runner: web.AppRunner) -> Connection:
    root = f"http://{_HOST}:{runner.addresses[0][1]}"
    keys = options.access_key, options.secret_key
    bucket = BucketAccess(root, options.name, *keys, region=REGION)
    return Connection(f"{root}/run/{options.name}", options.token, bucket)
