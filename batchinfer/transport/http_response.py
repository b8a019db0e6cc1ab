"""The answer to a call, whole or in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from batchinfer.transport.body_decoder import BodyDecoder, make_body_decoder
from batchinfer.transport.transport_errors import ClientPayloadError

MAX_HEADER_BYTES: Final = 1 << 16
"""Bytes of a header, or of all of a status line."""
WHOLE_BODY_BYTES: Final = 1 << 16
"""Bytes of a body up to which an answer is handed over whole."""


class HttpHeaders(Mapping[str, str]):
    """The headers of an answer, decoded when they are asked for.

    Names may be looked up in upper or lower case; of several of a name, the first one counts.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self.raw = raw
        """Names in lower case."""

    def __getitem__(self, name: str) -> str:
        return _decode_header(self.raw[name.lower().encode()])

    def get(self, name: str, default: Any = None) -> Any:
        """As of any mapping, in half its time: most headers that are looked up are missing."""
        value = self.raw.get(name.lower().encode())
        return default if value is None else _decode_header(value)

    def __iter__(self) -> Iterator[str]:
        return map(_decode_header, self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"HttpHeaders({dict(self)!r})"


def _decode_header(text: bytes) -> str:
    return text.rstrip(b" \t").decode("utf-8", "surrogateescape")


class ResponseSource(Protocol):
    """Where the pieces of a body come from: a connection."""

    async def receive(self) -> None:
        """Wait until more of the body is here, or its end."""

    def resume(self) -> None:
        """Go on receiving, should that have been paused."""

    def abort(self) -> None:
        """End the connection."""

    def pause_deadlines(self) -> None:
        """Time passes for none of them from now on."""

    def resume_deadlines(self) -> None:
        """It does again."""


class HttpResponse:
    """An answer. Small ones are whole; the body of a larger one is read by `read_some`.

    Whoever does not read to the end calls `close`.
    """

    __slots__ = (
        "_decoder",
        "_has_begun",
        "buffered_bytes",
        "chunks",
        "error",
        "headers",
        "is_begun",
        "is_complete",
        "source",
        "status",
    )

    def __init__(self, status: int, headers: HttpHeaders, source: ResponseSource) -> None:
        self.status = status
        self.headers = headers
        self._decoder: BodyDecoder | None = None
        self._has_begun = False
        # What follows is the connection's.
        self.source: ResponseSource | None = source
        """Where the rest comes from; None: nothing more comes, the connection is another's."""
        self.chunks: list[bytes] = []
        """What came of the body and was not read yet."""
        self.buffered_bytes = 0
        """Their size."""
        self.is_begun = False
        """Whether it was handed over before it was complete."""
        self.is_complete = False
        """Whether all of the body came."""
        self.error: BaseException | None = None
        """Why no more will come."""

    @property
    def body(self) -> bytes | None:
        """The body, if all of it is here already and is not compressed; else None: `read_some`."""
        if not self.is_complete or b"content-encoding" in self.headers.raw:
            return None
        chunks = self.chunks
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def content_length(self) -> int | None:
        """Bytes of the body, as announced."""
        length = self.headers.raw.get(b"content-length")
        return None if length is None else int(length)

    @property
    def is_framed(self) -> bool:
        """Whether a body that was cut off would have been noticed: its length, or its last chunk,
        is known. Otherwise the body ends wherever the connection does.
        """  # noqa: D205 - one thought
        raw = self.headers.raw
        return b"content-length" in raw or b"chunked" in raw.get(b"transfer-encoding", b"").lower()

    async def read_some(self) -> bytes:
        """The next piece of the body, decompressed; b"" at its end. While nobody reads, little is
        taken from the connection. Raises what `HttpClient.request` raises.
        """  # noqa: D205 - one thought
        while True:
            has_pending = self._decoder is not None and self._decoder.has_pending
            data = b"" if has_pending else await self._read_received()
            if data and not self._has_begun:
                self._has_begun = True
                self._decoder = make_body_decoder(self.headers.raw.get(b"content-encoding"))
            if self._decoder is None:
                return data
            if decoded := self._decoder.decode(data):
                return decoded
            if not data and not has_pending:
                self._decoder.check_end()
                return b""

    async def _read_received(self) -> bytes:
        """What has come; b"" at the end."""
        while not self.chunks and self.source is not None:
            await self.source.receive()
        if not self.chunks and not self.is_complete:
            raise self.error or ClientPayloadError()
        data = b"".join(self.chunks)
        self.chunks.clear()
        self.buffered_bytes = 0
        if self.source is not None:
            self.source.resume()
        return data

    def close(self) -> None:
        """End the connection, unless the body has come to its end."""
        if self.source is not None:
            self.source.abort()

    @contextmanager
    def pause_deadlines(self) -> Iterator[None]:
        """As long as the block lasts it is ourselves who keep the call waiting."""
        if self.source is not None:
            self.source.pause_deadlines()
        try:
            yield
        finally:
            if self.source is not None:
                self.source.resume_deadlines()
