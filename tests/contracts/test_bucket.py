"""What every bucket keeps: the one in memory, and a real S3 server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path

import anyio
import pytest

from batchinfer.backends.bucket_client import BucketClient, ListedObject, MemoryBucket
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.s3 import open_s3_bucket
from batchinfer.backends.split_bucket import open_split_bucket
from support.servers import ACCESS_KEY, SECRET_KEY, rclone_s3, reserved_port


@pytest.fixture(params=["memory", "split", "direct", "botocore"])
async def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BucketClient]:
    if request.param == "memory":
        yield MemoryBucket(page_size=100)
        return
    if request.param == "split":
        parts = (nullcontext(MemoryBucket(page_size=100)) for _ in range(2))
        async with open_split_bucket(*parts, "outputs/") as bucket:
            yield bucket
        return
    (tmp_path / "ai4papi-1").mkdir()
    with reserved_port() as port, rclone_s3(tmp_path, port):
        async with open_s3_bucket(
            endpoint=f"http://127.0.0.1:{port}",
            name="ai4papi-1",
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            redactor=Redactor([SECRET_KEY]),
            retry_timeout=10,
            use_botocore=request.param == "botocore",
        ) as bucket:
            yield bucket


async def every(bucket: BucketClient, prefix: str, start_after: str = "") -> list[ListedObject]:
    page = await bucket.list_page(prefix, start_after=start_after)
    entries = [*page.objects]
    while page.continuation_token is not None:
        page = await bucket.list_page(prefix, token=page.continuation_token)
        entries += page.objects
    return entries


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
async def test_what_was_put_is_got(bucket: BucketClient, size: int):
    body = bytes(range(256)) * (size // 256) + b"\xff" * (size % 256)
    assert await bucket.put("inputs/r-1-1.json", body) is None
    assert await bucket.get("inputs/r-1-1.json") == body
    assert await bucket.exists("inputs/r-1-1.json")
    assert await every(bucket, "inputs/") == [ListedObject("inputs/r-1-1.json", size)]


ODD_NAMES = [
    "a b",
    "a+b",
    "a%2Bb",
    "a%",
    "ä€𝄞",
    "a&b=c;d",
    "a?b#c",
    "it's (a) [b] {c}!*$@:,",
    '<k attr="&amp;">',
    "~a~",
    "a|b^c`d",
]


async def test_keys_may_hold_what_urls_and_xml_give_a_meaning(bucket: BucketClient):
    for name in ODD_NAMES:
        await bucket.put(f"odd/{name}", name.encode())
    listed = [entry.key for entry in await every(bucket, "odd/")]
    assert listed == sorted((f"odd/{name}" for name in ODD_NAMES), key=str.encode)
    for name in ODD_NAMES:
        key = f"odd/{name}"
        assert await bucket.get(key) == name.encode()
        assert next(iter((await bucket.list_page(key)).objects)).key == key
        assert key not in [entry.key for entry in await every(bucket, "odd/", key)]
        await bucket.delete(key)
        assert not await bucket.exists(key)


async def test_a_second_put_replaces_the_first(bucket: BucketClient):
    await bucket.put("inputs/a.json", b"first")
    await bucket.put("inputs/a.json", b"second")
    assert await bucket.get("inputs/a.json") == b"second"


async def test_what_is_not_there_is_no_error(bucket: BucketClient):
    assert await bucket.get("outputs/none.json") is None
    assert not await bucket.exists("outputs/none.json")
    await bucket.delete("outputs/none.json")
    assert await every(bucket, "outputs/") == []


async def test_what_was_deleted_is_gone(bucket: BucketClient):
    await bucket.put("outputs/a.log", b"x")
    await bucket.put("outputs/b.log", b"x")
    await bucket.delete("outputs/a.log")
    assert await bucket.get("outputs/a.log") is None
    assert [entry.key for entry in await every(bucket, "outputs/")] == ["outputs/b.log"]


async def test_a_listing_shows_the_prefix_only_in_key_order(bucket: BucketClient):
    for name in ("r2-1-1.log", "r1-10-1.log", "r1-2-1.log", "r1-2-1.json", "r10-1-1.log"):
        await bucket.put(f"outputs/{name}", b"x")
    keys = [entry.key for entry in await every(bucket, "outputs/r1-")]
    assert keys == ["outputs/r1-10-1.log", "outputs/r1-2-1.json", "outputs/r1-2-1.log"]


async def test_a_listing_starts_after_a_key_that_need_not_exist(bucket: BucketClient):
    for name in "abcd":
        await bucket.put(f"outputs/{name}", b"x")
    after = [entry.key for entry in await every(bucket, "outputs/", "outputs/b")]
    between = [entry.key for entry in await every(bucket, "outputs/", "outputs/bb")]
    assert after == between == ["outputs/c", "outputs/d"]
    assert await every(bucket, "outputs/", "outputs/zzz") == []


@pytest.mark.slow
async def test_a_long_listing_shows_every_object_once(bucket: BucketClient):
    names = [f"outputs/r-{number:05d}-1.log" for number in range(1_203)]
    async with anyio.create_task_group() as tasks:
        for some in range(20):
            tasks.start_soon(put_all, bucket, names[some::20])
    entries = await every(bucket, "outputs/r-")
    assert [entry.key for entry in entries] == names
    later = await every(bucket, "outputs/r-", names[99])
    assert [entry.key for entry in later] == names[100:]


async def put_all(bucket: BucketClient, names: list[str]) -> None:
    for name in names:
        await bucket.put(name, b"x")
