"""Calls of one origin, over as many kept connections as there are calls at once."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from yarl import URL

from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.transport.call_timeouts import CallTimeouts
from batchinfer.transport.connector import Connector
from batchinfer.transport.http_connection import HttpConnection
from batchinfer.transport.http_response import MAX_HEADER_BYTES, HttpResponse
from batchinfer.transport.transport_errors import ConnectTimeout

KEEP_ALIVE_SECONDS: Final = 15.0
"""Seconds after which an idle connection is closed."""
MAX_TICK_SECONDS: Final = 0.25
"""Seconds between two looks at the deadlines of all calls, at most."""
TICKS_PER_TIMEOUT: Final = 8
"""How often each deadline is looked at within its time, at least."""
_FRAMING_HEADERS: Final = frozenset({"content-length", "transfer-encoding"})
_LINE_BREAK: Final = re.compile(r"[\r\n\0]")


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
        self.timeouts = timeouts
        self.bandwidth = bandwidth
        self.max_header_bytes = max_header_bytes
        self.host_header = origin.host_port_subcomponent or ""
        """What the header `Host` says: to be signed, for example."""
        self._loop = asyncio.get_running_loop()
        self._connector = Connector(origin.raw_host or "", origin.port or 80, ssl_context)
        self._connections: set[HttpConnection] = set()
        self._idle: list[HttpConnection] = []
        """The one that was used last at the end, which is used first."""
        self._tick_seconds = _choose_tick(timeouts)
        self._timer: asyncio.TimerHandle | None = None

    def make_head(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
        """The head of a request, but for its Content-Length: method, target, `Host`, `headers`.

        `target`: path and query, encoded as they are sent. `headers` may hold another `Host`; how
        the body is framed is not theirs to say. Raises ValueError when one holds a line break.
        """
        fields = [(name, value) for name, value in headers if name.lower() not in _FRAMING_HEADERS]
        if not any(name.lower() == "host" for name, _ in fields):
            fields.insert(0, ("Host", self.host_header))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
        if any(map(_LINE_BREAK.search, lines)):
            raise ValueError("a header of the request holds a line break")
        return "\r\n".join([*lines, ""]).encode()

    async def request(
        self,
        head: bytes,
        parts: Sequence[bytes | memoryview] | None = None,
        *,
        on_sent: Callable[[], None] | None = None,
        is_stream: bool = False,
    ) -> HttpResponse:
        """One call: `head` as of `make_head`, and a body of these parts; None: without a body.

        Returns as soon as a small answer is whole, or a larger one has begun. `on_sent`: called
        when all of a body is out of this process's memory. `is_stream`: return as soon as the head
        of the answer is here, for its body may have no end. It is sent once, whatever happens.
        When the caller is cancelled, the connection is closed. Raises OSError: see
        `transport_errors.py`; TimeoutError itself when `total` has passed.
        """
        started_at = self._loop.time()
        connection = self._take_idle(started_at) or await self._connect(started_at)
        if parts is None:
            waiter = connection.send(
                head + b"\r\n", (), 0, on_sent, started_at, is_stream=is_stream
            )
        else:
            size = sum(map(len, parts))
            head = b"%bContent-Length: %d\r\n\r\n" % (head, size)
            waiter = connection.send(head, parts, size, on_sent, started_at, is_stream=is_stream)
            del parts  # it holds in memory what may have been sent
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick_seconds, self._tick)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                connection.abort()
            elif waiter.exception() is None:  # the connection may be another's by now
                waiter.result().close()
            raise

    def close(self) -> None:
        """End all connections. A call that is still under way fails."""
        if self._timer is not None:
            self._timer.cancel()
        self._connector.close()
        for connection in list(self._connections):
            connection.shut_down()

    # Connections ---------------------------------------------------------------------------------

    def _take_idle(self, now: float) -> HttpConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_closed:
                continue
            if now - connection.idle_since < KEEP_ALIVE_SECONDS:
                return connection
            connection.abort()
        return None

    async def _connect(self, started_at: float) -> HttpConnection:
        """A new connection, within the time for it that is left. Raises OSError."""
        connect_at = started_at + self.timeouts.connect
        total_at = started_at + self.timeouts.total
        timeout = asyncio.timeout_at(min(connect_at, total_at))
        try:
            async with timeout:
                connection = await self._connector.connect(lambda: HttpConnection(self, self._loop))
        except TimeoutError:
            if timeout.expired() and total_at < connect_at:
                raise
            raise ConnectTimeout from None
        self._connections.add(connection)
        return connection

    def keep(self, connection: HttpConnection) -> None:
        """For HttpConnection: it can take another call."""
        connection.idle_since = self._loop.time()
        self._idle.append(connection)

    def forget(self, connection: HttpConnection) -> None:
        """For HttpConnection: it is closed."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    # Deadlines -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        """One timer for all calls: a timer for each would cost as much as much of a call."""
        now = self._loop.time()
        for connection in list(self._connections):
            if connection.is_busy:
                connection.check_deadlines(now)
        while self._idle and now - self._idle[0].idle_since >= KEEP_ALIVE_SECONDS:
            self._idle.pop(0).abort()
        is_waiting = any(connection.is_busy for connection in self._connections)
        self._timer = self._loop.call_later(self._tick_seconds, self._tick) if is_waiting else None


def _choose_tick(timeouts: CallTimeouts) -> float:
    """Seconds between two looks at the deadlines."""
    stages = (timeouts.total, timeouts.send, timeouts.first_byte, timeouts.read)
    shortest = min(seconds for seconds in stages if seconds is not None)
    return min(MAX_TICK_SECONDS, shortest / TICKS_PER_TIMEOUT)
