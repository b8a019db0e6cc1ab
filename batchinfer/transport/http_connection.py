"""One connection, one call at a time.

What makes it safe to keep a connection: its answer was framed and is whole, all of the request was
sent, and nothing followed the answer. Whatever else comes closes it, so that no bytes of one answer
are ever taken for the next one's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.transport.body_sender import BodySender
from batchinfer.transport.call_timeouts import CallTimeouts
from batchinfer.transport.http_response import WHOLE_BODY_BYTES, HttpResponse
from batchinfer.transport.response_parser import ResponseParser
from batchinfer.transport.transport_errors import (
    ClientPayloadError,
    FirstByteTimeout,
    ReadTimeout,
    SendStalled,
    ServerDisconnectedError,
)

SINGLE_WRITE_BYTES: Final = 1 << 16
"""Bytes of a request that are written in one piece, for the kernel takes them at once: nobody needs
to watch them go."""
READ_AHEAD_BYTES: Final = 1 << 17
"""Bytes of a body that are taken from the connection before anybody has read them."""
_FIRST_ERROR_STATUS: Final = 300


class ConnectionOwner(Protocol):
    """Whom a connection belongs to."""

    timeouts: CallTimeouts
    bandwidth: BandwidthLimiter | None
    max_header_bytes: int

    def keep(self, connection: HttpConnection) -> None:
        """It can take another call."""

    def forget(self, connection: HttpConnection) -> None:
        """It is closed."""


class HttpConnection(asyncio.Protocol):
    """See the module. The order of events in a call: `send`, head, body, end or failure."""

    def __init__(self, owner: ConnectionOwner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport
        self.is_closed = True
        """Whether it can never be used again."""
        self.idle_since = 0.0
        """When its last call ended, on the loop's clock."""
        self.is_busy = False
        """Whether a call is under way."""
        self._is_reading_paused = False
        self._early: bytes | None = b""
        """What came before the first call; None: that has begun."""
        self._sender: BodySender | None = None
        self._parser = ResponseParser(self, owner.max_header_bytes)
        self._waiter: asyncio.Future[HttpResponse] | None = None
        """Of whoever waits for the answer, or for more of it."""
        self._on_sent: Callable[[], None] | None = None

    # A call --------------------------------------------------------------------------------------

    def send(
        self,
        head: bytes,
        parts: Sequence[bytes | memoryview],
        size: int,
        on_sent: Callable[[], None] | None,
        started_at: float,
        *,
        is_stream: bool = False,
    ) -> asyncio.Future[HttpResponse]:
        """Begin a call, whose `parts` have `size` bytes. What it returns is its answer.

        `is_stream`: see `HttpClient.request`.
        """
        self.is_busy = True
        self._parser.begin(has_body=not head.startswith(b"HEAD "))
        self._total_at = started_at + self._owner.timeouts.total
        self._sent_at: float | None = None
        self._paused_at: float | None = None
        self._heard_at = started_at
        self._is_heard = False
        self._is_stream = is_stream
        self._on_sent = on_sent
        self._waiter = waiter = self._loop.create_future()
        if self.is_closed:  # by the server, before its first call
            pass
        elif size <= SINGLE_WRITE_BYTES and self._owner.bandwidth is None:
            self._transport.write(b"".join((head, *parts)))
            self._mark_sent()
        else:
            self._sender = BodySender(
                self._transport,
                (head, *parts),
                bandwidth=self._owner.bandwidth,
                on_sent=self._mark_sent,
                on_delay=self._extend,
            )
            self._sender.send_more()
        if self._early is not None:
            self._receive_early(self._early)
        return waiter

    def _receive_early(self, data: bytes) -> None:
        """What came before the call is its answer: a server that is too busy does not wait for it.

        That holds for the first call of a connection only.
        """
        self._early = None
        if data:
            self.data_received(data)
        if self.is_closed and self.is_busy:
            self._end(None)

    def _mark_sent(self) -> None:
        self._sender = None
        self._sent_at = self._loop.time()
        on_sent, self._on_sent = self._on_sent, None
        if on_sent is not None:
            on_sent()

    def _extend(self, seconds: float) -> None:
        self._total_at += seconds

    def _finish(self, response: HttpResponse) -> None:
        """All of the answer is here."""
        response.is_complete = True
        response.source = None
        waiter = self._waiter
        # Whoever was cancelled has yet to learn of it, and will close the connection then.
        is_cancelled = waiter is not None and waiter.cancelled()
        if self._parser.keeps_alive and self._sender is None and not is_cancelled:
            self._parser.end()
            self.is_busy = False
            self._waiter = None
            self.resume()
            self._owner.keep(self)
        else:
            self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_result(response)

    def _fail(self, error: BaseException) -> None:
        waiter = self._waiter
        if self._parser.response is not None:
            self._parser.response.error = error
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def check_deadlines(self, now: float) -> None:
        """End the call if it, or one of its stages, takes too long."""
        if self._paused_at is not None:
            return
        timeouts, response = self._owner.timeouts, self._parser.response
        if self._is_heard or self._is_reading_paused:
            self._is_heard, self._heard_at = False, now
        first_byte_at = self._total_at
        if timeouts.first_byte is not None and self._sent_at is not None and response is None:
            first_byte_at = self._sent_at + timeouts.first_byte
        if now >= first_byte_at < self._total_at:
            self._fail(FirstByteTimeout())
        elif now >= self._total_at:
            self._fail(TimeoutError())
        elif self._sender is not None and self._sender.is_stalled(now, timeouts.send):
            self._fail(SendStalled())
        elif (
            response is not None
            and timeouts.read is not None
            and now - self._heard_at >= timeouts.read
        ):
            self._fail(ReadTimeout())

    def shut_down(self) -> None:
        """End the connection; a call that is under way fails."""
        if self.is_busy:
            self._fail(ServerDisconnectedError())
        else:
            self.abort()

    # For HttpResponse: see ResponseSource --------------------------------------------------------

    async def receive(self) -> None:
        """See ResponseSource."""
        self._waiter = waiter = self._loop.create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():  # else the call has ended, and the connection may be another's
                self.abort()
            raise

    def resume(self) -> None:
        """See ResponseSource."""
        if self._is_reading_paused:
            self._is_reading_paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """See ResponseSource. The call ends without a word."""
        if self._parser.response is not None:
            self._parser.response.source = None
            self._parser.response = None
        self._waiter = self._on_sent = None
        self.is_closed = True
        self.is_busy = False
        if self._sender is not None:
            self._sender.stop()
            self._sender = None
        self._transport.abort()  # closed only, it would wait until somebody takes what is left

    def pause_deadlines(self) -> None:
        """See ResponseSource."""
        self._paused_at = self._loop.time()

    def resume_deadlines(self) -> None:
        """See ResponseSource."""
        if self._paused_at is not None:
            self._heard_at = now = self._loop.time()
            self._extend(now - self._paused_at)
            self._paused_at = None

    # asyncio.Protocol ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        # Any rest pauses writing, so that its end is told. TLS takes 0 for a pause without a rest.
        is_tls = transport.get_extra_info("sslcontext") is not None
        self._transport.set_write_buffer_limits(high=1 if is_tls else 0, low=0)
        self.is_closed = False

    def eof_received(self) -> None:
        """See asyncio. Nothing more comes: not waited for is what we have not sent yet."""
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._end(exc)
        if self._early is None:
            self._parser.drop()

    def _end(self, error: Exception | None) -> None:
        self._owner.forget(self)
        response = self._parser.response
        self._parser.keeps_alive = False
        if not self.is_busy:
            self.is_closed = True
        elif response is None:
            self._fail(error or ServerDisconnectedError())
        elif error is None and not response.is_framed:
            self._finish(response)  # the end of the connection is the end of the body
        else:
            self._fail(error or ClientPayloadError())

    def resume_writing(self) -> None:
        """See asyncio."""
        if self._sender is not None:
            self._sender.on_drained()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if not self.is_busy:
            self._receive_unasked(data)
            return
        self._is_heard = True
        fault = self._parser.feed(data)
        response = self._parser.response
        if fault is not None:
            self._fail(fault)
        elif response is None:
            pass
        elif self._parser.is_complete:
            self._finish(response)
        else:
            self._hand_over(response)

    def _receive_unasked(self, data: bytes) -> None:
        if self._early is not None and len(self._early) < READ_AHEAD_BYTES:
            self._early += data
        elif not self.is_closed:
            self.abort()

    def _hand_over(self, response: HttpResponse) -> None:
        """An answer is not complete: wake who waits for it, if it cannot be had whole."""
        if response.status >= _FIRST_ERROR_STATUS and self._sender is not None:
            self._sender.stop()  # nobody wants the rest; as it is not sent, nothing is kept
        waiter = self._waiter
        if waiter is not None and (
            response.is_begun
            or self._is_stream
            or response.buffered_bytes > WHOLE_BODY_BYTES
            or (response.content_length or 0) > WHOLE_BODY_BYTES
        ):
            response.is_begun = True
            self._waiter = None
            if not waiter.done():
                waiter.set_result(response)
        if response.buffered_bytes > READ_AHEAD_BYTES and not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()
