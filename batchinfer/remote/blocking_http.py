"""HTTP calls of many threads over kept connections, by urllib3 (which botocore brings).

Nothing is tried again and no redirect is followed here. What goes wrong is an OSError that says
whose fault it may be: SourceAwayError for certificates, ConnectionError or TimeoutError for what
may pass, and a shortage of this machine as the system's own error.
"""

from __future__ import annotations

import errno
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import urllib3
from urllib3.util import Timeout, make_headers, parse_url

from batchinfer._version import __version__
from batchinfer.backends.proxies import find_proxy_for_url
from batchinfer.backends.tls import TLS_ADVICE, create_ssl_context, describe_tls_error
from batchinfer.errors import BatchInferError
from batchinfer.inputs.uri_scheme import SourceAwayError
from batchinfer.machine_limits import detect_shortage

CONNECT_SECONDS: Final = 10.0
"""Seconds until a connection is there."""
SILENCE_SECONDS: Final = 30.0
"""Seconds without a byte after which a call is given up."""
MAX_KEPT_CONNECTIONS: Final = 64
"""Connections to one host that are kept while they are idle."""


class BlockingHttp:
    """HTTP calls. `ca_file`, `verify`: as of a service. `silence`: see `SILENCE_SECONDS`."""

    def __init__(
        self, *, ca_file: str | None = None, verify: bool = True, silence: float = SILENCE_SECONDS
    ) -> None:
        self._ca_file, self._verify = ca_file, verify
        if not verify:  # the notice `tls_unverified` has said so, once and better
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._timeout = Timeout(connect=CONNECT_SECONDS, read=silence)
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def request(
        self, method: str, origin: str, target: str, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """Call; the body of the answer is yet to be read, or to be closed.

        `origin`: scheme, host and port. `target`: path and query, encoded as they are sent.
        """
        with translate_http_errors(origin):
            pool = self._get_manager(origin).connection_from_url(origin)
            is_forwarded = pool.proxy is not None and origin.startswith("http://")
            return pool.urlopen(
                method,
                origin + target if is_forwarded else target,
                headers={
                    "User-Agent": f"batchinfer/{__version__}",
                    "Accept": "*/*",
                    "Accept-Encoding": "identity",
                    **self._get_manager(origin).headers,
                    **headers,
                },
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
            )

    def close(self) -> None:
        """End all connections that are idle."""
        with self._lock:
            managers = list(self._managers.values())
            self._managers.clear()
        for manager in managers:
            manager.clear()

    def _get_manager(self, origin: str) -> urllib3.PoolManager:
        try:
            proxy = find_proxy_for_url(origin)
            with self._lock:
                if proxy not in self._managers:
                    self._managers[proxy] = self._make_manager(proxy)
                return self._managers[proxy]
        except BatchInferError as error:  # in a thread of a reader it must be no end of the run
            raise SourceAwayError(errno.EINVAL, error.message.rstrip(".")) from None

    def _make_manager(self, proxy: str | None) -> urllib3.PoolManager:
        context = create_ssl_context(self._ca_file, verify=self._verify)
        if proxy is None:
            return urllib3.PoolManager(
                maxsize=MAX_KEPT_CONNECTIONS, timeout=self._timeout, ssl_context=context
            )
        auth = parse_url(proxy).auth
        return urllib3.ProxyManager(
            proxy,
            maxsize=MAX_KEPT_CONNECTIONS,
            timeout=self._timeout,
            ssl_context=context,
            proxy_headers=make_headers(proxy_basic_auth=auth) if auth else None,
        )


def read_error_body(response: urllib3.BaseHTTPResponse, max_bytes: int = 1 << 16) -> bytes:
    """The beginning of an answer that is no success; its connection can be used again."""
    try:
        with translate_http_errors(""):
            data = response.read(max_bytes)
    except OSError:
        data = b""
    release(response)
    return data


def release(response: urllib3.BaseHTTPResponse) -> None:
    """Give the connection back if all was read, else end it."""
    response.close()
    response.release_conn()


@contextmanager
def translate_http_errors(origin: str) -> Iterator[None]:
    """Raise what the module says in place of urllib3's own exceptions."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        raise _translate_error(error, origin) from None
    except ValueError as error:  # urllib3's LocationParseError is one, and http.client's complaints
        reason = f"the address cannot be called ({type(error).__name__})"
        raise OSError(errno.EINVAL, reason) from None


def _translate_error(error: urllib3.exceptions.HTTPError, origin: str) -> OSError:
    cause = _find_cause(error)
    if detect_shortage(cause):
        assert isinstance(cause, OSError | MemoryError)  # noqa: S101 - what it recognizes here
        return cause if isinstance(cause, OSError) else OSError(errno.ENOMEM, "no memory left")
    if tls_error := describe_tls_error(cause):
        return SourceAwayError(
            errno.EPERM, f"{origin or 'the server'} cannot be trusted: {tls_error}. {TLS_ADVICE}"
        )
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return TimeoutError(errno.ETIMEDOUT, "no answer in time")
    reason = getattr(cause, "strerror", None) or type(cause).__name__
    return ConnectionError(errno.ECONNABORTED, f"the connection failed: {reason}")


def _tells_something(error: OSError) -> bool:
    return isinstance(error, ssl.SSLError) or error.errno is not None


def _find_cause(error: BaseException) -> BaseException:
    """What the operating system or TLS said, from within the library's wrappings."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    for each in pending:  # which grows meanwhile
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        is_ours = isinstance(each, urllib3.exceptions.HTTPError)  # some are OSErrors, too
        if isinstance(each, OSError) and not is_ours and _tells_something(each):
            return each
        arguments = [argument for argument in each.args if isinstance(argument, BaseException)]
        pending += [*arguments, each.__cause__, each.__context__]
    return error
