"""Live notifications over real sockets: the local service's, other stores', misbehaving ones."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
import trustme

from batchinfer.backends.bucket_client import ListedObject
from batchinfer.backends.notification_parser import MalformedNotification, NotificationsUnsupported
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.s3 import S3BucketClient, open_s3_bucket
from batchinfer.local.service_options import NotificationFaults
from batchinfer.local.service_process import ServiceProcess
from support.local_bucket import access
from support.local_service import service
from support.servers import ACCESS_KEY, SECRET_KEY, Answer, rclone_s3, stub, talking

NAME = "ai4papi-1"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PING = b'{"Records":null}\n'
Talk = Callable[[anyio.abc.SocketStream], Awaitable[None]]


@pytest.fixture(params=["direct", "botocore"])
def carrier(request: pytest.FixtureRequest) -> dict[str, bool]:
    return {"use_botocore": request.param == "botocore"}


def bucket_at(port: int, carrier: dict[str, bool], scheme: str = "http", **changed: Any) -> Any:
    known: dict[str, Any] = {
        "endpoint": f"{scheme}://127.0.0.1:{port}",
        "name": NAME,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "redactor": Redactor([ACCESS_KEY, SECRET_KEY]),
    }
    return open_s3_bucket(**(known | carrier | changed))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def told(key: str) -> bytes:
    escaped = key.replace("/", "%2F").encode()
    return (
        b'{"Records":[{"eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"%b"},'
        b'"object":{"key":"%b","size":7}}}]}\n' % (NAME.encode(), escaped)
    )


async def read_request(stream: anyio.abc.SocketStream) -> str:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += await stream.receive()
    return raw.decode("latin-1")


async def listen(bucket: S3BucketClient, count: int = 1) -> list[ListedObject]:
    """The first so many objects that are named."""
    named: list[ListedObject] = []
    with anyio.fail_after(60):
        async with bucket.open_notifications("outputs/") as stream:
            while len(named) < count:
                named += await stream.fetch_written()
    return named


async def failure(bucket: S3BucketClient) -> OSError:
    """Why nothing is named."""
    try:
        named = await listen(bucket)
    except OSError as error:
        return error
    raise AssertionError(named)


# The local service ------------------------------------------------------------------------------


@asynccontextmanager
async def local(
    carrier: dict[str, bool], **options: Any
) -> AsyncIterator[tuple[ServiceProcess, S3BucketClient]]:
    with service(**options) as started:
        async with open_s3_bucket(**(access(started) | carrier)) as bucket:
            yield started, bucket


async def test_what_is_put_is_told(carrier):
    keys = ["outputs/a b+c.json", "outputs/ä.log", "outputs/x/y%2F.json"]
    async with local(carrier) as (started, bucket), anyio.create_task_group() as tasks:
        named: list[ListedObject] = []

        async def follow() -> None:
            named.extend(await listen(bucket, len(keys)))

        tasks.start_soon(follow)
        await opened(started)
        await bucket.put("other/a.json", b"not asked for")
        for key in keys:
            await bucket.put(key, b"1234567")
    assert named == [ListedObject(key, 7) for key in keys]


async def opened(started: ServiceProcess) -> None:
    """Wait until a stream was asked for, and so subscribed."""
    with anyio.fail_after(30):
        while not started.read_bucket_stats().get("notification_streams"):  # noqa: ASYNC110
            await anyio.sleep(0.02)


async def test_a_wrong_secret_gets_no_stream(carrier):
    with service() as started:
        wrong = access(started) | carrier | {"secret_key": "wrong"}
        async with open_s3_bucket(**wrong) as bucket:
            with pytest.raises(NotificationsUnsupported):
                await listen(bucket)
        assert started.read_bucket_stats() == {}


async def test_a_cancelled_stream_leaves_no_connection(carrier):
    async with local(carrier) as (_, bucket):
        await bucket.list_page("")  # its connection is kept
        before = open_files()
        for _ in range(3):
            with anyio.move_on_after(30) as scope:
                async with bucket.open_notifications("outputs/") as stream:
                    while True:
                        assert await stream.fetch_written() == []
                        scope.cancel()
        await anyio.lowlevel.checkpoint()
        assert open_files() <= before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("fault", ["xml", "status:403", "status:501"])
async def test_a_local_service_without_notifications(carrier, fault):
    async with local(carrier, notifications=NotificationFaults.parse([fault])) as (_, bucket):
        with pytest.raises(NotificationsUnsupported):
            await listen(bucket)
        assert await bucket.list_page("inputs/")


async def test_a_stream_that_is_cut_off_ends(carrier):
    faults = NotificationFaults.parse(["drop:0.7", "blanks"])
    async with local(carrier, notifications=faults) as (_, bucket):
        assert not isinstance(await failure(bucket), NotificationsUnsupported)


async def test_another_store_answers_with_a_listing(carrier, tmp_path: Path, free_tcp_port: int):
    (tmp_path / NAME).mkdir()
    with rclone_s3(tmp_path, free_tcp_port):
        async with bucket_at(free_tcp_port, carrier) as bucket:
            await bucket.put("outputs/a.json", b"x")
            with pytest.raises(NotificationsUnsupported):
                await listen(bucket)
            assert await bucket.get("outputs/a.json") == b"x"


# A store that misbehaves ------------------------------------------------------------------------


@asynccontextmanager
async def talked_to(carrier: dict[str, bool], talk: Talk) -> AsyncIterator[S3BucketClient]:
    async def answer(stream: anyio.abc.SocketStream) -> None:
        await read_request(stream)
        await talk(stream)

    async with talking(answer) as port, bucket_at(port, carrier) as bucket:
        yield bucket


@pytest.mark.parametrize("life", [b" ", PING, b"\n"])
async def test_a_slow_start_and_pieces_of_any_size(carrier, life):
    async def talk(stream: anyio.abc.SocketStream) -> None:
        await anyio.sleep(0.5)
        raw = HEAD + chunk(life) + b"".join(chunk(bytes([each])) for each in told("outputs/a.log"))
        for start in range(0, len(raw), 97):
            await stream.send(raw[start : start + 97])
            await anyio.lowlevel.checkpoint()
        await stream.receive()

    async with talked_to(carrier, talk) as bucket:
        assert await listen(bucket) == [ListedObject("outputs/a.log", 7)]


async def test_a_head_alone_opens_the_stream(carrier):
    async def talk(stream: anyio.abc.SocketStream) -> None:
        await stream.send(HEAD)
        await stream.receive()

    async with talked_to(carrier, talk) as bucket:
        with anyio.fail_after(30):
            async with bucket.open_notifications("outputs/"):
                pass


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        HEAD,
        HEAD + chunk(PING),
        HEAD + chunk(PING) + b"0\r\n\r\n",
        HEAD + b"5\r\nab",
        HEAD + b"no chunk\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n ",
        b"HTTP/1.1 503 Slow\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n",
        b"no HTTP at all\r\n\r\n",
    ],
)
async def test_a_stream_that_ends_may_be_asked_for_again(carrier, sent):
    async def talk(stream: anyio.abc.SocketStream) -> None:
        await stream.send(sent)

    async with talked_to(carrier, talk) as bucket:
        assert not isinstance(await failure(bucket), NotificationsUnsupported)


@pytest.mark.slow
async def test_a_stream_that_falls_silent_ends(carrier):
    async def talk(stream: anyio.abc.SocketStream) -> None:
        await stream.send(HEAD + chunk(PING))
        await stream.receive()

    async with talked_to(carrier, talk) as bucket:
        assert not isinstance(await failure(bucket), NotificationsUnsupported)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501, 301, 307])
async def test_a_refusal_means_that_there_are_none(carrier, status):
    body = b"<Error><Code>NotImplemented</Code></Error>"
    async with (
        stub(Answer(status, body, {"Location": "http://127.0.0.1:9/"})) as store,
        bucket_at(store.port, carrier) as bucket,
    ):
        with pytest.raises(NotificationsUnsupported):
            await listen(bucket)
    assert len(store.requests) == 1
    assert SECRET_KEY not in str(store.requests[0])


async def test_a_web_page_is_no_stream(carrier):
    page = Answer(200, b"<html>log in</html>", {"Content-Type": "text/html"})
    async with stub(page) as store, bucket_at(store.port, carrier) as bucket:
        with pytest.raises(OSError, match="web page"):
            await listen(bucket)


async def test_a_line_without_end_is_given_up(carrier):
    async def talk(stream: anyio.abc.SocketStream) -> None:
        await stream.send(HEAD)
        while True:
            await stream.send(chunk(b"x" * (1 << 16)))

    async with talked_to(carrier, talk) as bucket:
        with pytest.raises(MalformedNotification):
            await listen(bucket)


async def test_a_flood_is_read_to_its_last_line(carrier):
    count = 20_000

    async def talk(stream: anyio.abc.SocketStream) -> None:
        await stream.send(HEAD)
        for start in range(0, count, 500):
            lines = b"".join(told(f"outputs/{n}.log") for n in range(start, start + 500))
            await stream.send(chunk(lines))
        await stream.receive()

    async with talked_to(carrier, talk) as bucket:
        named = await listen(bucket, count)
    assert [entry.key for entry in named] == [f"outputs/{n}.log" for n in range(count)]


async def test_the_request_is_signed_and_asks_for_our_prefix_only(carrier):
    heads: list[str] = []

    async def answer(stream: anyio.abc.SocketStream) -> None:
        heads.append(await read_request(stream))
        await stream.send(HEAD + chunk(told("outputs/a.log")))
        await stream.receive()

    async with talking(answer) as port, bucket_at(port, carrier) as bucket:
        await listen(bucket)
    (head,) = heads
    target = "/ai4papi-1?events=s3%3AObjectCreated%3A%2A&ping=5&prefix=outputs%2F"
    assert head.startswith(f"GET {target} HTTP/1.1\r\n")
    assert "uthorization: AWS4-HMAC-SHA256 Credential=user@example.eu/" in head
    assert SECRET_KEY not in head


async def test_over_tls(carrier, tmp_path: Path):
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    body = Answer(200, told("outputs/a.log"), {"Content-Type": "text/event-stream"})
    async with stub(body, tls=server) as store:
        trusted = {"ca_file": str(tmp_path / "ca.pem")}
        async with bucket_at(store.port, carrier, "https", **trusted) as bucket:
            assert await listen(bucket) == [ListedObject("outputs/a.log", 7)]
        async with bucket_at(store.port, carrier, "https") as bucket:
            assert not isinstance(await failure(bucket), NotificationsUnsupported)
    assert len(store.requests) == 1


async def test_through_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    body = Answer(200, told("outputs/a.log"))
    async with stub(body) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        async with bucket_at(0, {}, endpoint="http://minio.invalid") as bucket:
            assert await listen(bucket) == [ListedObject("outputs/a.log", 7)]
    assert proxy.requests[0].target.startswith("http://minio.invalid/ai4papi-1?events=")
