"""Sync mode: one HTTP call per attempt. The only file that knows aiohttp for calls.

Rules of the room: whatever happens to a call comes back as a value, or as a FatalError when no
call can succeed; no exception of aiohttp leaves, and none is judged by its text (`_TROUBLES` maps
types). The token goes to the endpoint and nowhere else: no redirect is followed, no .netrc is read.
What comes back is redacted before anybody reads it. A cancelled call closes its connection.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import aiohttp
import anyio.to_thread
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from batchinfer.backends import tls
from batchinfer.backends.clocks import ahead_of
from batchinfer.backends.files import Loader
from batchinfer.backends.proxies import proxy_for
from batchinfer.backends.redact import Redactor
from batchinfer.domain import Failure, Item, Json, Kind, Mode, Outcome, Reply
from batchinfer.errors import FatalError
from batchinfer.oscar import payload, reply, status
from batchinfer.oscar.faults import raise_if_hopeless
from batchinfer.oscar.schema import helped
from batchinfer.ports import Clock

REPLY_LIMIT: Final = 1 << 30
"""Bytes of a reply, decompressed; more is not read."""
AT_ONCE: Final = 1 << 20
"""Bytes that are sent in one piece: a memory copy of some 100 us."""
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
    ca_file: str | None = None,
    verify: bool = True,
    reply_limit: int = REPLY_LIMIT,
    user_agent: str = "batchinfer",
    clock: Clock = time.time,
) -> AsyncIterator[HttpBackend]:
    """A backend that calls `endpoint`; its connections live as long as the context.

    `timeout`, `connect_timeout`: seconds, of a whole call and of its connecting. There are as many
    connections as calls: whoever calls bounds them. A proxy is taken from the environment, once.
    Raises FatalError (`bad_endpoint`) and ConfigError (`ca_file`).
    """
    url = _url(endpoint)
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
        timeout=aiohttp.ClientTimeout(total=timeout, connect=connect_timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy_for(url.scheme, url.host or ""),
    ) as session:
        yield HttpBackend(
            session=session,
            url=url,
            loader=Loader(params, Mode.SYNC),
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
        redact: Redactor,
        reply_limit: int,
        clock: Clock,
    ) -> None:
        self._session = session
        self._url = url
        self._loader = loader
        self._redact = redact
        self._reply_limit = reply_limit
        self._clock = clock
        self._now = asyncio.get_running_loop().time
        self.ahead: float | None = None
        """Seconds that the server's clock was ahead of ours in its latest answer, if it told."""

    async def attempt(self, item: Item, number: int) -> Outcome:  # noqa: ARG002 - the port's
        """One call. See `ports.Backend`."""
        body = await self._loader.load(item)
        if isinstance(body, Failure):
            return body
        return await self._call(body)

    async def help(self) -> str | Failure:
        """What the service answers when it is asked for the model's help (contract section 3).

        A failure when it does not answer with a help. Raises FatalError as `attempt` does.
        """
        return helped(await self._call(payload.HELP))

    async def _call(self, body: bytes) -> Outcome:
        began = self._now()
        try:
            async with self._session.post(
                self._url, data=_sendable(body), allow_redirects=False
            ) as response:
                self.ahead = ahead_of(response.headers.get("Date"), self._clock())
                answer = await self._read(response)
        except (aiohttp.ClientError, OSError) as error:
            return _decide(_explain(error, self._url, self._session.timeout))
        if answer is None:
            return self._too_large()
        if response.status == 200:  # noqa: PLR2004 - the one status whose body decides
            return await self._understand(answer, response)
        return _decide(
            status.judge(
                response.status,
                self._redact.data(answer),
                elapsed=self._now() - began,
                now=self._clock(),
                retry_after=response.headers.get("Retry-After"),
                location=response.headers.get("Location"),
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

    async def _understand(self, body: bytes, response: aiohttp.ClientResponse) -> Outcome:
        if len(body) <= QUICK:
            outcome = self._outcome(body)
        else:
            outcome = await anyio.to_thread.run_sync(self._outcome, body, abandon_on_cancel=True)
        if isinstance(outcome, Reply):
            seconds = _seconds(response.headers.get("X-Duration-Seconds"))
            return outcome if seconds is None else replace(outcome, server_seconds=seconds)
        return outcome

    def _outcome(self, body: bytes) -> Outcome:
        return raise_if_hopeless(reply.read_body(self._redact.data(body)))

    def _too_large(self) -> Failure:
        return Failure(
            code="reply_too_large",
            message=f"the reply is larger than {self._reply_limit:,} bytes and was not read: let "
            "the model return less, or use --mode async",
        )


# What can go wrong with a call ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Trouble:
    """One row: exceptions of these types, and what they mean."""

    types: tuple[type[BaseException], ...]
    code: str
    kind: Kind
    message: str
    """Prose with `{host}`, `{why}`, `{total}` and `{connect}` (seconds)."""


_TROUBLES: tuple[_Trouble, ...] = (
    _Trouble(
        (aiohttp.ClientConnectorDNSError,),
        "unreachable",
        Kind.UNAVAILABLE,
        "the name {host} cannot be resolved: check the endpoint and the network",
    ),
    _Trouble(
        (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError),
        "unreachable",
        Kind.UNAVAILABLE,
        "the proxy between here and {host} does not let us through ({why}): check HTTPS_PROXY, "
        "HTTP_PROXY and NO_PROXY",
    ),
    _Trouble(
        (aiohttp.ClientConnectorError,),
        "unreachable",
        Kind.UNAVAILABLE,
        "no connection to {host} ({why}): check the endpoint, the network and whether the cluster "
        "is up",
    ),
    _Trouble(
        (aiohttp.ConnectionTimeoutError,),
        "unreachable",
        Kind.UNAVAILABLE,
        "no connection to {host} within {connect:g} s: check the endpoint, the network and whether "
        "the cluster is up",
    ),
    _Trouble(
        (TimeoutError,),
        "timeout",
        Kind.TRANSIENT,
        "no answer within {total:g} s; the call may still be running on the service and hold its "
        "place. If predictions take that long, raise --timeout or use --mode async",
    ),
    _Trouble(
        (aiohttp.ClientError, OSError),
        "connection_lost",
        Kind.TRANSIENT,
        "the connection to {host} broke before the whole answer was here ({why}); the call may "
        "still be running on the service",
    ),
)
"""Read from the top; the last row fits everything that a call can raise."""


def _explain(error: Exception, url: URL, timeout: aiohttp.ClientTimeout) -> Failure | FatalError:
    host = _shown(url)
    cause = getattr(error, "os_error", None)
    if distrust := tls.trouble(cause):
        return FatalError("tls", f"{host} cannot be trusted: {distrust}. {tls.ADVICE}")
    trouble = next(row for row in _TROUBLES if isinstance(error, row.types))
    message = trouble.message.format(
        host=host, why=_why(error, cause), total=timeout.total or 0, connect=timeout.connect or 0
    )
    return Failure(code=trouble.code, message=message, kind=trouble.kind)


def _why(error: Exception, cause: OSError | None) -> str:
    """The operating system's words, or the library's name for it: never its text, which quotes."""
    known = cause or error
    if isinstance(known, OSError) and known.errno and known.strerror:
        return known.strerror
    return type(error).__name__


def _decide(outcome: Failure | FatalError | None) -> Failure:
    if isinstance(outcome, Failure):
        return outcome
    if outcome is None:
        raise AssertionError("a 200 is not judged by its status")
    raise outcome from None


# Parts of a call --------------------------------------------------------------------------------


class _Pieces(aiohttp.Payload):
    """A large body, sent piece by piece without a copy, so that others get their turn."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        view = memoryview(self._value)
        for start in range(0, len(view), QUICK):
            await writer.write(view[start : start + QUICK])
            await asyncio.sleep(0)


def _sendable(body: bytes) -> bytes | aiohttp.Payload:
    return body if len(body) <= AT_ONCE else _Pieces(body)


def _url(endpoint: str) -> URL:
    """The endpoint, if a call can go there. Raises FatalError (`bad_endpoint`)."""
    try:
        url = URL(endpoint.strip())
        usable = url.scheme in {"http", "https"} and url.host and url.port
    except ValueError:
        usable, url = None, URL()
    if not usable or url.user or url.password:
        raise FatalError(
            "bad_endpoint",
            f"the endpoint {status.place(endpoint)!r} is no address that can be called: copy it "
            "from the Dashboard, 'Synchronous calls' (https://.../run/<service>)",
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
