"""The bucket as clients see it: a reverse proxy in front of a real S3 server.

Rules (contract section 2):

* Whatever a signature covers passes unchanged, the Host above all; so the server behind verifies
  it, and a wrong secret is refused by it.
* A put, copy, multipart completion or tagging of `inputs/...` fires an event, once, if it
  succeeded, also when its client has gone. The server behind knows no tags (it would overwrite the
  object): they end here.
* While the server is away, connections are reset or get the store's 503.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from random import Random
from urllib.parse import quote, unquote

from aiohttp import ClientConnectionError, ClientError, ClientSession, ClientTimeout, web
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict
from yarl import URL

from batchinfer.local import markers
from batchinfer.local.options import Options
from batchinfer.local.rclone import Rclone
from batchinfer.local.replies import STORE_AWAY

REGION = "us-east-1"
_INPUTS = "inputs/"
_HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "Expect")
_NO_TIMEOUT = ClientTimeout(total=None, sock_connect=5)


class Proxy:
    """Passes S3 requests on, and tells which inputs have come."""

    def __init__(
        self,
        options: Options,
        server: Rclone,
        session: ClientSession,
        chance: Random,
        arrived: Callable[[str], None],
    ) -> None:
        self._options = options
        self._server = server
        self._session = session
        self._chance = chance
        self._arrived = arrived

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one S3 request."""
        bucket, _, key = request.rel_url.raw_path.removeprefix("/").partition("/")
        key = unquote(key) if bucket == self._options.name else ""
        marker = self._options.markers and key in markers.MARKERS

        def done(status: int) -> None:
            if not marker and _creates(request, status, key):
                self._arrived(key)

        if request.method == "PUT" and (marker or "tagging" in request.query):
            await request.read()
            response = _empty_object()
            done(response.status)
            return response
        return await self._pass_on(request, done, marker=marker)

    async def _pass_on(
        self, request: web.Request, done: Callable[[int], None], *, marker: bool
    ) -> web.StreamResponse:
        if self._server.url is None:
            return self._away(request)
        try:
            async with self._session.request(
                request.method,
                URL(self._server.url + request.raw_path, encoded=True),
                headers=_without_hops(request.headers),
                data=request.content if request.can_read_body else None,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                allow_redirects=False,
                auto_decompress=False,
                timeout=_NO_TIMEOUT,
            ) as answer:
                done(answer.status)  # first: the client may not be there any more to be answered
                headers = _without_hops(answer.headers)
                if marker and answer.status == web.HTTPNotFound.status_code:
                    return _empty_object()
                if self._lists(request) and answer.status == web.HTTPOk.status_code:
                    headers.pop("Content-Length", None)
                    text = markers.insert(await answer.text(), request.query)
                    return web.Response(body=text.encode(), headers=headers)
                response = web.StreamResponse(status=answer.status, headers=headers)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except ClientConnectionError:
            return _reset(request)

    def _lists(self, request: web.Request) -> bool:
        """Whether it asks for a listing that can have markers in it."""
        bucket = f"/{self._options.name}"
        return (
            self._options.markers
            and request.method == "GET"
            and request.path in {bucket, f"{bucket}/"}
            and markers.may_show(request.query)
        )

    def _away(self, request: web.Request) -> web.Response:
        """What a client sees of a store that restarts: as often the one as the other."""
        if self._chance.random() < 0.5:  # noqa: PLR2004 - half
            return _reset(request)
        body, kind = STORE_AWAY.body.encode(), STORE_AWAY.content_type
        return web.Response(status=STORE_AWAY.status, body=body, content_type=kind)


class Objects:
    """The bucket as the platform itself uses it, from behind the proxy."""

    def __init__(self, options: Options, server: Rclone, session: ClientSession) -> None:
        self._bucket = options.name
        self._signer = S3SigV4Auth(
            Credentials(options.access_key, options.secret_key), "s3", REGION
        )
        self._server = server
        self._session = session

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


def _creates(request: web.Request, status: int, key: str) -> bool:
    """Whether the request, so answered, made or touched an object under `inputs/`."""
    if not key.startswith(_INPUTS) or status != web.HTTPOk.status_code:
        return False
    if request.method == "PUT":
        return "uploadId" not in request.query
    return request.method == "POST" and "uploadId" in request.query


def _empty_object() -> web.Response:
    return web.Response(
        headers={
            "Content-Length": "0",
            "ETag": f'"{markers.EMPTY_MD5}"',
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        }
    )


def _without_hops(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in _HOP_BY_HOP:
        kept.popall(name, None)
    return kept


def _reset(request: web.Request) -> web.Response:
    """Break the client's connection instead of answering."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=STORE_AWAY.status)
