"""Connect, read, connect again: whatever the store does."""

import anyio
import pytest

from batchinfer.backends.bucket_client import InvalidS3Response, ListedObject
from batchinfer.backends.notification_listener import (
    MAX_RECONNECT_SECONDS,
    UNSUPPORTED_RETRY_SECONDS,
    NotificationListener,
)
from batchinfer.backends.notification_parser import MalformedNotification, NotificationsUnsupported
from batchinfer.errors import FatalError
from support.notified_bucket import FakeSource
from support.watched_bucket import RUN

pytestmark = pytest.mark.event_loops("virtual")

A = ListedObject("outputs/a.json", 1)


async def listen(source: FakeSource, seconds: float) -> list[object]:
    told: list[object] = []
    listener = NotificationListener(source, f"outputs/{RUN}-", jitter=lambda: 0.0)
    with anyio.move_on_after(seconds):
        await listener.run(
            on_connected=lambda: told.append("connected"),
            on_written=told.append,
            on_dropped=lambda: told.append("dropped"),
        )
    return told


async def test_what_is_written_is_told_and_a_cancelled_stream_is_closed():
    source = FakeSource()
    source.tell(A)
    source.tell()
    assert await listen(source, 1) == ["connected", (A,), (), "dropped"]
    assert source.closed == 1


@pytest.mark.parametrize(
    "error", [ConnectionError(), TimeoutError(), OSError("x"), MalformedNotification("x")]
)
async def test_a_dropped_stream_is_opened_again_later_and_later(error):
    source = FakeSource()
    for _ in range(4):
        source.drop(error)
    assert await listen(source, 20) == ["connected", "dropped"] * 5
    assert source.opened == [0, 1, 3, 7, 15]


async def test_a_store_that_is_away_is_asked_once_a_minute_at_last():
    source = FakeSource(answers=[ConnectionError()] * 100)
    assert await listen(source, 1000) == []
    assert source.opened[-1] - source.opened[-2] == MAX_RECONNECT_SECONDS


async def test_a_stream_that_lasted_is_opened_again_soon():
    source = FakeSource(answers=[ConnectionError()] * 5)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen, source, 200)
        await anyio.sleep(150)
        source.drop()
    assert source.opened[-1] == 151


@pytest.mark.parametrize(
    "error",
    [
        NotificationsUnsupported("x"),
        InvalidS3Response("x"),
        FatalError("s3_no_bucket", "x"),
        RuntimeError("a library's own"),
    ],
)
async def test_a_store_without_notifications_is_asked_rarely(error):
    source = FakeSource(answers=[error] * 2)
    assert await listen(source, 2.5 * UNSUPPORTED_RETRY_SECONDS) == ["connected", "dropped"]
    assert source.opened == [0, UNSUPPORTED_RETRY_SECONDS, 2 * UNSUPPORTED_RETRY_SECONDS]


async def test_a_document_in_place_of_a_stream_is_the_same():
    source = FakeSource()
    source.drop(NotificationsUnsupported("a listing"))
    assert await listen(source, 100) == ["connected", "dropped"]
