"""Calls that aiohttp carries: through a proxy, or where httptools is missing."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from batchinfer.backends.deadlines import CallDeadlines
from batchinfer.backends.http_carrier import CarriedResponse, ReadBody
from batchinfer.backends.loaded_payload import LoadedPayload
from batchinfer.backends.streamed_body import StreamedBody
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.transport.call_timeouts import CallTimeouts
from batchinfer.transport.http_response import MAX_HEADER_BYTES


@asynccontextmanager
async def open_aiohttp_carrier(
    url: URL,
    *,
    headers: Mapping[str, str],
    ssl_context: ssl.SSLContext | None,
    timeouts: CallTimeouts,
    bandwidth: BandwidthLimiter | None,
    proxy: str | None,
) -> AsyncIterator[AiohttpCarrier]:
    """See `open_http_carrier`."""
    common_headers = CIMultiDict(headers)
    content_type = common_headers.pop("Content-Type", "application/octet-stream")
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=ssl_context or False),
        headers=common_headers,
        timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    ) as session:
        yield AiohttpCarrier(session, url, content_type, timeouts, bandwidth)


class AiohttpCarrier:
    """An HttpCarrier. Made by `open_aiohttp_carrier`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        content_type: str,
        timeouts: CallTimeouts,
        bandwidth: BandwidthLimiter | None,
    ) -> None:
        self._session = session
        self._content_type = content_type
        self._url = url
        self._origin = str(url.origin())
        self._timeouts = timeouts
        self._bandwidth = bandwidth

    async def exchange(
        self, payload: LoadedPayload, on_sent: Callable[[], None], read_body: ReadBody
    ) -> tuple[CarriedResponse, bytes | None]:
        """See HttpCarrier."""
        headers, method = payload.headers or None, payload.method
        url = URL(self._origin + payload.make_target(self._url), encoded=True)
        body = StreamedBody(
            payload.body,
            content_type=self._content_type,
            stall_timeout=self._timeouts.send,
            bandwidth=self._bandwidth,
            on_sent=on_sent,
        )
        del payload  # nothing may keep in memory what has been sent
        body.deadlines = deadlines = CallDeadlines(self._timeouts)
        if method == "GET":
            deadlines.on_body_sent()
        try:
            async with (
                deadlines.timeout,
                self._session.request(
                    method,
                    url,
                    data=body if method == "POST" else None,
                    headers=headers,
                    allow_redirects=False,
                ) as raw,
            ):
                deadlines.on_response_start()
                body.release()  # an early answer must not wait for the memory of its own request
                response = AiohttpResponse(raw, deadlines)
                return response, await read_body(response)
        except (aiohttp.ClientError, OSError) as error:
            translated = deadlines.translate(error)
            if translated is error:
                raise
            raise translated from None


class AiohttpResponse:
    """A CarriedResponse."""

    def __init__(self, response: aiohttp.ClientResponse, deadlines: CallDeadlines) -> None:
        self._response = response
        self._deadlines = deadlines
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.content_length = response.content_length
        self.body: bytes | None = None
        self.read_some = response.content.readany

    @property
    def is_framed(self) -> bool:
        """See CarriedResponse."""
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        return chunked or "Content-Length" in self.headers

    def pause_deadlines(self) -> AbstractContextManager[None]:
        """See CarriedResponse."""
        return self._deadlines.pause()

    def close(self) -> None:
        """See CarriedResponse."""
        self._response.close()
