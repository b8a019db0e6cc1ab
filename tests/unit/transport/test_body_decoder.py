"""Bodies are decompressed piece by piece, and only whole ones are taken for whole."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.transport.body_decoder import DECODED_PIECE_BYTES, BodyDecoder, make_body_decoder
from batchinfer.transport.transport_errors import ContentEncodingError


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACK = {
    "gzip": (b"gzip", gzip.compress),
    "members": (b"GZIP ", lambda data: gzip.compress(data[:10]) + gzip.compress(data[10:])),
    "deflate": (b"deflate", zlib.compress),
    "raw": (b"Deflate", raw_deflate),
}


def decoded(decoder: BodyDecoder, packed: bytes, size: int) -> tuple[bytes, int]:
    """What it comes to when it comes in drops of `size` bytes; the longest piece."""
    pieces = []
    for start in range(0, len(packed), size):
        pieces.append(decoder.decode(packed[start : start + size]))
        while decoder.has_pending:
            pieces.append(decoder.decode(b""))
    decoder.check_end()
    return b"".join(pieces), max(map(len, pieces), default=0)


@pytest.mark.parametrize("name", PACK)
@given(data=st.binary(max_size=2_000), size=st.integers(1, 500))
def test_it_is_what_was_packed_however_it_comes(name, data, size):
    encoding, pack = PACK[name]
    decoder = make_body_decoder(encoding)
    assert decoder is not None
    assert decoded(decoder, pack(data), size)[0] == data


@pytest.mark.parametrize("name", PACK)
def test_a_bomb_comes_in_pieces(name):
    encoding, pack = PACK[name]
    decoder = make_body_decoder(encoding)
    assert decoder is not None
    data, longest = decoded(decoder, pack(bytes(5_000_000)), 1_000_000)
    assert data == bytes(5_000_000)
    assert longest <= DECODED_PIECE_BYTES


@pytest.mark.parametrize("name", PACK)
def test_what_is_cut_off_is_not_whole(name):
    encoding, pack = PACK[name]
    packed = pack(b"some text of some length, and more of it")
    for end in range(1, len(packed)):
        decoder = make_body_decoder(encoding)
        assert decoder is not None
        if name == "members" and end == len(gzip.compress(b"some text ")):
            continue  # a whole one
        with pytest.raises(ContentEncodingError):
            decoded(decoder, packed[:end], 7)


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_what_is_packed_otherwise_is_an_error(encoding):
    decoder = make_body_decoder(encoding)
    assert decoder is not None
    with pytest.raises(ContentEncodingError):
        decoded(decoder, b"\x1f\x00 no such thing", 100)


def test_what_follows_the_end_is_an_error():
    decoder = make_body_decoder(b"deflate")
    assert decoder is not None
    with pytest.raises(ContentEncodingError):
        decoded(decoder, zlib.compress(b"text") + b"more", 100)


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b" BR"])
def test_an_encoding_that_is_not_known_here_is_an_error(encoding):
    with pytest.raises(ContentEncodingError):
        make_body_decoder(encoding)


@pytest.mark.parametrize("encoding", [None, b"", b"identity", b"aws-chunked"])
def test_what_is_not_packed_needs_no_decoder(encoding):
    assert make_body_decoder(encoding) is None
