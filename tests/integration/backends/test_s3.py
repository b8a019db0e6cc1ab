"""The S3 carrier where things go wrong: real sockets, a real S3 server, and one that misbehaves."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from itertools import cycle
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest
import trustme

from batchinfer.backends.bucket_client import BucketUnreachable, ListedObject
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.s3 import S3BucketClient, open_s3_bucket
from batchinfer.domain import Failure
from batchinfer.errors import ConfigError, FatalError
from batchinfer.flow.rate_limiters import BandwidthLimiter
from support.servers import ACCESS_KEY, SECRET_KEY, Answer, Request, rclone_s3, stub, talking

NAME = "ai4papi-1"


CARRIER: dict[str, bool] = {}


@pytest.fixture(params=["direct", "botocore"], autouse=True)
def carrier(request: pytest.FixtureRequest):
    """Every test runs over both ways to call a store: what one keeps, the other keeps."""
    CARRIER["use_botocore"] = request.param == "botocore"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / NAME).mkdir()
    return tmp_path


@pytest.fixture
def port(root: Path, free_tcp_port: int) -> Iterator[int]:
    with rclone_s3(root, free_tcp_port):
        yield free_tcp_port


def bucket_at(
    port: int, scheme: str = "http", **changed: Any
) -> AbstractAsyncContextManager[S3BucketClient]:
    known: dict[str, Any] = {
        "endpoint": f"{scheme}://127.0.0.1:{port}",
        "name": NAME,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "redactor": Redactor([ACCESS_KEY, SECRET_KEY]),
        "retry_timeout": 20.0,
    }
    return open_s3_bucket(**(known | CARRIER | changed))


def told(code: str, message: str | None = "why", status: int = 400) -> Answer:
    text = "" if message is None else f"<Message>{message}</Message>"
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code>{text}</Error>'
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})


# A store that runs ------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["put", "get", "exists", "delete", "list_page"])
@pytest.mark.parametrize("wrong", [{"secret_key": "wrong-" * 8}, {"access_key": "nobody"}])
async def test_wrong_keys_are_fatal_at_the_first_try(port: int, verb: str, wrong: dict[str, str]):
    async with bucket_at(port, **wrong) as bucket:
        arguments = (b"x",) if verb == "put" else ()
        with pytest.raises(FatalError) as caught:
            await getattr(bucket, verb)("inputs/a.json", *arguments)
    assert caught.value.code == "s3_bad_credentials"
    assert "compare access key and secret key" in str(caught.value)
    assert not any(secret in str(caught.value) for secret in (SECRET_KEY, *wrong.values()))


async def test_a_missing_bucket_is_fatal(port: int):
    async with bucket_at(port, name="ai4papi-2") as bucket:
        with pytest.raises(FatalError, match="there is no bucket 'ai4papi-2' at") as caught:
            await bucket.list_page("outputs/")
        assert caught.value.code == "s3_no_bucket"
        with pytest.raises(FatalError, match="there is no bucket"):
            await bucket.put("inputs/a.json", b"x")


async def test_a_name_no_bucket_can_have_is_fatal(port: int):
    async with bucket_at(port, name="no bucket/at all") as bucket:
        with pytest.raises(FatalError) as caught:
            await bucket.list_page("outputs/")
    assert caught.value.code == "s3_no_bucket"


@pytest.mark.parametrize("endpoint", ["not an address", "", "minio.example.eu"])
async def test_an_address_that_is_none_is_fatal(endpoint: str):
    with pytest.raises(FatalError) as caught:
        async with bucket_at(0, endpoint=endpoint):
            pass
    assert caught.value.code == "bad_endpoint"
    assert "MINIO URL" in str(caught.value)


async def test_nothing_is_taken_from_the_environment(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://127.0.0.1:9\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another")
    async with bucket_at(port) as bucket:
        await bucket.put("inputs/a.json", b"x")
        assert await bucket.get("inputs/a.json") == b"x"


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch):
    async with stub(Answer(body=b"through a proxy")) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        async with bucket_at(0, endpoint="http://minio.invalid") as bucket:
            assert await bucket.get("outputs/a.json") == b"through a proxy"
    assert proxy.requests[0].target == f"http://minio.invalid/{NAME}/outputs/a.json"


async def test_no_proxy_stands_before_this_machine(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "127.0.0.1:9")
    async with bucket_at(port) as bucket:
        assert await bucket.get("outputs/a.json") is None


# A store that is away ---------------------------------------------------------------------------


async def test_a_store_that_does_not_come_is_given_up(free_tcp_port: int):
    async with bucket_at(free_tcp_port, retry_timeout=0.3) as bucket:
        with pytest.raises(BucketUnreachable) as caught:
            await bucket.list_page("outputs/")
    assert f"127.0.0.1:{free_tcp_port} has not answered for 0.3 s" in str(caught.value)
    assert "check the address" in str(caught.value)


async def test_a_store_that_comes_late_is_waited_for(root: Path, free_tcp_port: int):
    async with bucket_at(free_tcp_port) as bucket, anyio.create_task_group() as tasks:
        tasks.start_soon(bucket.put, "inputs/a.json", b"x")
        await anyio.sleep(0.5)
        with rclone_s3(root, free_tcp_port):
            assert await _turns_up(bucket, "inputs/a.json") == b"x"


async def _turns_up(bucket: S3BucketClient, key: str) -> bytes:
    with anyio.fail_after(20):
        while (body := await bucket.get(key)) is None:  # noqa: ASYNC110 - a store tells nobody
            await anyio.sleep(0.05)
    return body


async def test_a_store_that_restarts_in_the_middle_loses_nothing(root: Path, free_tcp_port: int):
    names = [f"inputs/{number}.json" for number in range(60)]
    async with bucket_at(free_tcp_port) as bucket, anyio.create_task_group() as tasks:
        for some in range(4):
            tasks.start_soon(_put_all, bucket, names[some::4])
        for _ in range(3):
            with rclone_s3(root, free_tcp_port):
                await anyio.sleep(0.2)
            await anyio.sleep(0.2)
        with rclone_s3(root, free_tcp_port):
            for name in names:
                assert await _turns_up(bucket, name) == b"x" * 1000


async def _put_all(bucket: S3BucketClient, names: list[str]) -> None:
    for name in names:
        await bucket.put(name, b"x" * 1000)
        await anyio.sleep(0.01)


@pytest.mark.parametrize(
    "first",
    [
        told("SlowDown", status=503),
        told("InternalError", None, status=500),
        told("XMinioServerNotInitialized", status=503),
        told("RequestTimeout", status=400),
        Answer(502, b"<html><h1>502 Bad Gateway</h1></html>"),
        Answer(503, b""),
        Answer(504, b"upstream timed out"),
        Answer(200, b"<html>a page<p>no S3</html>"),
        Answer(cut=0),
        Answer(200, b"x" * 100, cut=120),
    ],
    ids=lambda answer: f"{answer.status}-{answer.body[:30]!r}-{answer.cut}",
)
async def test_what_may_pass_is_tried_again(first: Answer):
    listing = Answer(
        body=b"<ListBucketResult><Contents><Key>outputs/a.log</Key><Size>3</Size></Contents>"
        b"<IsTruncated>false</IsTruncated></ListBucketResult>"
    )
    answers = iter([first, first])
    async with stub(lambda _: next(answers, listing)) as server, bucket_at(server.port) as bucket:
        page = await bucket.list_page("outputs/")
    assert page.objects == [ListedObject("outputs/a.log", 3)]
    assert len(server.requests) == 3


async def test_a_body_that_breaks_off_is_fetched_again():
    answers = iter([Answer(body=b"x" * 5000, cut=900)])
    whole = Answer(body=b"y" * 5000)
    async with stub(lambda _: next(answers, whole)) as server, bucket_at(server.port) as bucket:
        assert await bucket.get("outputs/a.json") == b"y" * 5000


async def test_a_put_that_was_stored_but_not_answered_well_is_not_put_again():
    answers = iter([Answer(503)])
    async with stub(lambda _: next(answers, Answer())) as server, bucket_at(server.port) as bucket:
        assert await bucket.put("inputs/a.json", b"{}") is None
    assert [request.method for request in server.requests] == ["PUT", "HEAD"]


async def test_a_put_that_never_arrived_is_put_again():
    answers = iter([Answer(503), Answer(404)])
    async with stub(lambda _: next(answers, Answer())) as server, bucket_at(server.port) as bucket:
        assert await bucket.put("inputs/a.json", b"{}") is None
    assert [request.method for request in server.requests] == ["PUT", "HEAD", "PUT"]


@pytest.mark.parametrize("size", [2, 3_000_000])
@pytest.mark.parametrize("reused", [False, True])
async def test_a_put_whose_connection_breaks_is_looked_for_before_it_is_put_again(
    size: int, *, reused: bool
):
    """aiohttp would put it again by itself: a second event, and a second prediction."""

    def answer(request: Request) -> Answer:
        return Answer(cut=0) if request.method == "PUT" else Answer()

    async with stub(answer) as server, bucket_at(server.port) as bucket:
        if reused:
            await bucket.delete("inputs/other.json")
        with anyio.fail_after(20):
            assert await bucket.put("inputs/a.json", b"x" * size) is None
    assert [request.method for request in server.requests][-2:] == ["PUT", "HEAD"]
    assert sum(request.method == "PUT" for request in server.requests) == 1


async def test_an_upload_that_stalls_is_given_up_and_tried_again():
    """Somebody accepts, and reads nothing: the first time for ever, then the store is back."""
    came = 0

    async def slow(stream: anyio.abc.SocketStream) -> None:
        nonlocal came
        came += 1
        if came == 1:
            await stream.receive(1)
            await anyio.sleep_forever()
        head = await stream.receive()
        assert head.startswith(b"HEAD")
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with talking(slow) as port, bucket_at(port, send_timeout=0.3) as bucket:
        with anyio.fail_after(20):
            assert await bucket.put("inputs/a.json", bytes(20_000_000)) is None
    assert came == 2


async def test_patience_ends_with_what_was_said_last():
    async with (
        stub(told("SlowDown", None, 503)) as server,
        bucket_at(server.port, retry_timeout=0.2) as bucket,
    ):
        with pytest.raises(BucketUnreachable, match=r"\(SlowDown\)"):
            await bucket.get("outputs/a.json")
    assert len(server.requests) > 1


async def test_a_cancelled_call_waits_for_nothing():
    calling = anyio.CancelScope()

    def answer(_: Request) -> Answer:
        calling.cancel()
        return Answer(never=True)

    async with stub(answer) as server, bucket_at(server.port) as bucket:
        with calling:
            await bucket.get("outputs/a.json")
        assert calling.cancelled_caught
        with anyio.fail_after(10):
            await server.gone.wait()


# A store that refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (told("AccessDenied", None, 403), "s3_access_denied", "do not permit to put"),
        (told("SignatureDoesNotMatch", status=403), "s3_bad_credentials", "secret key"),
        (told("RequestTimeTooSkewed", status=403), "s3_clock_skew", "clock"),
        (told("XMinioAdminBucketQuotaExceeded"), "s3_quota", "batchinfer clean"),
        (told("XMinioStorageFull", status=507), "s3_quota", "is full"),
        (told("AuthorizationHeaderMalformed"), "s3_wrong_region", "region"),
        (told("SomethingNew", SECRET_KEY), "s3_refused", "SomethingNew"),
        (told(SECRET_KEY), "s3_refused", "***"),
        (Answer(405, b""), "s3_refused", "(405)"),
    ],
)
async def test_what_stays_is_fatal_at_the_first_try(answer: Answer, code: str, says: str):
    async with stub(answer) as server, bucket_at(server.port) as bucket:
        with pytest.raises(FatalError) as caught:
            await bucket.put("inputs/a.json", b"x")
    assert caught.value.code == code
    assert says in str(caught.value)
    assert SECRET_KEY not in str(caught.value)
    assert len(server.requests) == 1


async def test_a_store_that_says_its_region_is_called_for_that():
    wrong = told("AuthorizationHeaderMalformed")
    refused = Answer(400, wrong.body.replace(b"</Error>", b"<Region>eu-1</Region></Error>"))

    def answer(request: Request) -> Answer:
        return Answer() if "/eu-1/s3/" in request.headers["authorization"] else refused

    async with stub(answer) as server, bucket_at(server.port) as bucket:
        assert await bucket.get("inputs/a.json") == b""
        assert await bucket.put("inputs/a.json", b"x") is None
    assert [request.method for request in server.requests] == ["GET", "GET", "PUT"]


async def test_a_store_that_is_never_content_with_the_region_is_fatal():
    regions = cycle(["eu-1", "eu-2"])

    def answer(_: Request) -> Answer:
        region = f"<Region>{next(regions)}</Region></Error>".encode()
        refused = told("AuthorizationHeaderMalformed")
        return Answer(400, refused.body.replace(b"</Error>", region))

    async with stub(answer) as server, bucket_at(server.port) as bucket:
        with pytest.raises(FatalError) as caught:
            await bucket.list_page("outputs/")
    assert caught.value.code == "s3_wrong_region"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer", [Answer(413, b"<html>413</html>"), told("EntityTooLarge")], ids=["gateway", "S3"]
)
async def test_an_object_that_is_too_large_fails_alone(answer: Answer):
    async with stub(answer) as server, bucket_at(server.port) as bucket:
        failure = await bucket.put("inputs/a.json", b"x" * 1234)
    assert isinstance(failure, Failure)
    assert failure.code == "payload_too_large"
    assert "1,234 bytes" in failure.message


@pytest.mark.parametrize(
    "body",
    [
        b"<Error><Code>InternalError</Code></Error>",
        b"<Error/>",
        b"please sign in",
        b"<Error><Code>SlowDown",
    ],
)
async def test_a_success_that_holds_something_else_is_no_receipt(body: bytes):
    answers = iter([Answer(200, body), Answer(404)])
    async with stub(lambda _: next(answers, Answer())) as server, bucket_at(server.port) as bucket:
        assert await bucket.put("inputs/a.json", b"{}") is None
    assert [request.method for request in server.requests] == ["PUT", "HEAD", "PUT"]


async def test_no_more_connections_are_open_than_allowed():
    async with stub(Answer()) as server:
        async with (
            bucket_at(server.port, concurrency=3) as bucket,
            anyio.create_task_group() as tasks,
        ):
            for number in range(30):
                tasks.start_soon(bucket.exists, f"inputs/{number}.json")
        assert len(server.requests) == 30
        assert server.connections <= 3


# What goes over the line ------------------------------------------------------------------------


async def test_pages_are_followed_by_the_token_of_the_look():
    def answer(request: Request) -> Answer:
        if "continuation-token=t%2B1" in request.target:
            return Answer(
                body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            )
        return Answer(
            body=b"<ListBucketResult><Contents><Key>a%20b</Key><Size>1</Size></Contents>"
            b"<IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>"
            b"<NextContinuationToken>t+1</NextContinuationToken></ListBucketResult>"
        )

    async with stub(answer) as server, bucket_at(server.port) as bucket:
        first = await bucket.list_page("a", start_after="Z")
        second = await bucket.list_page("a", token=first.continuation_token)
    assert first.objects == [ListedObject("a b", 1)]
    assert (second.objects, second.continuation_token) == ([], None)
    assert "start-after=Z" in server.requests[0].target
    assert "start-after" not in server.requests[1].target


@pytest.mark.parametrize("size", [1000, 3_000_000])
async def test_a_put_is_one_round_trip_without_checksums(size: int):
    async with stub(Answer()) as server, bucket_at(server.port) as bucket:
        await bucket.put("inputs/a.json", b"x" * size)
    (request,) = server.requests
    assert request.target == f"/{NAME}/inputs/a.json"
    assert len(request.body) == size
    assert not {"expect", "content-md5", "transfer-encoding"} & set(request.headers)
    assert not [name for name in request.headers if "checksum" in name or "crc" in name]
    assert SECRET_KEY not in str(request.headers)


async def test_uploads_together_are_no_faster_than_allowed():
    """Only never more is asserted: a slow machine may take as long as it likes."""
    came: list[float] = []

    async def store(stream: anyio.abc.SocketStream) -> None:
        while True:
            head, _, body = (await stream.receive()).partition(b"\r\n\r\n")
            left = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            came.append(anyio.current_time())
            left -= len(body)
            while left > 0:
                left -= len(await stream.receive())
            came.append(anyio.current_time())
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with (
        talking(store) as port,
        bucket_at(port, bandwidth=BandwidthLimiter(400_000)) as bucket,
        anyio.create_task_group() as tasks,
    ):
        for number in range(4):
            tasks.start_soon(bucket.put, f"inputs/{number}.json", bytes(100_000))
    # The first piece and what a coarse timer may catch up are free.
    assert max(came) - min(came) > 0.9 * (400_000 - 40_000 - 20_000) / 400_000


@pytest.mark.parametrize("known", [False, True])
async def test_a_body_is_signed_over_plain_http(known: bool):
    sha256 = hashlib.sha256(b"body").hexdigest()
    async with stub(Answer()) as server, bucket_at(server.port) as bucket:
        await bucket.put("inputs/a.json", b"body", sha256=sha256 if known else None)
    assert server.requests[0].headers["x-amz-content-sha256"] == sha256


# Whom to trust ----------------------------------------------------------------------------------


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def secure(root: Path, ca: trustme.CA, tmp_path: Path, free_tcp_port: int) -> Iterator[int]:
    issued = ca.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "all.pem"))
    pem = str(tmp_path / "all.pem")
    with rclone_s3(root, free_tcp_port, "--cert", pem, "--key", pem):
        yield free_tcp_port


async def test_an_unknown_ca_is_fatal_at_once(secure: int):
    async with bucket_at(secure, "https") as bucket:
        with pytest.raises(FatalError, match="certificate is not trusted") as caught:
            await bucket.list_page("outputs/")
    assert caught.value.code == "tls"
    assert "ca_file" in str(caught.value)


async def test_a_ca_file_or_no_verification_is_enough(secure: int, ca_file: str):
    async with bucket_at(secure, "https", ca_file=ca_file) as bucket:
        await bucket.put("inputs/a.json", b"x")
    async with bucket_at(secure, "https", verify=False) as bucket:
        assert await bucket.get("inputs/a.json") == b"x"


async def test_a_certificate_for_another_host_is_fatal(ca: trustme.CA, ca_file: str):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("minio.example.eu").configure_cert(context)
    async with (
        stub(Answer(), tls=context) as server,
        bucket_at(server.port, "https", ca_file=ca_file) as bucket,
    ):
        with pytest.raises(FatalError) as caught:
            await bucket.list_page("outputs/")
    assert caught.value.code == "tls"


async def test_https_to_a_plain_port_is_fatal(port: int):
    async with bucket_at(port, "https") as bucket:
        with pytest.raises(FatalError, match="is it https at all") as caught:
            await bucket.list_page("outputs/")
    assert caught.value.code == "tls"


@pytest.mark.parametrize("content", [None, b"no certificate"])
async def test_a_ca_file_that_cannot_be_used_is_a_mistake_in_the_config(
    tmp_path: Path, content: bytes | None
):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"ca_file .* cannot be used"):
        async with bucket_at(1, "https", ca_file=str(path)):
            pass
