"""Sync mode: one HTTP call per attempt. The only file that knows aiohttp for calls.

Rules of the room: whatever happens to a call comes back as a value, or as a FatalError when no
call can succeed; no exception of aiohttp leaves (`http_troubles.py` says what each means). The
token goes to the endpoint and nowhere else: no redirect is followed, no .netrc is read. What comes
back is redacted before anybody reads it. A cancelled call closes its connection.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp
import anyio.to_thread
from yarl import URL

from batchinfer.backends import tls
from batchinfer.backends.clock_skew import parse_clock_skew
from batchinfer.backends.deadlines import CallDeadlines, CallTimeouts
from batchinfer.backends.http_errors import classify_http_error
from batchinfer.backends.payload_loader import PayloadBody, PayloadLoader
from batchinfer.backends.proxies import find_proxy
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.reply_reader import UNBUDGETED_REPLY_BYTES, ReplyReader, read_body_start
from batchinfer.backends.streamed_body import StreamedBody
from batchinfer.domain import Failure, Item, Json, Mode, Outcome, Reply, SentFile
from batchinfer.errors import FatalError
from batchinfer.flow.memory_budget import (
    DEFAULT_MAX_REPLY_BYTES,
    DEFAULT_MEMORY_BYTES,
    MemoryBudget,
    Reservation,
)
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.machine_limits import detect_shortage
from batchinfer.oscar import http_status, payload, reply_parser
from batchinfer.oscar.model_schema import extract_help
from batchinfer.oscar.transcript_failures import raise_if_fatal
from batchinfer.ports import Clock

HTTP_OK: Final = 200
"""The one status whose body decides."""
MAX_HEADER_BYTES: Final = 1 << 16
"""Bytes of a header, or of all of a status line."""


@asynccontextmanager
async def open_http_backend(
    *,
    endpoint: str,
    token: str,
    params: Mapping[str, Json],
    timeout: float,  # noqa: ASYNC109 - of each call, not of this function
    redactor: Redactor,
    connect_timeout: float = 30.0,
    send_timeout: float = 60.0,
    first_byte_timeout: float | None = None,
    memory: int = DEFAULT_MEMORY_BYTES,
    spool_dir: Path | None = None,
    bandwidth: float | None = None,
    ca_file: str | None = None,
    verify: bool = True,
    max_reply: int = DEFAULT_MAX_REPLY_BYTES,
    user_agent: str = "batchinfer",
    clock: Clock = time.time,
) -> AsyncIterator[HttpBackend]:
    """A backend that calls `endpoint`; its connections live as long as the context.

    `timeout`: seconds of a whole call; of its stages: see `CallTimeouts`. `memory`: bytes of files
    that are read and sent, and of replies that are read, at a time. `max_reply`: bytes of one
    reply, at
    most. `spool`: the folder where large ones are kept while they are read. `bandwidth`: bytes that
    are sent per second, at most. There are as many connections as calls: whoever calls bounds them.
    A proxy is taken from the environment, once. Raises FatalError (`bad_endpoint`) and ConfigError
    (`ca_file`, the proxy).
    """
    url = _parse_endpoint(endpoint, redactor)
    is_https = url.scheme == "https"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, ssl=tls.create_ssl_context(ca_file, verify=verify) if is_https else False
        ),
        headers={
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "User-Agent": user_agent,
        },
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=find_proxy(url.scheme, url.host or "", url.port),
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    ) as session:
        yield HttpBackend(
            session=session,
            url=url,
            payload_loader=PayloadLoader(params, Mode.SYNC, redactor=redactor),
            timeouts=CallTimeouts(timeout, connect_timeout, send_timeout, first_byte_timeout),
            memory_budget=MemoryBudget(memory),
            bandwidth=BandwidthLimiter(bandwidth) if bandwidth else None,
            redactor=redactor,
            reply_reader=ReplyReader(max_reply, spool_dir),
            clock=clock,
        )


class HttpBackend:
    """The port `Backend` in sync mode. Made by `open_http_backend`."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        url: URL,
        payload_loader: PayloadLoader,
        timeouts: CallTimeouts,
        memory_budget: MemoryBudget,
        bandwidth: BandwidthLimiter | None,
        redactor: Redactor,
        reply_reader: ReplyReader,
        clock: Clock,
    ) -> None:
        self._session = session
        self._url = url
        self._payload_loader = payload_loader
        self._timeouts = timeouts
        self._memory_budget = memory_budget
        self._bandwidth = bandwidth
        self._redactor = redactor
        self._reply_reader = reply_reader
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._loop_time = self._loop.time
        self._unparsed: list[tuple[bytes, bool, asyncio.Future[Outcome]]] = []
        self.clock_skew: float | None = None
        """Seconds that the server's clock was ahead of ours in its latest answer, if it told."""

    async def attempt(self, item: Item, number: int) -> Outcome:  # noqa: ARG002 - the port's
        """One call. See `ports.Backend`."""
        try:
            return await self._attempt(item)
        except (MemoryError, RuntimeError) as error:
            if machine_shortage := detect_shortage(error):
                return machine_shortage
            raise

    async def _attempt(self, item: Item) -> Outcome:
        with self._memory_budget.new_reservation() as reservation:
            loaded = await self._payload_loader.load_within(reservation, item)
            if isinstance(loaded, Failure):
                return loaded
            body, inputs = self._make_body(loaded.body, reservation), loaded.inputs
            del loaded  # what has been sent shall be held by nobody
            outcome = await self._call(body, inputs)
        if isinstance(outcome, Reply) or not outcome.sent:
            return outcome
        return replace(outcome, inputs=inputs)

    async def fetch_help(self) -> str | Failure:
        """What the service answers when it is asked for the model's help (docs/platform.md).

        A failure when it does not answer with a help. Raises FatalError as `attempt` does.
        """
        return extract_help(await self._call(self._make_body(payload.HELP_PAYLOAD)))

    def _make_body(self, body: PayloadBody, reservation: Reservation | None = None) -> StreamedBody:
        return StreamedBody(
            body,
            stall_timeout=self._timeouts.send,
            bandwidth=self._bandwidth,
            reservation=reservation,
        )

    async def _call(self, body: StreamedBody, inputs: tuple[SentFile, ...] = ()) -> Outcome:
        with self._memory_budget.new_reservation() as reservation:
            outcome = await self._send_and_parse(body, reservation, inputs)
            if isinstance(outcome, Reply) and (
                lease := reservation.lease(self._loop.call_soon_threadsafe)
            ):
                return replace(outcome, lease=lease)
            return outcome

    async def _send_and_parse(
        self, body: StreamedBody, reservation: Reservation, inputs: tuple[SentFile, ...]
    ) -> Outcome:
        started_at = self._loop_time()
        body.deadlines = deadlines = CallDeadlines(self._timeouts)
        try:
            async with (
                deadlines.timeout,
                self._session.post(self._url, data=body, allow_redirects=False) as response,
            ):
                deadlines.on_response_start()
                self.clock_skew = parse_clock_skew(response.headers.get("Date"), self._clock())
                body.release()  # an early answer: nobody waits for room that he holds himself
                if response.status == HTTP_OK:
                    content = await self._reply_reader.read(response, reservation, deadlines)
                else:
                    content = await read_body_start(response, http_status.MAX_ERROR_BODY_BYTES)
                if content is None:
                    response.close()
        except (aiohttp.ClientError, OSError) as error:
            return _return_or_raise(
                classify_http_error(deadlines.translate(error), self._url, self._timeouts)
            )
        if content is None:
            return self._reply_too_large(response)
        if response.status == HTTP_OK:
            return await self._parse_response(content, response, inputs)
        return _return_or_raise(
            http_status.classify_status(
                response.status,
                self._redactor.redact_bytes(content),
                elapsed=self._loop_time() - started_at,
                now=self._clock(),
                retry_after=response.headers.get("Retry-After"),
                location=self._redactor.redact_text(response.headers.get("Location", "")),
            )
        )

    async def _parse_response(
        self, body: bytes, response: aiohttp.ClientResponse, inputs: tuple[SentFile, ...]
    ) -> Outcome:
        is_framed = _is_framed(response)
        if len(body) <= UNBUDGETED_REPLY_BYTES:
            outcome = await self._parse_batched(body, is_framed=is_framed)
        else:
            parse = partial(self._parse_and_redact, body, is_framed=is_framed)
            outcome = await anyio.to_thread.run_sync(parse, abandon_on_cancel=True)
        if isinstance(outcome, Reply):
            seconds = _parse_seconds(response.headers.get("X-Duration-Seconds"))
            return replace(outcome, server_seconds=seconds, inputs=inputs)
        return outcome

    async def _parse_batched(self, body: bytes, *, is_framed: bool) -> Outcome:
        """Its outcome, read together with those of the other answers that are here by now.

        One after the other they take half the time: code and data are in the processor's cache.
        """
        future: asyncio.Future[Outcome] = self._loop.create_future()
        if not self._unparsed:
            self._loop.call_soon(self._parse_queued)
        self._unparsed.append((body, is_framed, future))
        return await future

    def _parse_queued(self) -> None:
        unparsed, self._unparsed = self._unparsed, []
        for body, is_framed, future in unparsed:
            if future.done():  # cancelled
                continue
            try:
                future.set_result(self._parse_and_redact(body, is_framed=is_framed))
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                future.set_exception(error)

    def _parse_and_redact(self, body: bytes, *, is_framed: bool) -> Outcome:
        """What a body says. It is read as it came: secrets are looked for in what was read."""
        return raise_if_fatal(
            self._redactor.redact_outcome(reply_parser.parse_body(body, is_framed=is_framed))
        )

    def _reply_too_large(self, response: aiohttp.ClientResponse) -> Failure:
        max_bytes, size = self._reply_reader.max_bytes, response.content_length
        announced = "" if size is None or size <= max_bytes else f" ({size:,} bytes)"
        return Failure(
            code="reply_too_large",
            message=f"the reply is larger than {max_bytes:,} bytes{announced} and was not read: "
            "let the "
            "model return less, or raise --max-reply and run `batchinfer retry RUN --code "
            "reply_too_large`",
        )


def _return_or_raise(outcome: Failure | FatalError | None) -> Failure:
    if isinstance(outcome, Failure):
        return outcome
    if outcome is None:
        raise AssertionError("a 200 is not judged by its status")
    raise outcome from None


def _is_framed(response: aiohttp.ClientResponse) -> bool:
    """Whether a body that is cut off is an error of the transport: its length, or its last chunk,
    is told. Otherwise the body ends wherever the connection does.
    """  # noqa: D205 - one thought
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return chunked or "Content-Length" in response.headers


def _parse_endpoint(endpoint: str, redactor: Redactor) -> URL:
    """The endpoint, if a call can go there. Raises FatalError (`bad_endpoint`)."""
    try:
        url = URL(endpoint.strip())
        is_usable = url.scheme in {"http", "https"} and url.host and url.port
    except ValueError:
        is_usable, url = None, URL()
    if not is_usable or url.user or url.password:
        raise FatalError(
            "bad_endpoint",
            f"the endpoint {redactor.redact_text(http_status.safe_url(endpoint))!r} is no address "
            "that can be "
            "called: copy it from the Dashboard, 'Synchronous calls' "
            "(https://.../run/<service>)",
        )
    return url


def _host_and_port(url: URL) -> str:
    return url.host if url.is_default_port() and url.host else f"{url.host}:{url.port}"


def _parse_seconds(header: str | None) -> float | None:
    try:
        seconds = float(header) if header else math.nan
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
