"""What the tests of the local service share: services for a module, clients, payloads."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientSession

from batchinfer.local.service_connection import ServiceConnection
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from support.paths import MODELS


@contextmanager
def service(**options: Any) -> Iterator[ServiceProcess]:
    """A local service whose models may be `local_model:...`; in threads unless told otherwise."""
    with start_service(LocalServiceOptions(**{"threads": True, **options}), cwd=MODELS) as started:
        yield started


def payload(*files: bytes, **params: object) -> bytes:
    entries = [
        {"key": "files", "file_format": "jpg", "data": base64.b64encode(data).decode()}
        for data in files
    ]
    return json.dumps(params | ({"oscar-files": entries} if entries else {})).encode()


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again what only another process knows."""
    with anyio.fail_after(30):
        while not await condition():  # noqa: ASYNC110 - there is nothing to be woken by
            await anyio.sleep(0.02)


@asynccontextmanager
async def session(connection: ServiceConnection) -> AsyncIterator[ClientSession]:
    headers = {"Authorization": f"Bearer {connection.token}", "Content-Type": "application/json"}
    async with ClientSession(headers=headers) as client:
        yield client


async def call(connection: ServiceConnection, body: bytes, **headers: str) -> tuple[int, str]:
    async with (
        session(connection) as client,
        client.post(connection.endpoint, data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


@asynccontextmanager
async def s3(connection: ServiceConnection, *, secret: str | None = None) -> AsyncIterator[Any]:
    config = AioConfig(
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"total_max_attempts": 1},
    )
    async with get_session().create_client(
        "s3",
        endpoint_url=connection.bucket.endpoint,
        region_name=connection.bucket.region,
        aws_access_key_id=connection.bucket.access_key,
        aws_secret_access_key=secret or connection.bucket.secret_key,
        config=config,
    ) as client:
        yield client


async def keys(client: Any, prefix: str = "", **more: object) -> list[str]:
    """All keys, page by page."""
    found: list[str] = []
    token: dict[str, object] = {}
    while True:
        page = await client.list_objects_v2(Bucket="local", Prefix=prefix, **token, **more)
        found += [entry["Key"] for entry in page.get("Contents", [])]
        if not page["IsTruncated"]:
            return found
        token = {"ContinuationToken": page["NextContinuationToken"]}


async def outputs(client: Any, number: int) -> dict[str, bytes]:
    """What has come to `outputs/`, once it is so many objects."""

    async def enough() -> bool:
        return len(await keys(client, "outputs/")) >= number + 1  # and the marker

    await until(enough)
    got = {}
    for name in (await keys(client, "outputs/"))[1:]:
        answer = await client.get_object(Bucket="local", Key=name)
        got[name.removeprefix("outputs/")] = await answer["Body"].read()
    return got
