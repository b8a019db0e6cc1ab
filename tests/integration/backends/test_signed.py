"""Whether a store offers live notifications, and what time it has: doubles of MinIO, and rclone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from batchinfer.backends.clock_skew import parse_clock_skew
from batchinfer.backends.s3_probe import LIVE_EVENTS_QUERY, ProbeResponse, probe_bucket
from batchinfer.local.service_options import NotificationFaults
from support.local_service import service

NOW = 1_700_000_000.0
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
LISTING = b'<?xml version="1.0"?><ListBucketResult></ListBucketResult>'
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def store(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{bucket}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def asked(endpoint: str, seconds: float = 5.0) -> ProbeResponse:
    return await probe_bucket(
        endpoint=endpoint,
        name="my bucket",
        access_key="me@example.eu",
        secret_key="secret",
        region="us-east-1",
        query=LIVE_EVENTS_QUERY,
        seconds=seconds,
        clock=lambda: NOW,
    )


def stream(*pieces: bytes, status: int = 200) -> Handler:
    """Answers as MinIO does: headers, and then a sign of life now and again, for ever."""

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.query == LIVE_EVENTS_QUERY
        assert request.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=me@")
        response = web.StreamResponse(status=status, headers={"Date": DATE})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if status == 200 and not any(piece.startswith(b"<") for piece in pieces):
            await asyncio.sleep(60)
        return response

    return handler


@pytest.mark.parametrize(
    ("handler", "live"),
    [
        (stream(b" "), True),
        (stream(b'{"Records":null}\n'), True),
        (stream(b'{"Records":[{"eventName":"s3:ObjectCreated:Put"}]}\n'), True),
        (stream(LISTING), False),
        *[(stream(b"<Error/>", status=status), False) for status in (400, 403, 404, 405, 501)],
    ],
)
async def test_only_a_stream_is_live(handler, live):
    async with store(handler) as endpoint:
        answer = await asked(endpoint)

    assert answer.has_live_events is live
    assert answer.clock_skew == 0.0


async def test_a_store_that_says_nothing_is_not_live():
    async with store(stream()) as endpoint:
        answer = await asked(endpoint, seconds=0.3)

    assert not answer.has_live_events


async def test_a_store_that_is_away_is_an_os_error():
    async with store(stream()) as endpoint:
        pass
    with pytest.raises(OSError, match="no answer"):
        await asked(endpoint)


async def test_a_real_store_that_lists_instead_is_not_live():
    with service(notifications=NotificationFaults(xml=True)) as running:
        bucket = running.connection.bucket
        answer = await probe_bucket(
            endpoint=bucket.endpoint,
            name=bucket.name,
            access_key=bucket.access_key,
            secret_key=bucket.secret_key,
            region=bucket.region,
            query=LIVE_EVENTS_QUERY,
        )

    assert (answer.status, answer.has_live_events) == (200, False)
    assert abs(answer.clock_skew) < 60


@pytest.mark.parametrize(
    ("date", "ahead"),
    [
        (DATE, 0.0),
        ("Tue, 14 Nov 2023 23:13:20 GMT", 3600.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("Tue, 99 Nov 2023 23:13:20 GMT", None),
        ("Tue, 14 Nov 99999999 23:13:20 GMT", None),
    ],
)
def test_a_date_is_read_or_is_none(date, ahead):
    assert parse_clock_skew(date, NOW) == ahead
