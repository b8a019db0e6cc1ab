"""Who carries a call to the service and brings its answer: our own HTTP client, or aiohttp.

Our own (`batchinfer/transport`) costs a sixth of aiohttp's processor time and needs httptools
(`batchinfer[fast]`). aiohttp carries the calls where that is missing, and through a proxy. What is
sent, and what comes back or fails, is the same: the same tests run over both.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from multidict import CIMultiDict
from yarl import URL

from batchinfer.backends.loaded_payload import LoadedPayload
from batchinfer.backends.proxies import find_proxy
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.transport.call_timeouts import CallTimeouts

if TYPE_CHECKING:
    from batchinfer.transport.http_client import HttpClient

_ADDED_HEADERS: Final = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
"""What aiohttp adds, too."""


class CarriedResponse(Protocol):
    """An answer that has begun. See `transport.http_response`."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Their names may be looked up in upper or lower case."""

    @property
    def content_length(self) -> int | None:
        """Bytes of the body, as announced."""

    @property
    def is_framed(self) -> bool:
        """Whether a body that was cut off would have been noticed."""

    @property
    def body(self) -> bytes | None:
        """The body, if all of it is here already; None: it has to be read."""

    async def read_some(self) -> bytes:
        """The next piece of the body; b"" at its end."""

    def pause_deadlines(self) -> AbstractContextManager[None]:
        """As long as the block lasts it is ourselves who keep the call waiting."""

    def close(self) -> None:
        """End the connection, unless the body was read to its end."""


ReadBody: TypeAlias = Callable[[CarriedResponse], Awaitable[bytes | None]]
"""Reads as much of a body as is wanted; None: it is not."""


class HttpCarrier(Protocol):
    """Makes calls to one origin: POSTs to one address, unless a payload says otherwise."""

    async def exchange(
        self, payload: LoadedPayload, on_sent: Callable[[], None], read_body: ReadBody
    ) -> tuple[CarriedResponse, bytes | None]:
        """Send a payload, once; the answer, and what `read_body` returned of it.

        `on_sent`: called when the body is out of this process's memory. Raises OSError and
        aiohttp.ClientError: see `http_errors.py`.
        """


@asynccontextmanager
async def open_http_carrier(
    url: URL,
    *,
    headers: Mapping[str, str],
    ssl_context: ssl.SSLContext | None,
    timeouts: CallTimeouts,
    bandwidth: BandwidthLimiter | None = None,
    use_aiohttp: bool = False,
) -> AsyncIterator[HttpCarrier]:
    """The carrier of calls to `url`; its connections live as long as the context.

    `headers`: of every call. `use_aiohttp`: also where our own client would do. A proxy is taken
    from the environment, once. Raises ConfigError when that is no address of a proxy.
    """
    proxy = find_proxy(url.scheme, url.host or "", url.port)
    if proxy is not None or use_aiohttp or find_spec("httptools") is None:
        from batchinfer.backends.aiohttp_carrier import open_aiohttp_carrier  # noqa: PLC0415

        async with open_aiohttp_carrier(
            url,
            headers=headers,
            ssl_context=ssl_context,
            timeouts=timeouts,
            bandwidth=bandwidth,
            proxy=proxy,
        ) as carrier:
            yield carrier
        return
    from batchinfer.transport.http_client import HttpClient  # noqa: PLC0415 - needs httptools

    client = HttpClient(url, ssl_context=ssl_context, timeouts=timeouts, bandwidth=bandwidth)
    try:
        yield DirectCarrier(client, url, headers)
    finally:
        client.close()


class DirectCarrier:
    """An HttpCarrier by our own client. Made by `open_http_carrier`."""

    def __init__(self, client: HttpClient, url: URL, headers: Mapping[str, str]) -> None:
        self._client = client
        self._url = url
        self._headers = CIMultiDict({**_ADDED_HEADERS, **headers})
        self._latest_head = ("", b"")
        """The target of the latest call without headers of its own, and its head: mostly also those
        of the next one."""

    def _make_head(self, payload: LoadedPayload) -> bytes:
        target = payload.make_target(self._url)
        if not payload.headers and payload.method == "POST":
            if target != self._latest_head[0]:
                head = self._client.make_head("POST", target, self._headers.items())
                self._latest_head = (target, head)
            return self._latest_head[1]
        headers = self._headers.copy()
        if payload.method == "GET":
            headers.popall("Content-Type", None)
        headers.update(payload.headers)
        return self._client.make_head(payload.method, target, headers.items())

    async def exchange(
        self, payload: LoadedPayload, on_sent: Callable[[], None], read_body: ReadBody
    ) -> tuple[CarriedResponse, bytes | None]:
        """See HttpCarrier."""
        parts = None if payload.method == "GET" else payload.parts
        call = self._client.request(self._make_head(payload), parts, on_sent=on_sent)
        del parts
        del payload  # nothing may keep in memory what has been sent
        response = await call
        try:
            return response, await read_body(response)
        finally:
            response.close()
