"""Plays the service behind a bucket: puts a log and a reply for each input object.

Run as `python -m benchmarks.peers.answering URL`; it prints a line when it is ready, and ends when
its standard input does. By obstore where it is installed: it should cost as little as can be, for
it shares its core with the S3 server.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from benchmarks.measuring import ROOT
from benchmarks.peers.buckets import BUCKET, for_each, open_aiobotocore, open_obstore

LOOK_EVERY = 0.1
LOG, REPLY = (
    (ROOT / f"tests/fixtures/async_2.5.2_ok_yolo_seed_format.{extension}").read_bytes()
    for extension in ("log", "json")
)


@dataclass(frozen=True, slots=True)
class Store:
    """What is needed of a bucket."""

    list_keys: Callable[[str], Awaitable[set[str]]]
    put: Callable[[str, bytes], Awaitable[object]]


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """The bucket, by the best client that is installed."""
    try:
        import obstore  # noqa: PLC0415 - one of several
    except ImportError:
        async with open_aiobotocore(url) as client:
            yield Store(
                partial(_list_by_aiobotocore, client),
                lambda key, body: client.put_object(Bucket=BUCKET, Key=key, Body=body),
            )
        return
    store = open_obstore(url)

    async def list_keys(prefix: str) -> set[str]:
        pages = obstore.list(store, prefix, chunk_size=1_000)
        return {each["path"] async for page in pages for each in page}

    yield Store(list_keys, partial(obstore.put_async, store))


async def answer(url: str) -> None:
    """Answer until standard input ends."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    answered: set[str] = set()
    async with open_store(url) as store:
        print("ready", flush=True)

        async def put_outputs(key: str) -> None:
            name = key.removeprefix("inputs/").removesuffix(".json")
            await store.put(f"outputs/{name}.log", LOG)
            await store.put(f"outputs/{name}.json", REPLY)

        while not ended.is_set():
            keys = await store.list_keys("inputs/")
            await for_each(sorted(keys - answered), put_outputs)
            # What was deleted does not come back: forgotten, so that a long run does not grow us.
            answered = keys
            await asyncio.sleep(LOOK_EVERY)


async def _list_by_aiobotocore(client: object, prefix: str) -> set[str]:
    pages = client.get_paginator("list_objects_v2")  # type: ignore[attr-defined]
    found = pages.paginate(Bucket=BUCKET, Prefix=prefix)
    return {each["Key"] async for page in found for each in page.get("Contents", ())}


if __name__ == "__main__":
    asyncio.run(answer(sys.argv[1]))
