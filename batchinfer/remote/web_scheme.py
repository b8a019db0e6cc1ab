"""`https://` and `http://`: one file each, as a source or in a manifest.

Rules:

1. *The token* (`[source] token`) is sent to the origin of `[source] endpoint`, and to no other:
   not to other hosts of a manifest, and not to where a redirect leads.
2. *A redirect* leads to https or, from http, to http; never from https to http.
3. *A web page* is no picture: where a name with an ending of its own is asked for and a page comes
   (a login, a portal), it is refused rather than sent.
"""

from __future__ import annotations

import errno
import os.path
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, TypeVar, cast
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from urllib3.util import parse_url

from batchinfer.inputs import InputStat, ListedInput
from batchinfer.inputs.source_access import SourceSettings, get_source_access
from batchinfer.inputs.uri_scheme import SourceAwayError
from batchinfer.remote.blocking_http import (
    BlockingHttp,
    read_error_body,
    release,
    translate_http_errors,
)
from batchinfer.remote.object_headers import read_content_range, read_object_stat
from batchinfer.remote.ranged_input import ChangedMeanwhileError, FetchedRange, RangedInput
from batchinfer.sources.input_files import name_to_key

T = TypeVar("T")

MAX_REDIRECTS: Final = 5
WEB_RETRY_SECONDS: Final = 4.0
"""Seconds that a file is asked for again; the run itself tries again after that."""
_PAGE_ENDINGS: Final = frozenset({"", ".html", ".htm", ".xhtml", ".php", ".asp", ".aspx", ".jsp"})
_SERVER_ERROR: Final = 500
_BUSY_STATUSES: Final = frozenset({408, 425, 429})


class WebScheme:
    """Files of web servers, as a `UriScheme` and `InputOpener`."""

    def check(self, uri: str) -> None:
        """See UriScheme."""
        self.stat(uri)

    def list_inputs(self, uri: str) -> Iterator[ListedInput]:
        """See UriScheme: the one file."""
        yield ListedInput(_make_key(uri), uri, self.stat(uri))

    def stat(self, uri: str) -> InputStat:
        """See UriScheme."""
        return _get_client().stat(uri)

    def open(self, uri: str) -> BinaryIO:
        """See UriScheme."""
        return cast(BinaryIO, self.open_input(uri))

    def open_input(self, uri: str) -> RangedInput:
        """See InputOpener."""
        client = _get_client()
        return RangedInput(lambda offset, version: client.fetch(uri, offset, version))


def _get_client() -> WebClient:
    access = get_source_access()
    if access.settings.problem:
        raise SourceAwayError(errno.EINVAL, access.settings.problem)
    return access.get_client("web", lambda: WebClient(access.settings))


def _make_key(uri: str) -> str:
    parts = urlsplit(uri)
    name = unquote(parts.path.rpartition("/")[2]) or parts.netloc
    return name_to_key(f"{name}?{parts.query}" if parts.query else name)


class WebClient:
    """Asks web servers for files."""

    def __init__(self, settings: SourceSettings) -> None:
        store = settings.store
        self._http = BlockingHttp(ca_file=store.ca_file, verify=store.verify)
        self._token = settings.token
        self._token_origin = _find_origin(store.endpoint) if store.endpoint else None

    def close(self) -> None:
        """End idle connections."""
        self._http.close()

    def stat(self, uri: str) -> InputStat:
        """Look at a file. Raises OSError."""

        def call() -> InputStat:
            try:
                response = self._call("HEAD", uri, {})
            except _RefusedMethodError:
                response = self._call("GET", uri, {})
            else:
                if response.headers.get("content-length") is None:
                    release(response)
                    response = self._call("GET", uri, {})
            release(response)
            return _read_stat(response)

        return _retry(call)

    def fetch(self, uri: str, offset: int = 0, version: InputStat | None = None) -> FetchedRange:
        """Begin to read a file; of `version` only that. See `ranged_input.FetchRange`."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = _retry(lambda: self._call("GET", uri, headers))
        seen = _read_stat(response)
        total, begin = read_content_range(response, offset)
        if version is not None and version.fingerprint is None and version.mtime_ns is None:
            release(response)  # nothing tells whether it is still the same
            raise ChangedMeanwhileError(errno.ESTALE, "it broke off, and may be another now")
        return FetchedRange(seen._replace(size=total), response, begin)

    def _call(self, method: str, uri: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """Call, and follow redirects. Returns a success."""
        url = uri
        for _ in range(MAX_REDIRECTS + 1):
            with translate_http_errors(""):
                parsed = parse_url(url.partition("#")[0])
            origin, target = f"{parsed.scheme}://{parsed.netloc}", parsed.request_uri
            if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.auth:
                raise OSError(errno.EINVAL, "it is no address of a file")
            sent = dict(headers)
            if self._token is not None and _find_origin(origin) == self._token_origin:
                sent["Authorization"] = f"Bearer {self._token}"
            response = self._http.request(method, origin, target, sent)
            location = response.headers.get("location")
            if response.status in {301, 302, 303, 307, 308} and location:
                read_error_body(response)
                following = urljoin(url, location)
                if parsed.scheme == "https" and not following.lower().startswith("https://"):
                    raise OSError(errno.EPERM, "it redirects to an address that is not encrypted")
                url = following
                continue
            return self._accept(response, method, uri, was_authorized="Authorization" in sent)
        raise OSError(errno.ELOOP, f"it redirects more than {MAX_REDIRECTS} times")

    def _accept(
        self, response: urllib3.BaseHTTPResponse, method: str, uri: str, *, was_authorized: bool
    ) -> urllib3.BaseHTTPResponse:
        status, host = response.status, urlsplit(uri).hostname
        if status in {200, 203, 206}:
            if _is_unwanted_page(response, uri):
                release(response)
                raise PermissionError(
                    errno.EACCES, f"{host} answers with a web page in place of the file"
                )
            return response
        read_error_body(response)
        if status in {404, 410}:
            raise FileNotFoundError(errno.ENOENT, f"{host} has no such file ({status})", uri)
        if status == 416:  # noqa: PLR2004 - Range Not Satisfiable
            raise ChangedMeanwhileError(errno.ESTALE, "it changed while it was read")
        if status == 401 and was_authorized:  # noqa: PLR2004 - Unauthorized
            raise SourceAwayError(
                errno.EACCES, f"{host} refuses [source] token ({status}): has it expired?"
            )
        if status >= _SERVER_ERROR or status in _BUSY_STATUSES:
            raise ConnectionError(errno.ECONNABORTED, f"{host} has trouble (HTTP {status})")
        if method == "HEAD":
            raise _RefusedMethodError(errno.EACCES, f"{host} refuses HEAD ({status})")
        hint = "" if was_authorized else ": if it needs a token, give [source] token and endpoint"
        raise PermissionError(errno.EACCES, f"{host} refuses it (HTTP {status}){hint}")


class _RefusedMethodError(PermissionError):
    """A server that refuses HEAD may well answer GET."""


def _read_stat(response: urllib3.BaseHTTPResponse) -> InputStat:
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        release(response)
        raise OSError(errno.EPROTO, f"its server compresses it ({encoding}), though not asked to")
    if response.headers.get("content-length") is None:
        release(response)
        raise OSError(errno.EPROTO, "its server does not say how large it is (no Content-Length)")
    return read_object_stat(response.headers)


def _is_unwanted_page(response: urllib3.BaseHTTPResponse, uri: str) -> bool:
    if not (response.headers.get("content-type") or "").lower().startswith("text/html"):
        return False
    path = urlsplit(uri).path
    return path.endswith("/") or os.path.splitext(path)[1].lower() not in _PAGE_ENDINGS  # noqa: PTH122


def _find_origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None for what is no URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    return (parts.scheme.lower(), (parts.hostname or "").rstrip("."), port)


def _retry(call: Callable[[], T]) -> T:
    """Call until it is answered, for `WEB_RETRY_SECONDS`. Raises OSError."""
    give_up_at, pause = time.monotonic() + WEB_RETRY_SECONDS, 0.25
    while True:
        try:
            return call()
        except (ConnectionError, TimeoutError):
            if time.monotonic() + pause >= give_up_at:
                raise
        time.sleep(pause)
        pause *= 2
