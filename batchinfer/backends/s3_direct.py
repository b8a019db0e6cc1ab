"""S3's operations, signed here and carried by `transport.HttpClient`: the fast way.

A call costs a tenth of what it costs through aiobotocore. What is left out, `s3_botocore.py` does:
proxies, and addresses and names that need more than is done here (`can_call`).

Over TLS a body is not signed (`UNSIGNED-PAYLOAD`), since TLS protects it; over plain HTTP its
sha256 is. A store of another region says which one; then the call is signed for that, as botocore
does.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from yarl import URL

from batchinfer.backends.bucket_client import InvalidS3Response, ListingPage, ObjectTooLarge
from batchinfer.backends.loaded_payload import PayloadBody
from batchinfer.backends.s3_calls import (
    MIN_DOWNLOAD_BYTES_PER_SECOND,
    RESPONSE_READ_TIMEOUTS,
    S3_CONNECT_TIMEOUT,
    S3_USER_AGENT,
    STREAM_SILENCE_TIMEOUT,
    SUCCESS_STATUSES,
    VALID_REGION,
    S3ErrorResponse,
    reject_web_page,
)
from batchinfer.backends.s3_signer import (
    EMPTY_SHA256,
    UNSIGNED_PAYLOAD,
    S3Signer,
    encode_key,
    encode_query,
)
from batchinfer.backends.s3_xml import UNREADABLE_RESPONSE, ListingReader, parse_error
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.transport.call_timeouts import CallTimeouts

if TYPE_CHECKING:
    from batchinfer.transport.http_client import HttpClient
    from batchinfer.transport.http_response import HttpResponse

MAX_ERROR_BYTES: Final = 1 << 16
"""Bytes that are read of an answer that is no success."""

_PLAIN_ENDPOINT: Final = re.compile(
    r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9/_.~-]*)?"
)
_BUCKET_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")
_REGION_ERRORS: Final = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "301", "400"}
)


def can_call(endpoint: str, name: str, access_key: str) -> bool:
    """Whether `httptools` is here, and address, name and key are of the usual kind."""
    return (
        find_spec("httptools") is not None
        and _PLAIN_ENDPOINT.fullmatch(endpoint) is not None
        and _BUCKET_NAME.fullmatch(name) is not None
        and access_key.isascii()
        and access_key.isprintable()
    )


@asynccontextmanager
async def open_direct_calls(
    *,
    endpoint: str,
    name: str,
    access_key: str,
    secret_key: str,
    region: str,
    ssl_context: ssl.SSLContext,
    read_timeout: float,
    send_timeout: float,
    bandwidth: BandwidthLimiter | None,
    concurrency: int,
) -> AsyncIterator[DirectCalls]:
    """See `open_s3_bucket`. Needs `can_call`."""
    from batchinfer.transport.http_client import HttpClient  # noqa: PLC0415 - needs httptools

    url = URL(endpoint)

    def open_client(read_timeout: float) -> HttpClient:
        return HttpClient(
            url.origin(),
            ssl_context=ssl_context if url.scheme == "https" else None,
            timeouts=CallTimeouts(
                total=math.inf,
                connect=S3_CONNECT_TIMEOUT,
                send=send_timeout,
                first_byte=read_timeout,
                read=read_timeout,
            ),
            bandwidth=bandwidth,
        )

    http = open_client(read_timeout)
    try:
        yield DirectCalls(
            http,
            S3Signer(access_key, secret_key, region=region, host=http.host_header),
            bucket_path=f"{url.raw_path.rstrip('/')}/{name}",
            response_timeout=RESPONSE_READ_TIMEOUTS * read_timeout,
            concurrency=concurrency,
            signs_bodies=url.scheme != "https",
            open_client=open_client,
        )
    finally:
        http.close()


class DirectCalls:
    """See `S3Calls`. Made by `open_direct_calls`."""

    def __init__(
        self,
        http: HttpClient,
        signer: S3Signer,
        *,
        bucket_path: str,
        response_timeout: float,
        concurrency: int,
        signs_bodies: bool,
        open_client: Callable[[float], HttpClient],
    ) -> None:
        self._http, self._signer, self._bucket_path = http, signer, bucket_path
        self._response_timeout, self._signs_bodies = response_timeout, signs_bodies
        self._open_client = open_client
        self._free_connections = asyncio.Semaphore(concurrency)
        head = http.make_head(
            "GET",
            "/",
            [("user-agent", S3_USER_AGENT), ("accept", "*/*"), ("accept-encoding", "identity")],
        )
        self._common_lines = head.decode("latin-1").partition("\r\n")[2]
        """Header lines of all requests, each with its CRLF."""

    async def put_object(self, key: str, body: PayloadBody, sha256: str | None) -> None:
        """See S3Calls."""
        payload_sha256 = UNSIGNED_PAYLOAD
        if self._signs_bodies:
            payload_sha256 = sha256 or hashlib.sha256(body).hexdigest()
        async with self._free_connections:
            response = await self._call("PUT", key, body=body, payload_sha256=payload_sha256)
            await self._read_receipt(response)

    async def head_object(self, key: str) -> None:
        """See S3Calls."""
        async with self._free_connections, asyncio.timeout(self._response_timeout):
            await self._call("HEAD", key)

    async def get_object(self, key: str, max_bytes: int | None) -> bytes:
        """See S3Calls."""
        async with self._free_connections, asyncio.timeout(self._response_timeout) as timeout:
            response = await self._call("GET", key)
            body = response.body
            size = len(body) if body is not None else response.content_length or 0
            if max_bytes is not None and size > max_bytes:
                response.close()
                raise ObjectTooLarge(size)
            if body is not None:
                return body
            timeout.reschedule(
                asyncio.get_running_loop().time()
                + self._response_timeout
                + size / MIN_DOWNLOAD_BYTES_PER_SECOND
            )
            return await _read_body(response, max_bytes)

    async def delete_object(self, key: str) -> None:
        """See S3Calls."""
        async with self._free_connections, asyncio.timeout(self._response_timeout):
            await self._read_receipt(await self._call("DELETE", key))

    @asynccontextmanager
    async def open_stream(self, query: Mapping[str, str]) -> AsyncIterator[HttpResponse]:
        """See S3Calls. It has a connection of its own, which counts for no limit."""
        http = self._open_client(STREAM_SILENCE_TIMEOUT)
        try:
            yield await self._call("GET", query=encode_query(query), stream_client=http)
        finally:
            http.close()

    async def list_objects(
        self, prefix: str, *, start_after: str, token: str | None
    ) -> ListingPage:
        """See S3Calls."""
        start = {"continuation-token": token} if token else {"start-after": start_after}
        query = encode_query({"list-type": "2", "encoding-type": "url", "prefix": prefix, **start})
        async with self._free_connections, asyncio.timeout(self._response_timeout):
            response = await self._call("GET", query=query)
            reader = ListingReader()
            try:
                async for data in _iter_body(response):
                    reader.feed(data)
                return reader.finish()
            finally:
                response.close()

    async def _call(
        self,
        method: str,
        key: str | None = None,
        *,
        query: str = "",
        body: PayloadBody | None = None,
        payload_sha256: str = EMPTY_SHA256,
        stream_client: HttpClient | None = None,
    ) -> HttpResponse:
        """Call, and once more where the store is of another region. Returns a success.

        `stream_client`: makes the call, whose answer may have no end.
        """
        path = self._bucket_path if key is None else f"{self._bucket_path}/{encode_key(key)}"
        target = f"{path}?{query}" if query else path
        first_region = region = self._signer.region
        while True:
            signature = self._signer.sign(method, path, query, payload_sha256)
            head = f"{method} {target} HTTP/1.1\r\n{self._common_lines}{signature}"
            response = await (stream_client or self._http).request(
                head.encode("latin-1"),
                None if body is None else (body,),
                is_stream=stream_client is not None,
            )
            if response.status in SUCCESS_STATUSES:
                try:
                    reject_web_page(response.status, response.headers.get("content-type"))
                except InvalidS3Response:
                    response.close()
                    raise
                return response
            error = parse_error(await _read_error(response))
            code = error.get("Code") or str(response.status)
            theirs = response.headers.get("x-amz-bucket-region") or error.get("Region") or ""
            is_wrong_region = code in _REGION_ERRORS and theirs and VALID_REGION.fullmatch(theirs)
            if not is_wrong_region or region != first_region or theirs == region:
                raise S3ErrorResponse(code, response.status)
            region = theirs
            self._signer.change_region(region)

    @staticmethod
    async def _read_receipt(response: HttpResponse) -> None:
        """Read the answer to what was written or deleted: S3 can put an error into a success."""
        if response.body == b"":
            return
        error = parse_error(await _read_error(response))
        if not error:
            raise InvalidS3Response(UNREADABLE_RESPONSE)
        raise S3ErrorResponse(error.get("Code") or "500", 500)


async def _iter_body(response: HttpResponse) -> AsyncIterator[bytes]:
    """The pieces of a body."""
    body = response.body
    if body is not None:
        yield body
        return
    while data := await response.read_some():
        yield data


async def _read_body(response: HttpResponse, max_bytes: int | None) -> bytes:
    """A body of more than one piece. Raises ObjectTooLarge."""
    chunks, received = list[bytes](), 0
    try:
        while data := await response.read_some():
            received += len(data)
            if max_bytes is not None and received > max_bytes:
                raise ObjectTooLarge(received)
            chunks.append(data)
    finally:
        response.close()
    return b"".join(chunks)


async def _read_error(response: HttpResponse) -> bytes:
    """The beginning of a body that is no success; a store's own errors are far shorter."""
    chunks, received = list[bytes](), 0
    try:
        async for data in _iter_body(response):
            received += len(data)
            chunks.append(data)
            if received >= MAX_ERROR_BYTES:
                break
    finally:
        response.close()
    return b"".join(chunks)
