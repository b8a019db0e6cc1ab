"""What can go wrong with a call before its answer is here, and what it means.

One table, `HTTP_ERROR_RULES`: exceptions are classified by their type and the types of their
causes, never by their text. What an answer means is up to the protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp import http_exceptions as http
from yarl import URL

from batchinfer.backends import tls
from batchinfer.domain import Failure, FailureKind, Mode, ServiceSignal
from batchinfer.errors import FatalError
from batchinfer.machine_limits import detect_shortage
from batchinfer.protocols.http_text import PROXY_AUTH_MESSAGE
from batchinfer.protocols.inference_protocol import InferenceProtocol
from batchinfer.transport import transport_errors as transport
from batchinfer.transport.call_timeouts import CallTimeouts

DecompressSizeError: type[Exception] = getattr(
    http, "DecompressSizeError", http.ContentEncodingError
)
"""Not in older versions of aiohttp."""
_PROXY_AUTH_REQUIRED = 407
_ASYNC_HINT = " or use --mode async"


@dataclass(frozen=True, slots=True)
class HttpErrorRule:
    """One row: exceptions of these types, and what they mean."""

    exception_types: tuple[type[BaseException], ...]
    code: str
    kind: FailureKind
    message: str
    """Prose with `{host}`, `{why}`, `{hint}`, and in seconds `{total}`, `{connect}`, `{send}` and
    `{first_byte}`."""
    signal: ServiceSignal | None = None
    """As in `Failure`."""


HTTP_ERROR_RULES: tuple[HttpErrorRule, ...] = (
    HttpErrorRule(
        (http.ContentEncodingError, DecompressSizeError, transport.ContentEncodingError),
        "bad_response",
        FailureKind.TRANSIENT,
        "the answer of {host} cannot be unpacked: its Content-Encoding is not what it says, or is "
        "none that is known here. If this goes on, look at the service, or what stands before it",
    ),
    HttpErrorRule(
        (http.LineTooLong, transport.HeaderTooLongError),
        "bad_response",
        FailureKind.TRANSIENT,
        "a header of the answer of {host} is too long to be read (more than 64 kB): look at the "
        "service, or what stands before it",
    ),
    HttpErrorRule(
        (
            http.BadStatusLine,
            http.InvalidHeader,
            http.BadHttpMessage,
            transport.MalformedResponseError,
        ),
        "bad_response",
        FailureKind.TRANSIENT,
        "what {host} answers is no HTTP: check the endpoint, and whether http or https is right",
    ),
    HttpErrorRule(
        (aiohttp.ClientConnectorDNSError, transport.ClientConnectorDNSError),
        "unreachable",
        FailureKind.UNAVAILABLE,
        "the name {host} cannot be resolved: check the endpoint and the network",
    ),
    HttpErrorRule(
        (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError),
        "unreachable",
        FailureKind.UNAVAILABLE,
        "the proxy between here and {host} does not let us through ({why}): check HTTPS_PROXY, "
        "HTTP_PROXY and NO_PROXY",
    ),
    HttpErrorRule(
        (aiohttp.ClientConnectorError, transport.ClientConnectorError),
        "unreachable",
        FailureKind.UNAVAILABLE,
        "no connection to {host} ({why}): check the endpoint, the network and whether the cluster "
        "is up",
    ),
    HttpErrorRule(
        (aiohttp.ConnectionTimeoutError, transport.ConnectTimeout),
        "unreachable",
        FailureKind.UNAVAILABLE,
        "no connection to {host} within {connect:g} s: check the endpoint, the network and whether "
        "the cluster is up",
    ),
    HttpErrorRule(
        (transport.SendStalled,),
        "send_stalled",
        FailureKind.TRANSIENT,
        "{host} accepted nothing more of what was sent for {send:g} s, and the call was given up: "
        "if this goes on, check the network; on a very slow one, raise send_timeout",
    ),
    HttpErrorRule(
        (transport.FirstByteTimeout,),
        "timeout",
        FailureKind.TRANSIENT,
        "no answer began within {first_byte:g} s after all was sent (first_byte_timeout); the call "
        "may still be running on the service and hold its container. If predictions take that "
        "long, raise it{hint}",
        ServiceSignal.TIMEOUT,
    ),
    HttpErrorRule(
        (TimeoutError,),
        "timeout",
        FailureKind.TRANSIENT,
        "no answer within {total:g} s; the call may still be running on the service and hold its "
        "place. If predictions take that long, raise --timeout{hint}",
        ServiceSignal.TIMEOUT,
    ),
    HttpErrorRule(
        (aiohttp.ClientError, OSError),
        "connection_lost",
        FailureKind.TRANSIENT,
        "the connection to {host} broke before the whole answer was here ({why}); the call may "
        "still be running on the service",
    ),
)
"""Read from the top; the last row fits everything that a call can raise."""


def classify_http_error(
    error: Exception, url: URL, timeouts: CallTimeouts, timeout_hint: str = _ASYNC_HINT
) -> Failure | FatalError:
    """What follows from an exception of a call to `url`. A FatalError is returned, not raised.

    `timeout_hint`: what else helps where no answer came; the end of a sentence, or more sentences.
    """
    host = _display_host(url)
    if machine_shortage := detect_shortage(error):
        return machine_shortage
    if isinstance(error, aiohttp.InvalidURL):
        return FatalError("bad_endpoint", f"{host}, or its proxy, is no address that can be called")
    if isinstance(error, aiohttp.ClientHttpProxyError) and error.status == _PROXY_AUTH_REQUIRED:
        message = PROXY_AUTH_MESSAGE.format(said="")
        return Failure("http_407", message, FailureKind.PERMANENT, signal=ServiceSignal.DENIED)
    cause = getattr(error, "os_error", None)
    if tls_error := tls.describe_tls_error(cause):
        return FatalError("tls", f"{host} cannot be trusted: {tls_error}. {tls.TLS_ADVICE}")
    error_chain = _list_causes(error)
    rule = next(
        row
        for row in HTTP_ERROR_RULES
        if any(isinstance(each, row.exception_types) for each in error_chain)
    )
    message = rule.message.format(
        host=host,
        why=_describe_cause(error, cause),
        total=timeouts.total,
        connect=timeouts.connect,
        send=timeouts.send,
        first_byte=timeouts.first_byte or 0,
        hint=timeout_hint,
    )
    return Failure(code=rule.code, message=message, kind=rule.kind, signal=rule.signal)


def make_timeout_hint(protocol: InferenceProtocol) -> str:
    """What a message about a call without answer ends with, for services of a protocol."""
    if protocol.timeout_hint:
        return f". {protocol.timeout_hint}"
    return _ASYNC_HINT if Mode.ASYNC in protocol.modes else ""


def _list_causes(error: BaseException) -> Sequence[BaseException]:
    """The error and its causes; only the error itself where an answer was cut off."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    broke_off = (http.TransferEncodingError, http.ContentLengthError)
    return causes[:1] if isinstance(causes[-1], broke_off) else causes


def _describe_cause(error: Exception, cause: OSError | None) -> str:
    """The operating system's words, or the library's name for it: never its text, which quotes."""
    source = cause or error
    if isinstance(source, OSError) and source.errno and source.strerror:
        return source.strerror
    return type(error).__name__


def _display_host(url: URL) -> str:
    return url.host if url.is_default_port() and url.host else f"{url.host}:{url.port}"
