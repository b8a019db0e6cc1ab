"""What can go wrong with a call before its answer is here, and what it means.

One table, `TROUBLES`: exceptions are told apart by their type and the types of their causes, never
by their text. What an answer says is judged elsewhere (`oscar.status`, `oscar.reply`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp import http_exceptions as http
from yarl import URL

from batchinfer.backends import tls
from batchinfer.backends.deadlines import NoFirstByte, Timeouts
from batchinfer.backends.sending import SendStalled
from batchinfer.domain import Failure, Kind
from batchinfer.errors import FatalError
from batchinfer.machine import shortage
from batchinfer.oscar import status

DecompressSizeError: type[Exception] = getattr(
    http, "DecompressSizeError", http.ContentEncodingError
)
"""Not in older versions of aiohttp."""
_WANTS_PASSWORD = 407


@dataclass(frozen=True, slots=True)
class Trouble:
    """One row: exceptions of these types, and what they mean."""

    types: tuple[type[BaseException], ...]
    code: str
    kind: Kind
    message: str
    """Prose with `{host}`, `{why}`, and in seconds `{total}`, `{connect}`, `{send}` and
    `{first_byte}`."""


TROUBLES: tuple[Trouble, ...] = (
    Trouble(
        (http.ContentEncodingError, DecompressSizeError),
        "bad_response",
        Kind.TRANSIENT,
        "the answer of {host} cannot be unpacked: its Content-Encoding is not what it says, or is "
        "none that is known here. If this goes on, look at the service, or what stands before it",
    ),
    Trouble(
        (http.LineTooLong,),
        "bad_response",
        Kind.TRANSIENT,
        "a header of the answer of {host} is too long to be read (more than 64 kB): look at the "
        "service, or what stands before it",
    ),
    Trouble(
        (http.BadStatusLine, http.InvalidHeader, http.BadHttpMessage),
        "bad_response",
        Kind.TRANSIENT,
        "what {host} answers is no HTTP: check the endpoint, and whether http or https is right",
    ),
    Trouble(
        (aiohttp.ClientConnectorDNSError,),
        "unreachable",
        Kind.UNAVAILABLE,
        "the name {host} cannot be resolved: check the endpoint and the network",
    ),
    Trouble(
        (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError),
        "unreachable",
        Kind.UNAVAILABLE,
        "the proxy between here and {host} does not let us through ({why}): check HTTPS_PROXY, "
        "HTTP_PROXY and NO_PROXY",
    ),
    Trouble(
        (aiohttp.ClientConnectorError,),
        "unreachable",
        Kind.UNAVAILABLE,
        "no connection to {host} ({why}): check the endpoint, the network and whether the cluster "
        "is up",
    ),
    Trouble(
        (aiohttp.ConnectionTimeoutError,),
        "unreachable",
        Kind.UNAVAILABLE,
        "no connection to {host} within {connect:g} s: check the endpoint, the network and whether "
        "the cluster is up",
    ),
    Trouble(
        (SendStalled,),
        "send_stalled",
        Kind.TRANSIENT,
        "{host} accepted nothing more of what was sent for {send:g} s, and the call was given up: "
        "if this goes on, check the network; on a very slow one, raise send_timeout",
    ),
    Trouble(
        (NoFirstByte,),
        "timeout",
        Kind.TRANSIENT,
        "no answer began within {first_byte:g} s after all was sent (first_byte_timeout); the call "
        "may still be running on the service and hold its container. If predictions take that "
        "long, raise it or use --mode async",
    ),
    Trouble(
        (TimeoutError,),
        "timeout",
        Kind.TRANSIENT,
        "no answer within {total:g} s; the call may still be running on the service and hold its "
        "place. If predictions take that long, raise --timeout or use --mode async",
    ),
    Trouble(
        (aiohttp.ClientError, OSError),
        "connection_lost",
        Kind.TRANSIENT,
        "the connection to {host} broke before the whole answer was here ({why}); the call may "
        "still be running on the service",
    ),
)
"""Read from the top; the last row fits everything that a call can raise."""


def explain(error: Exception, url: URL, timeouts: Timeouts) -> Failure | FatalError:
    """What follows from an exception of a call to `url`. A FatalError is returned, not raised."""
    host = _shown(url)
    if short := shortage(error):
        return short
    if isinstance(error, aiohttp.InvalidURL):
        return FatalError("bad_endpoint", f"{host}, or its proxy, is no address that can be called")
    if isinstance(error, aiohttp.ClientHttpProxyError) and error.status == _WANTS_PASSWORD:
        judged = status.judge(error.status, b"", elapsed=0, now=0)
        assert judged is not None  # noqa: S101 - None is for 200
        return judged
    cause = getattr(error, "os_error", None)
    if distrust := tls.trouble(cause):
        return FatalError("tls", f"{host} cannot be trusted: {distrust}. {tls.ADVICE}")
    causes = _causes(error)
    trouble = next(row for row in TROUBLES if any(isinstance(each, row.types) for each in causes))
    message = trouble.message.format(
        host=host,
        why=_why(error, cause),
        total=timeouts.total,
        connect=timeouts.connect,
        send=timeouts.send,
        first_byte=timeouts.first_byte or 0,
    )
    return Failure(code=trouble.code, message=message, kind=trouble.kind)


def _causes(error: BaseException) -> Sequence[BaseException]:
    """The error and what it came from; of what broke off half-way only itself."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    broke_off = (http.TransferEncodingError, http.ContentLengthError)
    return causes[:1] if isinstance(causes[-1], broke_off) else causes


def _why(error: Exception, cause: OSError | None) -> str:
    """The operating system's words, or the library's name for it: never its text, which quotes."""
    known = cause or error
    if isinstance(known, OSError) and known.errno and known.strerror:
        return known.strerror
    return type(error).__name__


def _shown(url: URL) -> str:
    return url.host if url.is_default_port() and url.host else f"{url.host}:{url.port}"
