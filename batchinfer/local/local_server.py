"""The local service put together: the only module here that imports all others.

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
from typing import TypeAlias

from aiohttp import ClientSession, TCPConnector, web

from batchinfer.errors import ConfigError
from batchinfer.local.container_pool import ContainerPool
from batchinfer.local.gateway import Gateway
from batchinfer.local.job_queue import JobQueue
from batchinfer.local.journal import Journal
from batchinfer.local.notification_hub import NotificationHub
from batchinfer.local.oscar_script import ScriptPredictor
from batchinfer.local.oscar_supervisor import SupervisorPredictor
from batchinfer.local.predictor import PredictionRequest, Predictor
from batchinfer.local.rclone import RcloneServer
from batchinfer.local.s3_proxy import LOCAL_S3_REGION, LocalBucket, S3Proxy
from batchinfer.local.service_connection import LocalBucketAccess, ServiceConnection
from batchinfer.local.service_options import LocalServiceOptions

AnyPredictor: TypeAlias = Predictor | ScriptPredictor | SupervisorPredictor

_LISTEN_HOST = "127.0.0.1"
_MAX_BODY_BYTES = 2**40


def serve(options: LocalServiceOptions, on_ready: Callable[[ServiceConnection], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; `announce` is called once calls and objects can come.

    Raises ConfigError when it cannot start: no rclone, no such model, the port is taken.
    """
    with TemporaryDirectory() as temporary:
        directory = options.data_directory or Path(temporary)
        asyncio.run(_serve_until_signal(options, directory, on_ready))


async def _serve_until_signal(
    options: LocalServiceOptions, directory: Path, on_ready: Callable[[ServiceConnection], None]
) -> None:
    serving = asyncio.create_task(_serve(options, directory, on_ready))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN and number == signal.SIGHUP:
            continue  # started by nohup
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:  # by the signal
        pass
    except BaseExceptionGroup as group:
        raise _first_error(group) from group


def _first_error(error: BaseException) -> BaseException:
    """The first error inside groups of groups: one plain error is raised."""
    return _first_error(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _serve(
    options: LocalServiceOptions, directory: Path, on_ready: Callable[[ServiceConnection], None]
) -> None:
    (directory / options.name).mkdir(parents=True, exist_ok=True)
    journal = Journal(options.journal)
    server = RcloneServer(directory, options.access_key, options.secret_key)
    try:
        predictions = PredictionPool(options, _make_predictor(options, journal, server))
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"there is no model {options.model!r}: {error}") from error
    try:
        await server.start()
        async with (
            ClientSession(connector=TCPConnector(limit=0)) as session,
            asyncio.TaskGroup() as tasks,
        ):
            handlers = _build_handlers(
                options,
                server,
                session,
                predictions=predictions,
                journal=journal,
                tasks=tasks,
            )
            runner = await _listen(options, handlers)
            try:
                on_ready(_make_connection(options, runner))
                await asyncio.Event().wait()
            finally:
                predictions.stop()
                await runner.cleanup()
    finally:
        await server.stop()
        journal.close()


def _make_predictor(
    options: LocalServiceOptions, journal: Journal, server: RcloneServer
) -> AnyPredictor:
    """What predicts. Raises ConfigError, and ImportError or AttributeError for a model."""
    if options.script is None:
        return Predictor(options, journal)
    if options.supervisor_venv is None:
        return ScriptPredictor(options.script, journal)
    return SupervisorPredictor(options, journal, lambda: server.url)


class PredictionPool:
    """The predictor as the event loop sees it: latency, chances, and a thread for each place."""

    def __init__(self, options: LocalServiceOptions, predictor: AnyPredictor) -> None:
        self._options = options
        self._predictor = predictor
        self._rng = Random(options.seed)  # noqa: S311 - no secret comes of it
        self._pool = ThreadPoolExecutor(2 * options.containers)

    async def predict_call(self, name: str, payload: bytes) -> bytes:
        """The body of a call's answer."""
        await self._sleep_latency()
        loop, order = asyncio.get_running_loop(), self._make_request("sync", name, payload)
        return await loop.run_in_executor(self._pool, self._predictor.predict_call, order)

    async def predict_job(self, name: str, payload: bytes) -> Mapping[str, bytes]:
        """What a job uploads."""
        await self._sleep_latency()
        loop, order = asyncio.get_running_loop(), self._make_request("async", name, payload)
        return await loop.run_in_executor(self._pool, self._predictor.predict_job, order)

    def stop(self) -> None:
        """End what runs, so far as that is possible, and start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._predictor.stop()

    async def _sleep_latency(self) -> None:
        slow = self._rng.random() < self._options.slow_rate
        await asyncio.sleep(self._options.latency + slow * self._options.slow_seconds)

    def _make_request(self, mode: str, name: str, payload: bytes) -> PredictionRequest:
        die = self._rng.random() < self._options.kill_models
        own = Random(self._rng.random())  # noqa: S311 - as above
        return PredictionRequest(mode, name, payload, own, kill_model=die)


@dataclass(frozen=True, slots=True)
class _Handlers:
    gateway: Gateway
    proxy: S3Proxy
    journal: Journal


def _build_handlers(
    options: LocalServiceOptions,
    server: RcloneServer,
    session: ClientSession,
    *,
    predictions: PredictionPool,
    journal: Journal,
    tasks: asyncio.TaskGroup,
) -> _Handlers:
    """Make the rooms that know each other, and start what runs by itself."""
    rng = Random(options.seed)  # noqa: S311 - no secret comes of it
    containers = ContainerPool(
        options.containers,
        clock=asyncio.get_running_loop().time,
        cold_start=options.cold_start,
        scale_to_zero=options.scale_to_zero,
    )
    hub = NotificationHub(options.name, options.notifications, rng)
    jobs = JobQueue(
        LocalBucket(options, server, session, hub),
        containers,
        predictions.predict_job,
        journal,
        rng=rng,
        lose_events=options.lose_events,
    )
    for _ in range(options.containers):
        tasks.create_task(jobs.run_worker())
    if options.store_restarts is not None:
        tasks.create_task(
            _restart_periodically(server, hub, options.store_restarts, options.store_outage)
        )
    return _Handlers(
        Gateway(options, containers, predictions.predict_call, rng, tasks),
        S3Proxy(options, server, session, rng, on_upload=jobs.on_upload, hub=hub),
        journal,
    )


async def _restart_periodically(
    server: RcloneServer, hub: NotificationHub, interval: float, outage: float
) -> None:
    """Take the S3 server away for a while, again and again."""
    while True:
        await asyncio.sleep(interval)
        await server.stop()
        hub.drop_streams()
        sys.stderr.write(f"the store is away for {outage:g} s\n")
        await asyncio.sleep(outage)
        await server.start()


async def _listen(options: LocalServiceOptions, handlers: _Handlers) -> web.AppRunner:
    """Open the port. Raises ConfigError if it is taken."""

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="Ok")

    async def stats(_: web.Request) -> web.Response:
        return web.json_response(dict(handlers.journal.counts))

    async def bucket_stats(_: web.Request) -> web.Response:
        return web.json_response(dict(handlers.proxy.counts))

    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.router.add_post("/run/{name}", handlers.gateway.handle_call)
    app.router.add_get("/health", health)
    app.router.add_get("/local/stats", stats)
    app.router.add_get("/local/bucket-stats", bucket_stats)
    app.router.add_route("*", "/{rest:.*}", handlers.proxy.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, _LISTEN_HOST, options.port).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(f"cannot listen on port {options.port}: {error.strerror}") from error
    return runner


def _make_connection(options: LocalServiceOptions, runner: web.AppRunner) -> ServiceConnection:
    root = f"http://{_LISTEN_HOST}:{runner.addresses[0][1]}"
    keys = options.access_key, options.secret_key
    bucket = LocalBucketAccess(root, options.name, *keys, region=LOCAL_S3_REGION)
    protocol = "oscar" if options.script else ""
    return ServiceConnection(f"{root}/run/{options.name}", options.token, bucket, protocol)
