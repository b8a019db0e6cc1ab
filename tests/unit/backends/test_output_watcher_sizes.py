"""What is read of the bucket is bounded: each output, and all of them together."""

from __future__ import annotations

import anyio
import pytest

from batchinfer.backends.output_reader import OUTPUT_MEMORY_FACTOR
from batchinfer.backends.output_watcher import BucketOutputWatcher
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import FailureKind, Reply, State
from support.protocols import AI4OS_BUCKET
from support.watched_bucket import GRACE, OK_JSON, OK_LOG, RUN, Desk

pytestmark = pytest.mark.event_loops("virtual")

LIMIT = 10_000


async def desk_of(count: int = 1, **more) -> Desk:
    desk = Desk()
    desk.watcher = BucketOutputWatcher(
        desk.bucket,
        protocol=AI4OS_BUCKET,
        run_id=RUN,
        redactor=Redactor([]),
        max_reply=LIMIT,
        grace_seconds=GRACE,
        **more,
    )
    await desk.submit(count)
    return desk


def text_of(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


async def test_an_output_at_the_limit_is_read():
    desk = await desk_of()
    desk.put("log", OK_LOG)
    desk.put("json", text_of(LIMIT))
    assert isinstance(await desk.outcome(), Reply)


@pytest.mark.parametrize("extension", ["json", "log"])
async def test_a_larger_one_is_the_items_failure_and_is_not_read(extension: str):
    desk = await desk_of()
    desk.put("log", OK_LOG)
    desk.put("json", OK_JSON)
    desk.put(extension, text_of(LIMIT + 1))
    failure = await desk.outcome()
    assert (failure.code, failure.kind) == ("reply_too_large", FailureKind.PERMANENT)
    assert "10,001 bytes" in failure.message
    assert "--max-reply" in failure.message


async def test_one_that_grew_since_it_was_listed_is_not_read_to_its_end():
    desk = await desk_of()
    desk.put("log", OK_LOG)
    desk.put("json", OK_JSON)
    get = desk.bucket.get

    async def grown(key: str, max_bytes: int | None = None) -> bytes | None:
        if key.endswith(".json"):
            desk.bucket.objects[key] = text_of(LIMIT + 5)
        return await get(key, max_bytes)

    desk.bucket.get = grown
    assert (await desk.outcome()).code == "reply_too_large"


async def test_clean_leaves_what_was_too_large():
    desk = await desk_of(clean=True)
    desk.put("log", OK_LOG)
    desk.put("json", text_of(LIMIT + 1))
    failure = await desk.outcome()
    await desk.record(1, 1, failure, State.FAILED)
    await desk.watcher.cleanup(desk.store)
    assert len(desk.bucket.objects) == 2


async def test_only_so_much_is_read_at_a_time():
    budget = 3 * OUTPUT_MEMORY_FACTOR * (5_000 + len(OK_LOG))
    desk = await desk_of(12, memory=budget)
    held = most = 0
    get = desk.bucket.get

    async def slow(key: str, max_bytes: int | None = None) -> bytes | None:
        nonlocal held, most
        if key.endswith(".json"):
            held += 1
            most = max(most, held)
            await anyio.sleep(1)
            held -= 1
        return await get(key, max_bytes)

    desk.bucket.get = slow
    for position in range(1, 13):
        desk.put("log", OK_LOG, position)
        desk.put("json", text_of(5_000), position)
    assert len(await desk.look()) == 12
    assert most == 3


async def test_an_output_that_is_not_whole_yet_is_looked_at_again():
    desk = await desk_of()
    desk.put("log", OK_LOG)
    desk.put("json", b"")
    assert await desk.outcome() is None
    desk.put("json", OK_JSON)
    assert isinstance(await desk.outcome(), Reply)


async def test_one_that_stays_so_is_a_transient_failure():
    desk = await desk_of()
    desk.put("log", OK_LOG)
    desk.put("json", b"")
    assert await desk.outcome() is None
    await anyio.sleep(GRACE)
    failure = await desk.outcome()
    assert (failure.code, failure.kind) == ("no_output", FailureKind.TRANSIENT)
