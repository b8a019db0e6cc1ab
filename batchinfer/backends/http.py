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
from batchinfer.backends.clocks import ahead_of
from batchinfer.backends.deadlines import Deadlines, Timeouts
from batchinfer.backends.files import Body, Loader
from batchinfer.backends.http_troubles import explain
from batchinfer.backends.proxies import proxy_for
from batchinfer.backends.redact import Redactor
from batchinfer.backends.replies import QUICK, ReplyReader, read_head
from batchinfer.backends.sending import Sending
from batchinfer.domain import Digest, Failure, Item, Json, Mode, Outcome, Reply
from batchinfer.errors import FatalError
from batchinfer.flow.cargo import MAX_REPLY, MEMORY, Cargo, Room
from batchinfer.flow.pace import Bandwidth
from batchinfer.machine import shortage
from batchinfer.oscar import payload, reply, status
from batchinfer.oscar.faults import raise_if_hopeless
from batchinfer.oscar.schema import helped
from batchinfer.ports import Clock

OK: Final = 200
"""The one status whose body decides."""
LONGEST_HEADER: Final = 1 << 16
"""Bytes of a header, or of all of a status line."""


@asynccontextmanager
async def http_backend(
    *,
    endpoint: str,
    token: str,
    params: Mapping[str, Json],
    timeout: float,  # noqa: ASYNC109 - of each call, not of this function
    redact: Redactor,
    connect_timeout: float = 30.0,
    send_timeout: float = 60.0,
    first_byte_timeout: float | None = None,
    memory: int = MEMORY,
    spool: Path | None = None,
    bandwidth: float | None = None,
    ca_file: str | None = None,
    verify: bool = True,
    max_reply: int = MAX_REPLY,
    user_agent: str = "batchinfer",
    clock: Clock = time.time,
) -> AsyncIterator[HttpBackend]:
    """A backend that calls `endpoint`; its connections live as long as the context.

    `timeout`: seconds of a whole call; of its stages: see `Timeouts`. `memory`: bytes of files that
    are read and sent, and of replies that are read, at a time. `max_reply`: bytes of one reply, at
    most. `spool`: the folder where large ones are kept while they are read. `bandwidth`: bytes that
    are sent per second, at most. There are as many connections as calls: whoever calls bounds them.
    A proxy is taken from the environment, once. Raises FatalError (`bad_endpoint`) and ConfigError
    (`ca_file`, the proxy).
    """
    url = _url(endpoint, redact)
    secure = url.scheme == "https"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, ssl=tls.context(ca_file, verify=verify) if secure else False
        ),
        headers={
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "User-Agent": user_agent,
        },
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy_for(url.scheme, url.host or "", url.port),
        max_line_size=LONGEST_HEADER,
        max_field_size=LONGEST_HEADER,
    ) as session:
        yield HttpBackend(
            session=session,
            url=url,
            loader=Loader(params, Mode.SYNC, redact=redact),
            timeouts=Timeouts(timeout, connect_timeout, send_timeout, first_byte_timeout),
            cargo=Cargo(memory),
            bandwidth=Bandwidth(bandwidth) if bandwidth else None,
            redact=redact,
            replies=ReplyReader(max_reply, spool),
            clock=clock,
        )


class HttpBackend:
    """The port `Backend` in sync mode. Made by `http_backend`."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        url: URL,
        loader: Loader,
        timeouts: Timeouts,
        cargo: Cargo,
        bandwidth: Bandwidth | None,
        redact: Redactor,
        replies: ReplyReader,
        clock: Clock,
    ) -> None:
        self._session = session
        self._url = url
        self._loader = loader
        self._timeouts = timeouts
        self._cargo = cargo
        self._bandwidth = bandwidth
        self._redact = redact
        self._replies = replies
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._unread: list[tuple[bytes, bool, asyncio.Future[Outcome]]] = []
        self.ahead: float | None = None
        """Seconds that the server's clock was ahead of ours in its latest answer, if it told."""

    async def attempt(self, item: Item, number: int) -> Outcome:  # noqa: ARG002 - the port's
        """One call. See `ports.Backend`."""
        try:
            return await self._attempt(item)
        except (MemoryError, RuntimeError) as error:
            if short := shortage(error):
                return short
            raise

    async def _attempt(self, item: Item) -> Outcome:
        with self._cargo.room() as room:
            loaded = await self._loader.load_into(room, item)
            if isinstance(loaded, Failure):
                return loaded
            body, inputs = self._sending(loaded.body, room), loaded.inputs
            del loaded  # what has been sent shall be held by nobody
            outcome = await self._call(body, inputs)
        if isinstance(outcome, Reply) or not outcome.sent:
            return outcome
        return replace(outcome, inputs=inputs)

    async def help(self) -> str | Failure:
        """What the service answers when it is asked for the model's help (contract section 3).

        A failure when it does not answer with a help. Raises FatalError as `attempt` does.
        """
        return helped(await self._call(self._sending(payload.HELP)))

    def _sending(self, body: Body, room: Room | None = None) -> Sending:
        return Sending(body, patience=self._timeouts.send, bandwidth=self._bandwidth, room=room)

    async def _call(self, body: Sending, inputs: tuple[Digest, ...] = ()) -> Outcome:
        with self._cargo.room() as room:
            outcome = await self._answer(body, room, inputs)
            if isinstance(outcome, Reply) and (
                lease := room.lease(self._loop.call_soon_threadsafe)
            ):
                return replace(outcome, lease=lease)
            return outcome

    async def _answer(self, body: Sending, room: Room, inputs: tuple[Digest, ...]) -> Outcome:
        began = self._now()
        body.deadlines = deadlines = Deadlines(self._timeouts)
        try:
            async with (
                deadlines.alarm,
                self._session.post(self._url, data=body, allow_redirects=False) as response,
            ):
                deadlines.answered()
                self.ahead = ahead_of(response.headers.get("Date"), self._clock())
                body.done()  # an early answer: nobody waits for room that he holds himself
                if response.status == OK:
                    answer = await self._replies.read(response, room, deadlines)
                else:
                    answer = await read_head(response, status.LOG)
                if answer is None:
                    response.close()
        except (aiohttp.ClientError, OSError) as error:
            return _decide(explain(deadlines.told(error), self._url, self._timeouts))
        if answer is None:
            return self._too_large(response)
        if response.status == OK:
            return await self._understand(answer, response, inputs)
        return _decide(
            status.judge(
                response.status,
                self._redact.data(answer),
                elapsed=self._now() - began,
                now=self._clock(),
                retry_after=response.headers.get("Retry-After"),
                location=self._redact.text(response.headers.get("Location", "")),
            )
        )

    async def _understand(
        self, body: bytes, response: aiohttp.ClientResponse, inputs: tuple[Digest, ...]
    ) -> Outcome:
        framed = _is_framed(response)
        if len(body) <= QUICK:
            outcome = await self._in_turn(body, framed=framed)
        else:
            read = partial(self._outcome, body, framed=framed)
            outcome = await anyio.to_thread.run_sync(read, abandon_on_cancel=True)
        if isinstance(outcome, Reply):
            seconds = _seconds(response.headers.get("X-Duration-Seconds"))
            return replace(outcome, server_seconds=seconds, inputs=inputs)
        return outcome

    async def _in_turn(self, body: bytes, *, framed: bool) -> Outcome:
        """Its outcome, read together with those of the other answers that are here by now.

        One after the other they take half the time: code and data are in the processor's cache.
        """
        future: asyncio.Future[Outcome] = self._loop.create_future()
        if not self._unread:
            self._loop.call_soon(self._read_all)
        self._unread.append((body, framed, future))
        return await future

    def _read_all(self) -> None:
        unread, self._unread = self._unread, []
        for body, framed, future in unread:
            if future.done():  # cancelled
                continue
            try:
                future.set_result(self._outcome(body, framed=framed))
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                future.set_exception(error)

    def _outcome(self, body: bytes, *, framed: bool) -> Outcome:
        """What a body says. It is read as it came: secrets are looked for in what was read."""
        return raise_if_hopeless(self._redact.outcome(reply.read_body(body, framed=framed)))

    def _too_large(self, response: aiohttp.ClientResponse) -> Failure:
        most, size = self._replies.most, response.content_length
        announced = "" if size is None or size <= most else f" ({size:,} bytes)"
        return Failure(
            code="reply_too_large",
            message=f"the reply is larger than {most:,} bytes{announced} and was not read: let the "
            "model return less, or raise --max-reply and run `batchinfer retry RUN --code "
            "reply_too_large`",
        )


def _decide(outcome: Failure | FatalError | None) -> Failure:
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


def _url(endpoint: str, redact: Redactor) -> URL:
    """The endpoint, if a call can go there. Raises FatalError (`bad_endpoint`)."""
    try:
        url = URL(endpoint.strip())
        usable = url.scheme in {"http", "https"} and url.host and url.port
    except ValueError:
        usable, url = None, URL()
    if not usable or url.user or url.password:
        raise FatalError(
            "bad_endpoint",
            f"the endpoint {redact.text(status.place(endpoint))!r} is no address that can be "
            "called: copy it from the Dashboard, 'Synchronous calls' "
            "(https://.../run/<service>)",
        )
    return url


def _shown(url: URL) -> str:
    return url.host if url.is_default_port() and url.host else f"{url.host}:{url.port}"


def _seconds(header: str | None) -> float | None:
    try:
        seconds = float(header) if header else math.nan
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
