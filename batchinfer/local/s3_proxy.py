"""The bucket as clients see it: a reverse proxy in front of a real S3 server.

Rules (docs/platform.md, "Jobs through the bucket"):

* Whatever a signature covers passes unchanged, the Host above all; so the server behind verifies
  it, and a wrong secret is refused by it.
* A put, copy, multipart completion or tagging of `inputs/...` fires an event, once, if it
  succeeded, also when its client has gone. The server behind knows no tags (it would overwrite the
  object): they end here.
* Live notifications are MinIO's own (`notification_hub.py`). The server behind knows none, but is
  asked all the same, for it checks the signature.
* While the server is away, connections are reset or get the store's 503.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from urllib.parse import quote, unquote

from aiohttp import ClientConnectionError, ClientError, ClientSession, ClientTimeout, web
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict
from yarl import URL

from batchinfer.local import folder_markers
from batchinfer.local.canned_responses import STORE_UNAVAILABLE_RESPONSE
from batchinfer.local.notification_hub import NotificationHub
from batchinfer.local.rclone import RcloneServer
from batchinfer.local.service_options import LocalServiceOptions

LOCAL_S3_REGION = "us-east-1"
_INPUTS_PREFIX = "inputs/"
_OK = web.HTTPOk.status_code
_HOP_BY_HOP_HEADERS = ("Connection", "Keep-Alive", "Transfer-Encoding", "Expect")
_PROXY_TIMEOUT = ClientTimeout(total=None, sock_connect=5)


class S3Proxy:
    """Passes S3 requests on, and tells which inputs have come."""

    def __init__(
        self,
        options: LocalServiceOptions,
        server: RcloneServer,
        session: ClientSession,
        rng: Random,
        *,
        on_upload: Callable[[str], None],
        hub: NotificationHub,
    ) -> None:
        self._options = options
        self._server = server
        self._session = session
        self._rng = rng
        self._on_upload = on_upload
        self._hub = hub
        self.counts: Counter[str] = Counter()
        """Listings, and streams of notifications, that were answered."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one S3 request."""
        bucket, _, key = request.rel_url.raw_path.removeprefix("/").partition("/")
        key = unquote(key) if bucket == self._options.name else ""
        is_marker = self._options.markers and key in folder_markers.FOLDER_MARKERS

        def report_upload(status: int) -> None:
            if is_marker or not key or not _is_upload(request, status):
                return
            self._hub.publish(key, request.content_length or 0)
            if key.startswith(_INPUTS_PREFIX):
                self._on_upload(key)

        if request.method == "PUT" and (is_marker or "tagging" in request.query):
            await request.read()
            response = _empty_object()
            report_upload(response.status)
            return response
        return await self._forward(request, report_upload, is_marker=is_marker)

    async def _forward(
        self, request: web.Request, on_status: Callable[[int], None], *, is_marker: bool
    ) -> web.StreamResponse:
        if self._server.url is None:
            return self._respond_unavailable(request)
        try:
            async with self._session.request(
                request.method,
                URL(self._server.url + request.raw_path, encoded=True),
                headers=_without_hop_headers(request.headers),
                data=request.content if request.can_read_body else None,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                allow_redirects=False,
                auto_decompress=False,
                timeout=_PROXY_TIMEOUT,
            ) as answer:
                if self._is_notification_request(request) and answer.status == _OK:
                    answer.close()  # the signature is right: that was all to be asked
                    return await self._respond_notifications(request)
                if _is_listing_request(request) and answer.status == _OK:
                    self.counts["listings"] += 1
                on_status(
                    answer.status
                )  # first: the client may not be there any more to be answered
                headers = _without_hop_headers(answer.headers)
                if is_marker and answer.status == web.HTTPNotFound.status_code:
                    return _empty_object()
                if self._is_listing(request) and answer.status == web.HTTPOk.status_code:
                    headers.pop("Content-Length", None)
                    text = folder_markers.insert_markers(await answer.text(), request.query)
                    return web.Response(body=text.encode(), headers=headers)
                response = web.StreamResponse(status=answer.status, headers=headers)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except ClientConnectionError:
            return _abort_connection(request)

    def _is_listing(self, request: web.Request) -> bool:
        """Whether it asks for a listing that can have markers in it."""
        bucket = f"/{self._options.name}"
        return (
            self._options.markers
            and request.method == "GET"
            and request.path in {bucket, f"{bucket}/"}
            and folder_markers.may_contain_markers(request.query)
        )

    def _is_notification_request(self, request: web.Request) -> bool:
        """Whether it asks for live notifications, and not in vain."""
        faults, bucket = self._options.notifications, f"/{self._options.name}"
        return (
            request.method == "GET"
            and "events" in request.query
            and request.path in {bucket, f"{bucket}/"}
            and not faults.xml
        )

    async def _respond_notifications(self, request: web.Request) -> web.StreamResponse:
        status = self._options.notifications.status
        if status is not None:
            body = "<Error><Code>AccessDenied</Code></Error>"
            return web.Response(status=status, text=body, content_type="application/xml")
        self.counts["notification_streams"] += 1
        return await self._hub.respond(request)

    def _respond_unavailable(self, request: web.Request) -> web.Response:
        """What a client sees of a store that restarts: as often the one as the other."""
        if self._rng.random() < 0.5:  # noqa: PLR2004 - half
            return _abort_connection(request)
        body, kind = (
            STORE_UNAVAILABLE_RESPONSE.body.encode(),
            STORE_UNAVAILABLE_RESPONSE.content_type,
        )
        return web.Response(status=STORE_UNAVAILABLE_RESPONSE.status, body=body, content_type=kind)


class LocalBucket:
    """The bucket as the platform itself uses it, from behind the proxy."""

    def __init__(
        self,
        options: LocalServiceOptions,
        server: RcloneServer,
        session: ClientSession,
        hub: NotificationHub,
    ) -> None:
        self._bucket = options.name
        self._signer = S3SigV4Auth(
            Credentials(options.access_key, options.secret_key), "s3", LOCAL_S3_REGION
        )
        self._server = server
        self._session = session
        self._hub = hub

    async def create(self) -> None:
        """Make the bucket if there is none."""
        await self._request("PUT", "")

    async def get(self, key: str) -> bytes | None:
        """An object, None if there is none. Raises OSError when the server does not answer."""
        status, data = await self._request("GET", key)
        return data if status == web.HTTPOk.status_code else None

    async def put(self, key: str, data: bytes) -> None:
        """Write an object. Raises OSError when the server does not answer or does not do it."""
        status, _ = await self._request("PUT", key, data)
        if status != web.HTTPOk.status_code:
            raise OSError(f"the store answered {status} to a put")
        self._hub.publish(key, len(data))

    async def _request(self, method: str, key: str, data: bytes = b"") -> tuple[int, bytes]:
        if self._server.url is None:
            raise OSError("the store is away")
        url = f"{self._server.url}/{quote(f'{self._bucket}/{key}', safe='/~')}"
        signed = AWSRequest(method, url, data=data)
        signed.headers["X-Amz-Content-SHA256"] = hashlib.sha256(data).hexdigest()
        self._signer.add_auth(signed)
        try:
            async with self._session.request(
                method, URL(url, encoded=True), headers=dict(signed.headers.items()), data=data
            ) as answer:
                return answer.status, await answer.read()
        except ClientError as error:
            raise OSError("the store broke off") from error


def _is_upload(request: web.Request, status: int) -> bool:
    """Whether the request, so answered, made or touched an object."""
    if status != _OK:
        return False
    if request.method == "PUT":
        return "uploadId" not in request.query
    return request.method == "POST" and "uploadId" in request.query


def _is_listing_request(request: web.Request) -> bool:
    return request.method == "GET" and "list-type" in request.query


def _empty_object() -> web.Response:
    return web.Response(
        headers={
            "Content-Length": "0",
            "ETag": f'"{folder_markers.EMPTY_MD5}"',
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        }
    )


def _without_hop_headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in _HOP_BY_HOP_HEADERS:
        kept.popall(name, None)
    return kept


def _abort_connection(request: web.Request) -> web.Response:
    """Break the client's connection instead of answering."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=STORE_UNAVAILABLE_RESPONSE.status)
