"""What can go wrong with a call before its answer is here, and what it means.

One table, `TROUBLES`: exceptions are told apart by their type, never by their text. What an answer
says is judged elsewhere (`oscar.status`, `oscar.reply`).
"""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp
from yarl import URL

from batchinfer.backends import tls
from batchinfer.backends.deadlines import NoFirstByte, Timeouts
from batchinfer.backends.sending import SendStalled
from batchinfer.domain import Failure, Kind
from batchinfer.errors import FatalError


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
    cause = getattr(error, "os_error", None)
    if distrust := tls.trouble(cause):
        return FatalError("tls", f"{host} cannot be trusted: {distrust}. {tls.ADVICE}")
    trouble = next(row for row in TROUBLES if isinstance(error, row.types))
    message = trouble.message.format(
        host=host,
        why=_why(error, cause),
        total=timeouts.total,
        connect=timeouts.connect,
        send=timeouts.send,
        first_byte=timeouts.first_byte or 0,
    )
    return Failure(code=trouble.code, message=message, kind=trouble.kind)


def _why(error: Exception, cause: OSError | None) -> str:
    """The operating system's words, or the library's name for it: never its text, which quotes."""
    known = cause or error
    if isinstance(known, OSError) and known.errno and known.strerror:
        return known.strerror
    return type(error).__name__


def _shown(url: URL) -> str:
    return url.host if url.is_default_port() and url.host else f"{url.host}:{url.port}"
