"""Decompressing a body as it comes, in pieces of bounded size."""

from __future__ import annotations

import zlib
from typing import Final

from batchinfer.transport.transport_errors import ContentEncodingError

DECODED_PIECE_BYTES: Final = 1 << 18
"""Bytes that a piece is decompressed to at a time, at most: a bomb is noticed by its reader."""
_GZIP_WINDOW_BITS: Final = 16 + zlib.MAX_WBITS
_UNKNOWN_ENCODINGS: Final = frozenset({b"br", b"zstd"})


class BodyDecoder:
    """Decompresses one body. Its methods raise ContentEncodingError."""

    def __init__(self, encoding: bytes) -> None:
        self._encoding = encoding
        self._pending = b""
        """What came and is not decompressed yet."""
        self.has_pending = False
        """Whether there is more to decompress already."""
        self._zlib = None if encoding == b"deflate" else zlib.decompressobj(_GZIP_WINDOW_BITS)

    def decode(self, data: bytes) -> bytes:
        """The next piece of the body, of what is left over and `data`; b"": more is needed."""
        data = self._pending + data
        if self._zlib is None:
            if not data:
                return b""
            # zlib's format by the standard; without its head by some servers.
            has_head = data[0] & 0x0F == zlib.DEFLATED
            self._zlib = zlib.decompressobj(zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS)
        elif self._zlib.eof and data and self._encoding == b"gzip":  # its next member
            self._zlib = zlib.decompressobj(_GZIP_WINDOW_BITS)
        try:
            decoded = self._zlib.decompress(data, DECODED_PIECE_BYTES)
        except zlib.error as error:
            raise ContentEncodingError(str(error)) from None
        self._pending = self._zlib.unused_data or self._zlib.unconsumed_tail
        # A piece that is full may be followed by bytes that zlib has taken in already.
        self.has_pending = bool(self._pending) or len(decoded) == DECODED_PIECE_BYTES
        if self._zlib.eof and self._pending and self._encoding != b"gzip":
            raise ContentEncodingError("something follows its end")
        return decoded

    def check_end(self) -> None:
        """The body has ended: raise, unless what it decompresses to is whole."""
        if self._zlib is not None and not self._zlib.eof:
            raise ContentEncodingError("it ends too early")


def make_body_decoder(encoding: bytes | None) -> BodyDecoder | None:
    """A decoder of a body with this Content-Encoding; None: it needs none.

    Raises ContentEncodingError when it is known to be one that is not known here.
    """
    name = b"" if encoding is None else encoding.strip().lower()
    if name in _UNKNOWN_ENCODINGS:
        raise ContentEncodingError(name.decode())
    return BodyDecoder(name) if name in {b"gzip", b"deflate"} else None
