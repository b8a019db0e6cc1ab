"""The answer to a call, whole or in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class HttpHeaders(Mapping[str, str]):
    """The headers of an answer, decoded when they are asked for.

    Names may be looked up in upper or lower case; of several of a name, the first one counts.
    """


class HttpResponse:
    """An answer. Small ones are whole; the body of a larger one is read by `read_some`.

    Whoever does not read to the end calls `close`.
    """

    status: int
    headers: HttpHeaders
    is_framed: bool
    """Whether a body that was cut off would have been noticed: its length, or its last chunk, is
    known. Otherwise the body ends wherever the connection does."""
    body: bytes | None
    """The body, decompressed, if all of it is here already (up to `WHOLE_BODY_BYTES`)."""

    @property
    def content_length(self) -> int | None:
        """Bytes of the body, as announced."""
        raise NotImplementedError

    async def read_some(self) -> bytes:
        """The next piece of the body, decompressed; b"" at its end. While nobody reads, little is
        taken from the connection. Raises what `HttpClient.request` raises.
        """  # noqa: D205 - one thought
        raise NotImplementedError

    def close(self) -> None:
        """End the connection, unless the body was read to its end."""
        raise NotImplementedError

    @contextmanager
    def pause_deadlines(self) -> Iterator[None]:
        """As long as the block lasts it is ourselves who keep the call waiting."""
        raise NotImplementedError
