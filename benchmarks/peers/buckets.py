"""The same calls of an S3 store as ours, by the field's clients; nothing else is done.

=================  ================================================================================
aiobotocore_*      64 tasks over one client, uvloop, no second checksum (as ours)
obstore_*          64 tasks; Rust beneath
s5cmd_upload       64 workers; Go: a program of its own, its start included
=================  ================================================================================
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring import Work
from benchmarks.peers.calls import find_run, images, make_body, read

BUCKET = "bench"
ACCESS_KEY, SECRET_KEY = "benchmark", "0123456789abcdef" * 2
IN_FLIGHT = 64
POLL_SECONDS = 0.5
"""Between two listings, as ours while outputs arrive."""


def aiobotocore_upload(url: str, folder: str) -> Work:
    _import_aiobotocore()

    async def upload() -> int:
        async with open_aiobotocore(url) as client:

            async def put(path: str) -> None:
                await client.put_object(Bucket=BUCKET, Key=_key(path), Body=read(path))

            return await for_each(images(folder), put)

    return lambda: find_run()(upload())


def obstore_upload(url: str, folder: str) -> Work:
    import obstore  # noqa: PLC0415 - each process loads its own client only

    store = open_obstore(url)

    async def put(path: str) -> None:
        await obstore.put_async(store, _key(path), read(path))

    return lambda: find_run()(for_each(images(folder), put))


def s5cmd_upload(url: str, folder: str) -> Work:
    program = Path(sys.executable).with_name("s5cmd")
    command = [str(program), "--endpoint-url", url, "--numworkers", str(IN_FLIGHT), "--log=error"]
    command += ["cp", f"{folder}/*", f"s3://{BUCKET}/inputs/"]
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    count = sum(1 for _ in images(folder))

    def work() -> int:
        subprocess.run(command, check=True, env=os.environ | keys | {"AWS_REGION": "us-east-1"})
        return count

    return work


def aiobotocore_listing(url: str) -> Work:
    _import_aiobotocore()

    async def list_all() -> int:
        found = 0
        async with open_aiobotocore(url) as client:
            pages = client.get_paginator("list_objects_v2")
            async for page in pages.paginate(Bucket=BUCKET, Prefix="outputs/"):
                found += len([(each["Key"], each["Size"]) for each in page.get("Contents", ())])
        return found

    return lambda: find_run()(list_all())


def obstore_listing(url: str) -> Work:
    import obstore  # noqa: PLC0415 - as above

    store = open_obstore(url)

    async def list_all() -> int:
        found = 0
        async for page in obstore.list(store, "outputs", chunk_size=1_000):
            found += len([(each["path"], each["size"]) for each in page])
        return found

    return lambda: find_run()(list_all())


def aiobotocore_whole_items(url: str, folder: str) -> Work:
    """Put all inputs; list until all outputs are there; get both outputs of each input once."""
    _import_aiobotocore()

    async def send_all() -> int:
        async with open_aiobotocore(url) as client:

            async def put(path: str) -> None:
                key = f"inputs/{Path(path).stem}.json"
                await client.put_object(Bucket=BUCKET, Key=key, Body=make_body(path))

            async def get(key: str) -> None:
                answer = await client.get_object(Bucket=BUCKET, Key=key)
                async with answer["Body"] as body:
                    await body.read()

            paths = [*images(folder)]
            putting = asyncio.create_task(for_each(paths, put))
            got: set[str] = set()
            pages = client.get_paginator("list_objects_v2")
            while len(got) < 2 * len(paths):
                new = []
                async for page in pages.paginate(Bucket=BUCKET, Prefix="outputs/"):
                    new += [each["Key"] for each in page.get("Contents", ())]
                new = [key for key in new if key not in got]
                await for_each(new, get)
                got.update(new)
                await asyncio.sleep(POLL_SECONDS)
            await putting
            return len(paths)

    return lambda: find_run()(send_all())


async def for_each(todo: Iterable[str], do: Callable[[str], Awaitable[None]]) -> int:
    """Do it with each, some at a time; how many."""
    rest, done = iter(todo), 0

    async def do_some(rest: Iterator[str]) -> None:
        nonlocal done
        for each in rest:
            await do(each)
            done += 1

    await asyncio.gather(*(do_some(rest) for _ in range(IN_FLIGHT)))
    return done


@asynccontextmanager
async def open_aiobotocore(url: str) -> AsyncIterator[Any]:
    """A client set up as ours: paths, one checksum, enough connections."""
    from aiobotocore.config import AioConfig  # noqa: PLC0415 - as above
    from aiobotocore.session import get_session  # noqa: PLC0415 - as above

    async with get_session().create_client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=AioConfig(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=IN_FLIGHT,
        ),
    ) as client:
        yield client


def open_obstore(url: str) -> Any:
    """The bucket as obstore has it."""
    from obstore.store import S3Store  # noqa: PLC0415 - as above

    return S3Store(
        BUCKET,
        endpoint=url,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def _import_aiobotocore() -> None:
    import aiobotocore.session  # noqa: F401, PLC0415 - before the measuring


def _key(path: str) -> str:
    return f"inputs/{Path(path).name}"
