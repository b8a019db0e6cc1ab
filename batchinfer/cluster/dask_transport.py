"""Carries calls to workers by Dask: an actor on each, called directly, past the scheduler.

Neither arguments nor results pass the scheduler, so nothing of them is in its log, in keys or on
the dashboard; and an actor's state is never spilled to disk. The scheduler needs no batchinfer:
what it sees is `pickle.loads` and a few bytes that name a class.
"""

from __future__ import annotations

import asyncio
import pickle
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from distributed import Client, Future, get_worker
from distributed.protocol import to_serialize

from batchinfer.cluster.attempt_worker import AttemptWorker
from batchinfer.cluster.worker_transport import WorkerGone, WorkerRefusal, WorkerSetup

SCHEDULER_SECONDS: Final = 10.0
"""Seconds that the scheduler is given to answer."""


class DaskAttemptWorker(AttemptWorker):
    """The actor: keeps what it must in the folder that Dask's worker has for that."""

    def __init__(self) -> None:
        super().__init__(get_worker().local_directory)


class _NewActor:
    """Becomes an actor where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[], DaskAttemptWorker], tuple[()]]:
        return DaskAttemptWorker, ()


class DaskWorker:
    """A worker with an actor of ours. See `RemoteWorker`."""

    def __init__(self, client: Client, address: str, actor: Future) -> None:
        self._client, self._address, self._actor = client, address, actor

    async def open(self, setup: WorkerSetup) -> int | None:
        """See `RemoteWorker`."""
        capacity: int | None = await self._call("open", setup)
        return capacity

    async def check_input(self, path: str) -> str | None:
        """See `RemoteWorker`."""
        reason: str | None = await self._call("check_input", path)
        return reason

    async def start(self, sequence: int, requests: bytes, dropped: Sequence[int]) -> None:
        """See `RemoteWorker`."""
        await self._call("start", sequence, requests, dropped)

    async def collect(self, sequence: int, max_seconds: float) -> bytes:
        """See `RemoteWorker`."""
        results: bytes = await self._call("collect", sequence, max_seconds)
        return results

    async def limit_bandwidth(self, bytes_per_second: float) -> None:
        """See `RemoteWorker`."""
        await self._call("limit_bandwidth", bytes_per_second)

    async def fetch(self, attempt_id: int, offset: int, size: int) -> bytes:
        """See `RemoteWorker`."""
        piece: bytes = await self._call("fetch", attempt_id, offset, size)
        return piece

    async def close(self) -> None:
        """See `RemoteWorker`."""
        try:
            await self._call("close")
        finally:
            self._actor.release()

    async def _call(self, function: str, *args: object) -> Any:
        try:
            answer = await self._client.rpc(self._address).actor_execute(
                function=function,
                actor=self._actor.key,
                args=[
                    to_serialize(each) if isinstance(each, (bytes, WorkerSetup)) else each
                    for each in args  # numbers and texts are what a message is made of
                ],
                kwargs={},
            )
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the worker said: it has no such actor
            raise WorkerGone(type(error).__name__) from None
        if answer["status"] == "OK":
            return answer["result"]
        raise _to_worker_error(answer["exception"])


class DaskTransport:
    """A cluster. See `WorkerTransport`.

    `connect_client` connects to the scheduler, also after that has gone and come back.
    """

    def __init__(self, client: Client, connect_client: Callable[[], Awaitable[Client]]) -> None:
        self._client, self._connect_client = client, connect_client

    async def list_addresses(self) -> Sequence[str]:
        """See `WorkerTransport`."""
        try:
            async with asyncio.timeout(SCHEDULER_SECONDS):
                if self._client.status in {"closed", "closing"}:
                    self._client = await self._connect_client()
                return list(await self._client.scheduler.ncores())
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - a client that connects again raises all kinds
            raise OSError(f"{type(error).__name__}: {error}") from None

    async def connect(self, address: str) -> DaskWorker:
        """See `WorkerTransport`."""
        actor = self._client.submit(
            pickle.loads,
            pickle.dumps(_NewActor()),
            key=f"batchinfer-worker-{secrets.token_hex(8)}",
            workers=[address],
            allow_other_workers=False,
            actor=True,
            pure=False,
        )
        try:
            error = await actor.exception()
        except BaseException:
            actor.release()
            raise
        if actor.status != "finished":
            actor.release()
            raise _to_worker_error(error or OSError("it was lost"))
        return DaskWorker(self._client, address, actor)

    async def close(self) -> None:
        """Leave the cluster."""
        await self._client.close()


def _to_worker_error(error: BaseException | None) -> Exception:
    """What a worker raised. Errors of others are shown by their names: texts may quote settings."""
    match error:
        case WorkerGone() | WorkerRefusal() | OSError():
            return error
        case ImportError():
            return WorkerRefusal(f"it has no batchinfer, or not all that it needs ({error})")
        case _:
            return WorkerRefusal(f"it failed in an unforeseen way ({type(error).__name__})")
