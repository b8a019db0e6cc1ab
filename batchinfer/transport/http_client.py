"""Calls of one origin, over as many kept connections as there are calls at once."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from yarl import URL

from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.transport.call_timeouts import CallTimeouts
from batchinfer.transport.http_response import HttpResponse

MAX_HEADER_BYTES: Final = 1 << 16
"""Bytes of a header, or of all of a status line."""


class HttpClient:
    """An HTTP/1.1 client for the scheme, host and port of `origin`.

    `ssl_context`: for https. `timeouts`: of every call. `bandwidth`: bytes of bodies that are sent
    per second, at most. Whoever calls limits how many connections there are. It lives on the
    running event loop.
    """

    def __init__(
        self,
        origin: URL,
        *,
        ssl_context: ssl.SSLContext | None,
        timeouts: CallTimeouts,
        bandwidth: BandwidthLimiter | None = None,
        max_header_bytes: int = MAX_HEADER_BYTES,
    ) -> None:
        self.host_header: str
        """What the header `Host` says: to be signed, for example."""
        raise NotImplementedError

    def make_head(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
        """The head of a request, but for its Content-Length: method, target, `Host`, `headers`.

        `target`: path and query, encoded as they are sent. Raises ValueError when a header holds a
        line break.
        """
        raise NotImplementedError

    async def request(
        self,
        head: bytes,
        parts: Sequence[bytes | memoryview] | None = None,
        *,
        on_sent: Callable[[], None] | None = None,
    ) -> HttpResponse:
        """One call: `head` as of `make_head`, and a body of these parts; None: without a body.

        Returns as soon as a small answer is whole, or a larger one has begun. `on_sent`: called
        when all of a body is out of this process's memory. It is sent once, whatever happens.
        When the caller is cancelled, the connection is closed. Raises OSError: see
        `transport_errors.py`; TimeoutError itself when `total` has passed.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End all connections, and with them the calls that are under way."""
        raise NotImplementedError
