"""Bytes become responses, however they are cut, and garbage becomes a fault."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchinfer.transport.http_response import MAX_HEADER_BYTES
from batchinfer.transport.response_parser import ResponseParser
from batchinfer.transport.transport_errors import HeaderTooLongError, MalformedResponseError
from support.scripted_server import CHUNK, CHUNKED, HEAD, WHOLE

TEXTS = {
    "length": WHOLE,
    "chunks": CHUNKED + b"Trailer: X\r\n\r\n" + CHUNK + b"1;a=b\r\nx\r\n0\r\nX: 1\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n" + WHOLE,
    "no body": b"HTTP/1.1 204 None\r\nX-Y:  z \t\r\n\r\n",
    "close": HEAD + b"\r\nsome text that ends with the connection",
    "second": WHOLE + WHOLE,
    "line feeds": WHOLE.replace(b"\r\n", b"\n"),
    "two lengths": WHOLE.replace(b"\r\n", b"\r\nContent-Length: 1\r\n", 1),
    "null": WHOLE.replace(b"\r\n", b"\r\nX: \0\r\n", 1),
}


def parse(pieces: list[bytes], *, has_body: bool = True) -> tuple:
    """What comes of the pieces: a fault, or what there is of a response."""
    parser = ResponseParser(None, MAX_HEADER_BYTES)
    parser.begin(has_body=has_body)
    for piece in pieces:
        if (fault := parser.feed(piece)) is not None:
            return (type(fault),)
    response = parser.response
    if response is None:
        return (None,)
    body = b"".join(response.chunks)
    headers = dict(response.headers)
    return response.status, headers, body, parser.is_complete, parser.keeps_alive


def cut(text: bytes, places: set[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(ends)]


@pytest.mark.parametrize("name", TEXTS)
@given(places=st.sets(st.integers(0, 2_000)))
def test_it_does_not_matter_how_it_is_cut(name, places):
    text = TEXTS[name]
    assert parse(cut(text, places)) == parse([text])


@given(text=st.binary(max_size=300), places=st.sets(st.integers(0, 300)), has_body=st.booleans())
@example(
    text=b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
    places={9},
    has_body=True,
)
@example(
    text=b"HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\ntextHTTP/1.1", places=set(), has_body=False
)
def test_garbage_is_a_fault_or_a_response_and_never_breaks_it(text, places, has_body):
    for begin in (b"", HEAD, CHUNKED + b"\r\n"):
        parse(cut(begin + text, places), has_body=has_body)


def test_what_it_says():
    assert parse([TEXTS["no body"]]) == (204, {"x-y": "z"}, b"", True, True)
    assert parse([TEXTS["two lengths"]]) == (MalformedResponseError,)
    assert parse([TEXTS["null"]]) == (MalformedResponseError,)
    assert parse([HEAD + b"X: " + b"y" * MAX_HEADER_BYTES + b"\r\n\r\n"]) == (HeaderTooLongError,)
    assert parse([HEAD, *[b"X: y\r\n" * 1_000] * 100]) == (HeaderTooLongError,)
    assert parse([TEXTS["second"]])[3:] == (True, False)
    assert parse([WHOLE], has_body=False)[2:] == (b"", True, False)
    assert parse([WHOLE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"], has_body=False)[2:] == (
        b"",
        True,
        True,
    )
