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
from batchinfer.backends.sending import Sending
from batchinfer.domain import Digest, Failure, Item, Json, Mode, Outcome, Reply
from batchinfer.errors import FatalError
from batchinfer.flow.cargo import MEMORY, Cargo, Room
from batchinfer.flow.pace import Bandwidth
from batchinfer.oscar import payload, reply, status
from batchinfer.oscar.faults import raise_if_hopeless
from batchinfer.oscar.schema import helped
from batchinfer.ports import Clock

REPLY_LIMIT: Final = 1 << 30
"""Bytes of a reply, decompressed; more is not read."""
QUICK: Final = 1 << 16
"""Bytes that are read on the event loop; more would make others wait."""


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
    bandwidth: float | None = None,
    ca_file: str | None = None,
    verify: bool = True,
    reply_limit: int = REPLY_LIMIT,
    user_agent: str = "batchinfer",
    clock: Clock = time.time,
) -> AsyncIterator[HttpBackend]:
    """A backend that calls `endpoint`; its connections live as long as the context.

    `timeout`: seconds of a whole call; of its stages: see `Timeouts`. `memory`: bytes of files that
    are read and sent at a time. `bandwidth`: bytes that are sent per second, at most. There are as
    many connections as calls: whoever calls bounds them. A proxy is taken from the environment,
    once. Raises FatalError (`bad_endpoint`) and ConfigError (`ca_file`).
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
        proxy=proxy_for(url.scheme, url.host or ""),
    ) as session:
        yield HttpBackend(
            session=session,
            url=url,
            loader=Loader(params, Mode.SYNC),
            timeouts=Timeouts(timeout, connect_timeout, send_timeout, first_byte_timeout),
            cargo=Cargo(memory),
            bandwidth=Bandwidth(bandwidth) if bandwidth else None,
            redact=redact,
            reply_limit=reply_limit,
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
        reply_limit: int,
        clock: Clock,
    ) -> None:
        self._session = session
        self._url = url
        self._loader = loader
        self._timeouts = timeouts
        self._cargo = cargo
        self._bandwidth = bandwidth
        self._redact = redact
        self._reply_limit = reply_limit
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._unread: list[tuple[bytes, bool, asyncio.Future[Outcome]]] = []
        self.ahead: float | None = None
        """Seconds that the server's clock was ahead of ours in its latest answer, if it told."""

    async def attempt(self, item: Item, number: int) -> Outcome:  # noqa: ARG002 - the port's
        """One call. See `ports.Backend`."""
        with self._cargo.room() as room:
            loaded = await self._loader.load_into(room, item)
            if isinstance(loaded, Failure):
                return loaded
            body, inputs = self._sending(loaded.body, room), loaded.inputs
            del loaded  # what has been sent shall be held by nobody
            outcome = await self._call(body, inputs)
        return outcome if isinstance(outcome, Reply) else replace(outcome, inputs=inputs)

    async def help(self) -> str | Failure:
        """What the service answers when it is asked for the model's help (contract section 3).

        A failure when it does not answer with a help. Raises FatalError as `attempt` does.
        """
        return helped(await self._call(self._sending(payload.HELP)))

    def _sending(self, body: Body, room: Room | None = None) -> Sending:
        return Sending(body, patience=self._timeouts.send, bandwidth=self._bandwidth, room=room)

    async def _call(self, body: Sending, inputs: tuple[Digest, ...] = ()) -> Outcome:
        began = self._now()
        body.deadlines = deadlines = Deadlines(self._timeouts)
        try:
            async with (
                deadlines.alarm,
                self._session.post(self._url, data=body, allow_redirects=False) as response,
            ):
                deadlines.answered()
                self.ahead = ahead_of(response.headers.get("Date"), self._clock())
                answer = await self._read(response)
        except (aiohttp.ClientError, OSError) as error:
            return _decide(explain(deadlines.told(error), self._url, self._timeouts))
        if answer is None:
            return self._too_large()
        if response.status == 200:  # noqa: PLR2004 - the one status whose body decides
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

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """The whole body; None when it is too large (counted here: it may have been compressed)."""
        chunks: list[bytes] = []
        size = 0
        while chunk := await response.content.readany():
            chunks.append(chunk)
            size += len(chunk)
            if size > self._reply_limit:
                return None
        return b"".join(chunks)

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

    def _too_large(self) -> Failure:
        return Failure(
            code="reply_too_large",
            message=f"the reply is larger than {self._reply_limit:,} bytes and was not read: let "
            "the model return less, or use --mode async",
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
