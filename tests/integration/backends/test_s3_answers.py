"""A store that answers what no S3 store does: trouble of the store, told and bounded; never a
traceback, never a fact about objects.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import anyio
import anyio.abc
import pytest

from batchinfer.backends.bucket_client import (
    BucketUnreachable,
    InvalidS3Response,
    ListedObject,
    Listing,
)
from batchinfer.backends.bucket_client import ObjectTooLarge as TooLarge
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.s3 import open_s3_bucket
from batchinfer.errors import FatalError
from support.servers import ACCESS_KEY, SECRET_KEY, Answer, Request, stub, talking

HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><form/></body></html>"
XHTML = (
    b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body>Sign in</body></html>'
)


CARRIER: dict[str, bool] = {}


@pytest.fixture(params=["direct", "botocore"], autouse=True)
def carrier(request: pytest.FixtureRequest):
    """Every test runs over both ways to call a store: what one keeps, the other keeps."""
    CARRIER["use_botocore"] = request.param == "botocore"


def bucket_at(port: int, **changed: Any):
    known: dict[str, Any] = {
        "endpoint": f"http://127.0.0.1:{port}",
        "name": "ai4papi-1",
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "redactor": Redactor([ACCESS_KEY, SECRET_KEY]),
        "retry_timeout": 0.0,
    }
    return open_s3_bucket(**(known | CARRIER | changed))


def xml(inside: str, root: str = "ListBucketResult") -> Answer:
    return Answer(body=f"<{root}>{inside}</{root}>".encode(), headers={"Content-Type": "text/xml"})


def listed(*fields: str) -> Answer:
    return xml(f"<Contents>{''.join(fields)}</Contents><IsTruncated>false</IsTruncated>")


KEY, SIZE, AT = (
    "<Key>outputs/a.log</Key>",
    "<Size>3</Size>",
    "<LastModified>2026-11-28T00:00:00Z</LastModified>",
)


@pytest.mark.parametrize(
    "answer",
    [
        listed(SIZE, AT),
        listed(KEY, AT),
        listed(KEY, "<Size></Size>"),
        listed(KEY, "<Size>three</Size>"),
        listed(KEY, SIZE, "<LastModified>yesterday, or so</LastModified>"),
        xml(f"<Contents>{KEY}{SIZE}</Contents><IsTruncated>true</IsTruncated>"),
        xml("", root="html"),
        xml("", root="Error"),
        xml("", root="ListAllMyBucketsResult"),
        Answer(body=HTML, headers={"Content-Type": "text/html; charset=utf-8"}),
        Answer(body=XHTML, headers={"Content-Type": "application/xhtml+xml"}),
        Answer(body=XHTML, headers={"Content-Type": "text/HTML"}),
        Answer(body=b"<ListBucketResult><Contents><Key>outputs/a"),
        Answer(body=b""),
        Answer(body=b" " * 200_000),
        Answer(body=b"{}", headers={"Content-Type": "application/json"}),
        Answer(status=503, body=b"<Error/>"),
        Answer(status=500, body=b"<Error><Message>no code</Message></Error>"),
        Answer(status=500, body=b"<Err"),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:60]!r}",
)
async def test_a_listing_that_is_none_is_trouble_of_the_store(answer: Answer):
    async with stub(answer) as store, bucket_at(store.port) as bucket:
        with pytest.raises(BucketUnreachable, match=r"the store at 127\.0\.0\.1"):
            await bucket.list_page("outputs/")
    assert len(store.requests) == 1


async def test_a_page_in_place_of_s3_is_told_as_such():
    page = Answer(body=HTML, headers={"Content-Type": "text/html"})
    async with stub(page) as store, bucket_at(store.port) as bucket:
        with pytest.raises(
            BucketUnreachable, match=r"web page \(text/html\).*no proxy or login page"
        ):
            await bucket.list_page("outputs/")


@pytest.mark.parametrize("verb", ["get", "exists", "delete", "put"])
async def test_a_page_is_no_object_and_no_receipt(verb: str):
    page = Answer(body=HTML, headers={"Content-Type": "text/html"})
    async with stub(page) as store, bucket_at(store.port) as bucket:
        with pytest.raises(BucketUnreachable):
            await getattr(bucket, verb)("outputs/a.json", *([b"x"] if verb == "put" else []))


async def test_no_content_is_no_page_whatever_it_says():
    """moto, and whatever else stands on a framework for web pages, calls it text/html."""
    nothing = Answer(204, headers={"Content-Type": "text/html; charset=utf-8"})
    async with stub(nothing) as store, bucket_at(store.port) as bucket:
        await bucket.delete("outputs/a.json")


@pytest.mark.parametrize(
    "body", [b"<Error/>", b"<Error><Code/></Error>", b"<Error><Mess", b"no xml"]
)
async def test_a_refusal_without_code_is_fatal_with_its_status(body: bytes):
    async with stub(Answer(400, body)) as store, bucket_at(store.port) as bucket:
        with pytest.raises((FatalError, BucketUnreachable)) as caught:
            await bucket.list_page("outputs/")
    assert "127.0.0.1" in str(caught.value)


async def test_a_listing_tells_when_objects_were_put():
    async with stub(listed(KEY, SIZE, AT)) as store, bucket_at(store.port) as bucket:
        page = await bucket.list_page("outputs/")
    assert page.objects == [ListedObject("outputs/a.log", 3)]
    assert page.objects[0].last_modified == 1795824000.0


async def test_a_listing_without_times_is_one():
    async with stub(listed(KEY, SIZE)) as store, bucket_at(store.port) as bucket:
        assert (await bucket.list_page("outputs/")).objects[0].last_modified is None


async def every(listing: Listing) -> list[str]:
    found = []
    while listing.has_more():
        found += [each.key for each in await listing.next_page()]
    return found


def turning(entries: Callable[[int], str], token: Callable[[int], str]) -> Callable[..., Answer]:
    """Answers pages for ever, each with what is said of its number."""
    pages = count()

    def answer(_: Request) -> Answer:
        number = next(pages)
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token(number)}"
        return xml(f"{entries(number)}{more}</NextContinuationToken>")

    return answer


def entry(number: int) -> str:
    return f"<Contents><Key>outputs/{number:04d}</Key><Size>1</Size></Contents>"


@pytest.mark.parametrize(
    "answer",
    [
        turning(lambda _: entry(1), lambda _: "same"),
        turning(lambda _: entry(1), str),
        turning(lambda number: entry(number % 2), str),
        turning(lambda _: "", lambda _: "same"),
        turning(lambda _: "", str),
    ],
    ids=["token and page", "page", "in circles", "empty, same token", "empty for ever"],
)
async def test_a_listing_that_does_not_advance_ends(answer):
    async with stub(answer) as store, bucket_at(store.port) as bucket:
        listing = Listing(bucket, "outputs/")
        with pytest.raises(InvalidS3Response, match="does not advance"):
            await every(listing)
    assert len(store.requests) < 1100


async def test_a_listing_that_advances_by_one_token_is_read():
    pages = iter([entry(1), "", entry(2)])

    def answer(request: Request) -> Answer:
        inside = next(pages, None)
        if inside is None:
            return listed("<Key>outputs/0003</Key>", SIZE)
        return xml(
            f"{inside}<IsTruncated>true</IsTruncated>"
            f"<NextContinuationToken>{len(request.target)}</NextContinuationToken>"
        )

    async with stub(answer) as store, bucket_at(store.port) as bucket:
        found = await every(Listing(bucket, "outputs/"))
    assert found == ["outputs/0001", "outputs/0002", "outputs/0003"]


async def test_no_more_is_read_of_an_object_than_allowed():
    body = b"x" * 300_000
    async with stub(Answer(body=body)) as store, bucket_at(store.port) as bucket:
        with pytest.raises(TooLarge):
            await bucket.get("outputs/a.json", max_bytes=299_999)
        assert await bucket.get("outputs/a.json", max_bytes=300_000) == body


async def test_nor_of_one_that_does_not_tell_its_size():
    async def endless(stream: anyio.abc.SocketStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await stream.send(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    async with talking(endless) as port, bucket_at(port) as bucket:
        with anyio.fail_after(30), pytest.raises(TooLarge):
            await bucket.get("outputs/a.json", max_bytes=300_000)


async def test_nor_of_a_small_one_that_does_not_tell_its_size():
    async def chunked(stream: anyio.abc.SocketStream) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while await stream.receive():
            await stream.send(head + b"5\r\nxxxxx\r\n0\r\n\r\n")

    async with talking(chunked) as port, bucket_at(port) as bucket:
        assert await bucket.get("outputs/a.json", max_bytes=5) == b"xxxxx"
        with pytest.raises(TooLarge):
            await bucket.get("outputs/a.json", max_bytes=4)


@pytest.mark.parametrize("verb", ["list_page", "get", "exists", "delete", "put"])
async def test_a_store_that_accepts_and_is_deaf_is_given_up(verb: str):
    async def deaf(_: anyio.abc.SocketStream) -> None:
        await anyio.sleep_forever()

    async with (
        talking(deaf) as port,
        bucket_at(port, retry_timeout=0.2, read_timeout=0.2) as bucket,
    ):
        with anyio.fail_after(30), pytest.raises(BucketUnreachable):
            await getattr(bucket, verb)("outputs/a.json", *([b"x"] if verb == "put" else []))


@pytest.mark.parametrize("verb", ["list_page", "get"])
async def test_an_answer_that_drips_for_ever_is_given_up(verb: str):
    async def dripping(stream: anyio.abc.SocketStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await stream.send(b" ")
            await anyio.sleep(0.05)

    async with talking(dripping) as port, bucket_at(port, read_timeout=0.2) as bucket:
        with anyio.fail_after(30), pytest.raises(BucketUnreachable):
            await getattr(bucket, verb)("outputs/a.json")
