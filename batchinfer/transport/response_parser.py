"""Makes responses of the bytes that come on a connection. llhttp (httptools) does the reading.

llhttp refuses whatever could be read in two ways: two lengths, a length and chunks, sizes that are
no numbers. Beyond that, nothing that follows a response is taken for a part of the next one.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from batchinfer.transport.http_response import HttpHeaders, HttpResponse, ResponseSource
from batchinfer.transport.transport_errors import HeaderTooLongError, MalformedResponseError

HEADERS_PER_MAX: Final = 4
"""How many headers of the greatest length a head may be as long as."""
_FIRST_FINAL_STATUS: Final = 200
_SWITCHING_PROTOCOLS: Final = 101


class ResponseParser:
    """Reads the responses of one connection, one after the other. `source`: the connection."""

    def __init__(self, source: ResponseSource, max_header_bytes: int) -> None:
        self._source = source
        self._max_header_bytes = max_header_bytes
        self._llhttp = _make_llhttp(self)
        self.response: HttpResponse | None = None
        """That which is being read, as soon as its head is here."""

    def begin(self, *, has_body: bool) -> None:
        """Expect the response to a request; to a HEAD it has no body, whatever it says."""
        self._has_body = has_body
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._is_head_suspect = False
        self.response = None
        self.is_complete = False
        """Whether all of it is here."""
        self.keeps_alive = True
        """Whether another may follow it, as far as can be seen by now."""

    def end(self) -> None:
        """All of a response was taken that may be followed by another."""
        self.response = None
        if not self._has_body:  # llhttp waits for the body that the head has announced
            self._llhttp = _make_llhttp(self)

    def drop(self) -> None:
        """Read nothing any more. Each knows the other: only this ends both at once."""
        del self._llhttp

    def feed(self, data: bytes) -> OSError | None:
        """Read on; what is wrong, if that is no HTTP."""
        if self.response is None:
            # Whether its headers have to be looked at, which llhttp takes as they come.
            self._is_head_suspect |= b"\0" in data or len(data) > self._max_header_bytes
        try:
            self._llhttp.feed_data(data)
        except HttpParserUpgrade:
            self.keeps_alive = False
        except HttpParserError:
            if not self.is_complete:
                return self._find_header_fault() or MalformedResponseError()
            self.keeps_alive = False  # what follows it is none
        if self.response is None:
            return self._check_head_size(len(data))
        return self._find_header_fault() if self._is_head_suspect else None

    def _check_head_size(self, size: int) -> OSError | None:
        """The head is not complete, though so many bytes more are here."""
        self._is_head_suspect = True
        self._head_bytes += size
        is_too_long = self._head_bytes > HEADERS_PER_MAX * self._max_header_bytes
        return HeaderTooLongError() if is_too_long else None

    def _find_header_fault(self) -> OSError | None:
        self._is_head_suspect = False
        for name, value in self._headers.items():
            if len(name) + len(value) > self._max_header_bytes:
                return HeaderTooLongError()
            if b"\0" in value:
                return MalformedResponseError()
        return None

    # For httptools -------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A response begins."""
        if self.is_complete:
            self.keeps_alive = False  # a second one, which nobody has asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which is left out."""
        if self.response is None:
            self._headers.setdefault(name.rstrip().lower(), value)

    def on_headers_complete(self) -> None:
        """The head is here."""
        status = self._llhttp.get_status_code()
        if self.is_complete or (status < _FIRST_FINAL_STATUS and status != _SWITCHING_PROTOCOLS):
            return
        self.response = HttpResponse(status, HttpHeaders(self._headers), self._source)
        if not self._has_body:
            self.is_complete = True
            self.keeps_alive = self._llhttp.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        response = self.response
        if self.is_complete or response is None:
            self.keeps_alive = False
            return
        response.chunks.append(data)
        response.buffered_bytes += len(data)

    def on_message_complete(self) -> None:
        """A response is whole."""
        if self.is_complete:
            return
        if self.response is None:  # 1xx: the final one is still to come
            self._headers = {}
            return
        self.is_complete = True
        self.keeps_alive = self.keeps_alive and self._llhttp.should_keep_alive()


def _make_llhttp(parser: ResponseParser) -> HttpResponseParser:
    """As lenient as aiohttp is with responses, and no more."""
    llhttp = HttpResponseParser(parser)
    llhttp.set_dangerous_leniencies(
        lenient_headers=True,
        lenient_optional_cr_before_lf=True,
        lenient_spaces_after_chunk_size=True,
    )
    return llhttp
